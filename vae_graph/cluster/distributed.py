"""Synchronous data-parallel training as TensorFlow 1 has it: variables on parameter servers, gradients on replicas.

It is fail-stop: a task that ends, disagrees or does not answer ends all others. Starting all of them again resumes.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints
from vae_graph.cluster.config import Cluster, ClusterError
from vae_graph.devices import session_config
from vae_graph.errors import first_line
from vae_graph.runs import events
from vae_graph.runs.progress import Progress, check_pixels, load_run
from vae_graph.runs.record import RunRecord, parse_record
from vae_graph.runs.recorder import OnCheckpoint, recording
from vae_graph.settings import Settings, SettingsError
from vae_graph.training import batch_indices
from vae_graph.training_graph import build_prototype, build_towers, inputs, learning_rate, split_rows, stateless_noise


def train(pixels: np.ndarray, data_sha256: dict[str, str], settings: Settings, folder: Path,
          on_checkpoint: OnCheckpoint = lambda prefix: None, histograms: bool = False, *, cluster: Cluster
          ) -> tuple[str, RunRecord]:
    """Train as a replica. The chief restores, records, saves and returns what `training.train` does."""
    check_pixels(pixels)
    n_replicas, rank = len(cluster.replicas), cluster.replicas.index(cluster.task)
    if settings.batch_size < n_replicas:
        raise SettingsError(f"--batch_size: expected at least {n_replicas}, the replicas, found {settings.batch_size}")
    shard, is_chief = split_rows(settings.batch_size, n_replicas)[rank], rank == 0
    if is_chief:
        run = load_run(folder, settings, data_sha256, pixels.shape, n_replicas, n_replicas)
        print(f"training in {n_replicas} replicas", flush=True)
    placement = tf.train.replica_device_setter(worker_device=cluster.task, cluster=cluster.addresses)
    with _translate_errors(cluster), tf.Graph().as_default(), tf.device(placement):
        tf.set_random_seed(settings.seed)
        input_data, dropout_rate, global_step = inputs(pixels.shape[1])
        network = build_prototype(pixels.shape[1], settings, len(shard))
        noise = stateless_noise(network.random_ops, [shard], settings, global_step.read_value())
        errors, gradients = build_towers([network], input_data, dropout_rate, noise, [], "step_1")
        # The chief sends its gradients when it has the errors of all, so that no update lacks a replica. Its queue
        # runner averages, updates, and gives each a token, the new step counter. Averages of n times shares are sums.
        with tf.device(cluster.parameter_servers[0]):
            accumulator = tf.ConditionalAccumulator(tf.float32, [len(errors)], shared_name="errors")
            sent = accumulator.apply_grad(n_replicas * tf.stack(errors), tf.cast(global_step, tf.int64))
            mean_errors = accumulator.take_grad(n_replicas) if is_chief else sent
        with tf.control_dependencies([sent, mean_errors]):
            gradients = [(n_replicas * gradient, variable) for gradient, variable in gradients]
        optimizer = tf.train.SyncReplicasOptimizer(
            tf.train.AdamOptimizer(learning_rate(settings, global_step)), n_replicas, n_replicas)
        token = tf.identity(optimizer.apply_gradients(gradients, global_step))
        optimizer.ready_for_local_init_op.mark_used()    # else TensorFlow complains at exit
        saver, initializer = tf.train.Saver(), tf.global_variables_initializer()
        histogram_op = events.histograms() if histograms else None
        mailboxes = [_mailbox(cluster, task) for task in cluster.replicas + cluster.parameter_servers]
        finish, is_initialized = [box.close() for box in mailboxes], tf.is_variable_initialized(global_step)

        server = tf.train.Server(cluster.addresses, cluster.role, cluster.index, config=session_config(1))
        session, is_used = _connect(server, [cluster.task, *cluster.parameter_servers], cluster.timeout, is_initialized)
        with session, (recording(run, session, saver, on_checkpoint, histogram_op) if is_chief
                       else contextlib.nullcontext()) as recorder:
            if is_chief:
                if is_used:              # by a chief that has ended; gradients of that run may be left
                    raise ClusterError(f"{cluster.task}: expected new parameter servers, found those of another run")
                if run.checkpoint:
                    checkpoints.restore(session, run.checkpoint.prefix)
                else:
                    session.run(initializer)
                session.run(optimizer.chief_init_op)
                optimizer.get_chief_queue_runner().create_threads(session, tf.train.Coordinator(), True, True)
                session.run([box.enqueue(run.record.as_json()) for box in mailboxes])
            else:
                announced = parse_record(session.run(mailboxes[rank].dequeue()))
                theirs = {**vars(announced.settings), **announced.data, "replicas": announced.n_towers}
                for name, own in {**vars(settings), **data_sha256, "replicas": n_replicas}.items():
                    if (expected := theirs.get(name)) != own:
                        raise ClusterError(f"{cluster.task}: expected the chief's {name} {expected}, found {own}")
                session.run(optimizer.local_step_init_op)
                run = Progress(folder, announced, None, pixels.shape[1], len(pixels) // settings.batch_size,
                               int(session.run(global_step)))
            for epoch in range(run.epoch, settings.num_epoch):
                for indices in batch_indices(len(pixels), settings, epoch)[run.batch:]:
                    if recorder:
                        recorder.before_steps()
                    next_step, errors = session.run([token, mean_errors], feed_dict={
                        input_data: np.divide(pixels[indices[shard]], 255, dtype=np.float32),
                        dropout_rate: settings.keep_prob})
                    if next_step != run.step + 1:        # a token left over from a replica that has ended
                        raise ClusterError(f"{cluster.task}: expected step {run.step + 1}, found {next_step}")
                    if recorder:
                        recorder.after_steps([errors])
                    run.step += 1
                if recorder:
                    recorder.end_epoch(epoch)
            if recorder:
                session.run(finish)
    return (recorder.prefix if recorder else ""), run.record


def serve(cluster: Cluster) -> None:
    """Be a parameter server until the chief has finished. Raises ClusterError if the chief ends otherwise."""
    with _translate_errors(cluster), tf.Graph().as_default():
        server = tf.train.Server(cluster.addresses, cluster.role, cluster.index, config=session_config(1))
        box, chief = _mailbox(cluster, cluster.task), cluster.replicas[0]
        is_closed = box.is_closed()
        # First wait for the chief: after a refused connection to it, the next attempt would be delayed.
        _connect(server, [cluster.task], cluster.timeout, box.dequeue())
        with tf.device(chief):
            answer_of_chief = tf.no_op()
        # If the chief hangs, half of the time to notice it, and half for the session to give up closing.
        session, _ = _connect(server, [cluster.task, chief], cluster.timeout / 2, is_closed)
        try:
            while not session.run([is_closed, answer_of_chief])[0]:
                time.sleep(1)
        except tf.errors.OpError:
            time.sleep(1)                # a local cluster whose chief was stopped ends this task before it complains
            if not session.run(is_closed):               # else the chief has finished and ended in between
                raise
        time.sleep(1)                    # for the other replicas to receive their last token


def _mailbox(cluster: Cluster, task: str) -> tf.FIFOQueue:
    """The queue in which the chief puts the run's record for a task, once: a restarted task finds it empty."""
    with tf.device(task if task in cluster.parameter_servers else cluster.parameter_servers[0]):
        return tf.FIFOQueue(1, tf.string, shapes=[()], shared_name=f"record_for_{task}")


