"""Synchronous data-parallel training as TensorFlow 1 has it: variables on parameter servers, gradients on replicas.

It is fail-stop: a task that ends, disagrees or does not answer ends all others. Starting all of them again resumes.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints
from vae_graph.cluster.config import Cluster, ClusterError
from vae_graph.errors import first_line
from vae_graph.runs import events
from vae_graph.runs.progress import Progress, load_run
from vae_graph.runs.record import parse_record
from vae_graph.runs.recorder import OnCheckpoint, recording
from vae_graph.settings import Settings, SettingsError
from vae_graph.training import batch_indices, session_config
from vae_graph.training_graph import build_prototype, build_towers, inputs, learning_rate, split_rows, stateless_noise


def train(pixels: np.ndarray, data_sha256: dict[str, str], settings: Settings, folder: Path,
          on_checkpoint: OnCheckpoint = lambda prefix: None, histograms: bool = False, *, cluster: Cluster
          ) -> tuple[str, dict[str, list]]:
    """Train as a replica. The chief restores, records and saves the run as `training.train` does, and returns the same.

    Raises ClusterError if a task has ended, has other settings or data, or did not answer within the cluster's timeout.
    """
    n_replicas, rank = len(cluster.replicas), cluster.replicas.index(cluster.task)
    if settings.batch_size < n_replicas:
        raise SettingsError(f"--batch_size: expected an image for each of {n_replicas} replicas, found "
                            f"{settings.batch_size}")
    shard, is_chief = split_rows(settings.batch_size, n_replicas)[rank], rank == 0
    if is_chief:
        run = load_run(folder, settings, data_sha256, pixels.shape, n_replicas, n_replicas)
    with fail_stop(cluster), tf.Graph().as_default(), tf.device(tf.train.replica_device_setter(
            worker_device=cluster.task, cluster=tf.train.ClusterSpec(cluster.addresses))):
        tf.set_random_seed(settings.seed)
        input_data, dropout_rate, global_step = inputs(pixels.shape[1])
        network = build_prototype(pixels.shape[1], settings, len(shard))
        noise = stateless_noise(network.random_ops, [shard], settings, global_step.read_value())
        errors, gradients = build_towers([network], input_data, dropout_rate, noise, [], "step_1")
        # Each replica has its share of the batch's means: their sum is the mean of n times the shares of n replicas.
        with tf.device(cluster.parameter_servers[0]):
            accumulator = tf.ConditionalAccumulator(tf.float32, [len(errors)], shared_name="errors")
            sent = accumulator.apply_grad(n_replicas * tf.stack(errors), tf.cast(global_step, tf.int64))
            with tf.control_dependencies([sent]):
                mean_errors = accumulator.take_grad(n_replicas) if is_chief else tf.no_op()
        with tf.control_dependencies([mean_errors]):     # before a gradient is sent: no replica can be a step ahead
            gradients = [(n_replicas * gradient, variable) for gradient, variable in gradients]
        optimizer = tf.train.SyncReplicasOptimizer(
            tf.train.AdamOptimizer(learning_rate(settings, global_step)), n_replicas, n_replicas)
        token = tf.identity(optimizer.apply_gradients(gradients, global_step))       # the number of the next step
        optimizer.ready_for_local_init_op.mark_used()
        saver, initializer = tf.train.Saver(), tf.global_variables_initializer()
        histogram_op = events.histograms() if histograms else None
        mailboxes = [mailbox(cluster, task) for task in cluster.replicas + cluster.parameter_servers]
        record = tf.placeholder(tf.string, [])
        announce, finish = [box.enqueue(record) for box in mailboxes], [box.close() for box in mailboxes]
        first_fetch = tf.is_variable_initialized(global_step) if is_chief else mailboxes[rank].dequeue()

        server = tf.train.Server(cluster.addresses, cluster.role, cluster.index, config=session_config(1))
        session, fetched = connect(cluster, server, cluster.parameter_servers, first_fetch)
        with session, (recording(run, session, saver, on_checkpoint, histogram_op) if is_chief
                       else contextlib.nullcontext()) as recorder:
            if is_chief:
                if fetched:              # variables and gradients of a chief that has ended
                    raise ClusterError(f"{cluster.task}: expected new parameter servers, found those of another run")
                if run.checkpoint:
                    checkpoints.restore(session, saver, run.checkpoint.prefix)
                else:
                    session.run(initializer)
                session.run(optimizer.chief_init_op)
                optimizer.get_chief_queue_runner().create_threads(session, tf.train.Coordinator(), True, True)
                session.run(announce, {record: run.record.as_json()})
            else:
                announced = parse_record(fetched)
                theirs, own = {**vars(announced.settings), **announced.data}, {**vars(settings), **data_sha256}
                for name in own:
                    if theirs.get(name) != own[name]:
                        raise ClusterError(f"{cluster.task}: expected {name} {theirs.get(name)} as the chief has, "
                                           f"found {own[name]}")
                session.run(optimizer.local_step_init_op)
                run = Progress(folder, announced, None, pixels.shape[1], len(pixels) // settings.batch_size,
                               int(session.run(global_step)))
            while run.step < run.total_steps:
                if recorder:
                    recorder.before_steps()
                epoch = run.epoch
                indices = batch_indices(len(pixels), settings, epoch)[run.batch][shard]
                next_step, errors = session.run([token, mean_errors], feed_dict={
                    input_data: np.divide(pixels[indices], 255, dtype=np.float32), dropout_rate: settings.keep_prob})
                if next_step != run.step + 1:            # the token of a replica that has ended
                    raise ClusterError(f"{cluster.task}: expected step {run.step + 1}, found {next_step}")
                if recorder:
                    recorder.after_steps([errors])
                run.step += 1
                if recorder and run.epoch > epoch:
                    recorder.end_epoch(epoch)
            if recorder:
                session.run(finish)
    return (recorder.prefix, run.record.errors) if recorder else ("", {})


def serve(cluster: Cluster) -> None:
    """Be a parameter server until the chief has finished. Raises ClusterError if the chief ends otherwise."""
    with fail_stop(cluster), tf.Graph().as_default():
        server = tf.train.Server(cluster.addresses, cluster.role, cluster.index, config=session_config(1))
        box, chief = mailbox(cluster, cluster.task), cluster.replicas[0]
        is_closed = box.is_closed()
        # First wait for the chief: after a refused connection to it, the next attempt would be delayed.
        connect(cluster, server, [], box.dequeue())
        with tf.device(chief):
            answer_of_chief = tf.no_op()
        session, finished = connect(cluster, server, [chief], is_closed)
        while not finished:
            time.sleep(1)
            try:
                finished, _ = session.run([is_closed, answer_of_chief])
            except tf.errors.OpError:
                finished = session.run(is_closed)        # the chief may have ended in between
                if not finished:
                    raise
        time.sleep(1)                    # for the other replicas to receive their last token


def mailbox(cluster: Cluster, task: str) -> tf.FIFOQueue:
    """The queue in which the chief puts the run's record for a task, once: a task that returns finds it empty."""
    with tf.device(task if task in cluster.parameter_servers else cluster.parameter_servers[0]):
        return tf.FIFOQueue(1, tf.string, shapes=[()], shared_name=f"record_for_{task}")


def connect(cluster: Cluster, server: tf.train.Server, others: list[str], fetch: tf.Tensor) -> tuple[tf.Session, Any]:
    """A session on this task and some others, and the result of its first run, once they all answer."""
    config = tf.ConfigProto(device_filters=[cluster.task, *others],
                            operation_timeout_in_ms=round(1000 * cluster.timeout))
    config.rpc_options.use_rpc_for_inprocess_master = True       # else closing may wait for ever
    deadline = time.monotonic() + cluster.timeout
    while True:
        session = tf.Session(server.target, config=config)
        try:
            return session, session.run(fetch)
        except tf.errors.UnavailableError:               # a task that does not listen yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@contextlib.contextmanager
def fail_stop(cluster: Cluster) -> Iterator[None]:
    """Translate TensorFlow's errors when another task has ended or does not answer."""
    try:
        yield
    except tf.errors.OpError as error:
        found = f"{type(error).__name__} ({first_line(error)[:200]})"
        raise ClusterError(f"{cluster.task}: expected every task to answer within {cluster.timeout:g} s, found "
                           f"{found}; start all tasks again to resume") from None
