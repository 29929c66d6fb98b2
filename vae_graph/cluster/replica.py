"""The Session loop of one replica: that of `training.train`, one step per `Session.run`, with health checks."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints, training
from vae_graph.checkpoints.writing import UNREACHABLE_HOST_ERRORS
from vae_graph.cluster.config import Cluster
from vae_graph.cluster.health import POLL_S, monitor, timeout_error, unreachable, wait_for
from vae_graph.cluster.replica_graph import ReplicaOps, replica_graph
from vae_graph.cluster.server import device_function, replica_session_config, start_server
from vae_graph.runs.training_run import OnCheckpoint, TrainingRun
from vae_graph.settings import Settings, SettingsError

# What a session raises when a task has ended or restarted; the last two if it has no variables yet.
RECOVERABLE_ERRORS = (*UNREACHABLE_HOST_ERRORS, tf.errors.FailedPreconditionError, tf.errors.NotFoundError)


def train(pixels: np.ndarray, data_sha256: dict[str, str], settings: Settings, folder: Path,
          on_checkpoint: OnCheckpoint = lambda prefix: None, n_towers: int = 1, histograms: bool = False, *,
          cluster: Cluster) -> tuple[str, dict[str, list]]:
    """Train as one replica of a cluster; reconnect after another task has failed and returned.

    Args:
        pixels, data_sha256, settings, on_checkpoint, histograms: as for `training.train`; `batch_size` is that of all
            replicas together.
        folder: the folder of the checkpoints; only the chief uses it.
        n_towers: data-parallel splits of this replica's shard.
        cluster: the cluster, and which replica this is.

    Returns:
        As `training.train`. The chief's errors are the means over its own shards; the other replicas' are empty.

    Raises:
        ClusterError: a task was unreachable for too long.
        SettingsError, CheckpointError, OSError, Diverged, Stopped: see `training.train`.
    """
    if settings.batch_size < len(cluster.replicas):
        raise SettingsError(f"--batch_size: expected at least {len(cluster.replicas)}, an image for each replica, "
                            f"found {settings.batch_size}")
    server = None
    while True:
        run = TrainingRun(folder if cluster.is_chief else None, settings, data_sha256, pixels.shape, on_checkpoint,
                          histograms)
        check_offset(run)
        server = server or start_server(cluster, training.session_config(n_towers))
        try:
            return train_session(run, pixels, settings, n_towers, cluster, server)
        except RECOVERABLE_ERRORS as error:
            print(f"{cluster.task}: lost the connection to the cluster ({type(error).__name__}); reconnecting")
            wait_for(cluster, cluster.parameter_servers)
        except tf.errors.DeadlineExceededError:
            raise timeout_error(cluster, unreachable(cluster, [*cluster.addresses])) from None


def check_offset(run: TrainingRun) -> None:
    """Raise SettingsError unless the epoch follows from the step counter alone, which is all that other replicas see.

    It does not in a run that was resumed from a checkpoint without a record, with another number of steps per epoch.
    """
    if run.checkpoint and run.position(run.step) != divmod(run.step, run.n_batches):
        raise SettingsError(f"--batch_size: expected that of the run of {run.prefix}, for its {run.step} steps to be "
                            f"epochs of equal length, found {run.n_batches} steps per epoch; resume it in one process")


def train_session(run: TrainingRun, pixels: np.ndarray, settings: Settings, n_towers: int, cluster: Cluster,
                  server: tf.train.Server) -> tuple[str, dict[str, list]]:
    """Train until the end of the run or a fault: `training.train`'s loop, a step at a time."""
    with tf.Graph().as_default(), tf.device(device_function(cluster)):
        tf.set_random_seed(settings.seed)
        graph, ops = replica_graph(pixels.shape[1], settings, cluster, n_towers)
        [step] = graph.steps
        saver, initializer = tf.train.Saver(), tf.global_variables_initializer()
        run.before_finalize()
        tf.get_default_graph().finalize()

        def initialize(session: tf.Session) -> None:
            if run.checkpoint:
                checkpoints.restore(session, saver, run.checkpoint.prefix)
            else:
                session.run(initializer)

        with replica_session(cluster, server, ops, initialize) as session, monitor(cluster) as check_alive:
            first_step = run.step = int(session.run(graph.global_step))
            local_step = 0
            with run.recording(session, saver):
                while run.step < run.last_step:
                    run.before_steps()
                    check_alive()
                    epoch = run.epoch
                    fed_epoch, batch = run.position(cluster.replica_step(first_step, local_step, run.step))
                    batches = training.batch_indices(len(pixels), settings, fed_epoch)
                    images = pixels[batches[batch, cluster.shard(settings.batch_size)]]
                    _, errors, next_step = session.run(
                        [step.train_op, step.errors, step.global_step],
                        feed_dict={graph.input_data: np.divide(images, 255, dtype=np.float32),
                                   graph.dropout_rate: settings.keep_prob})
                    local_step += 1
                    run.after_steps([errors], int(next_step))
                    if run.epoch > epoch:
                        run.end_epoch(min(run.epoch, settings.num_epoch) - 1)

    return run.prefix, run.errors


@contextlib.contextmanager
def replica_session(cluster: Cluster, server: tf.train.Server, ops: ReplicaOps,
                    initialize: Callable[[tf.Session], None]) -> Iterator[tf.Session]:
    """A session in which a replica trains.

    `MonitoredTrainingSession` does the same, but retries a failed `run` by itself, on variables restored from the
    latest checkpoint, although the fed images belong to a later step.

    Args:
        cluster: the cluster, and which replica this is.
        server: this process's.
        ops: of `replica_graph`.
        initialize: initializes or restores the variables; called in the chief's session only.

    Raises:
        ClusterError: a parameter server or the chief is unreachable for too long.
    """
    wait_for(cluster, cluster.parameter_servers)
    if cluster.is_chief:
        session = tf.Session(server.target, config=replica_session_config(cluster))
    else:
        session = ops.manager.wait_for_session(server.target, replica_session_config(cluster),
                                               max_wait_secs=cluster.timeout)
    try:
        if cluster.is_chief:
            _start_chief(session, ops, initialize)
        yield session
        with contextlib.suppress(tf.errors.OpError):
            session.run(ops.finished_ops)
    finally:
        # If a parameter server is gone, closing the session can block for half a minute.
        closing = threading.Thread(target=session.close, daemon=True)
        closing.start()
        closing.join(POLL_S)


def _start_chief(session: tf.Session, ops: ReplicaOps, initialize: Callable[[tf.Session], None]) -> None:
    """Start a run, or continue that of an earlier chief, for which the other replicas wait."""
    replicas_waiting = session.run(ops.variables_initialized)
    initialize(session)
    session.run(ops.chief_init_ops)
    for runner in ops.chief_queue_runners:
        # Only its first thread: the other one would close the queue at the end, which the next chief needs.
        runner.create_threads(session, tf.train.Coordinator(), daemon=True)[0].start()
    if replicas_waiting:
        session.run(ops.init_tokens_op)