def _connect(server: tf.train.Server, tasks: list[str], timeout: float, fetch: tf.Tensor) -> tuple[tf.Session, Any]:
    """A session on some tasks, and the result of its first run, once they all answer."""
    config = tf.ConfigProto(device_filters=tasks, operation_timeout_in_ms=int(1e3 * timeout), allow_soft_placement=True)
    config.rpc_options.use_rpc_for_inprocess_master = True       # else closing may wait for ever
    deadline = time.monotonic() + timeout
    while True:
        session = tf.Session(server.target, config=config)
        try:
            return session, session.run(fetch)
        except tf.errors.UnavailableError:               # a task that does not listen yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@contextlib.contextmanager
def _translate_errors(cluster: Cluster) -> Iterator[None]:
    """Translate TensorFlow's errors when another task has ended or does not answer."""
    try:
        yield
    except tf.errors.OpError as error:
        # A lost connection: which task it led to stands behind the reason.
        named = re.search(r"\n(.*)\nAdditional GRPC error information from remote target (\S+) ", error.message)
        reason = f"{named[2].replace('/replica:0', '')}: {named[1]}" if named else first_line(error)
        raise ClusterError(f"{cluster.task}: expected all tasks to answer within {cluster.timeout:g} s, found "
                           f"{type(error).__name__} ({reason[:200]}); start all again to resume") from None
