"""The training graph of one replica of a cluster, and a session for it: variables elsewhere, gradients sent there."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from vae_graph.cluster import SECONDS_BETWEEN_LOOKS, Cluster, finished
from vae_graph.training_graph import (
    Settings,
    Step,
    TrainingGraph,
    adam,
    counted_noise,
    inputs,
    mean_errors,
    pattern_of,
)


class Ends(NamedTuple):
    """What a replica's session needs of the graph besides what the loop holds."""

    manager: tf.train.SessionManager         # waits until the chief has given the variables their values
    is_begun: tf.Tensor                      # bool, whether the parameter servers have a run's variables already
    chief_init: list[tf.Operation]           # what the chief does besides, in the beginning,
    chief_queue_runners: list[tf.train.QueueRunner]      # and all the time: it applies what the replicas send
    tokens: list[tf.Operation]               # let the other replicas go on when the chief has returned
    goodbyes: list[tf.Operation]


def replica_graph(n_input: int, settings: Settings, here: Cluster, n_towers: int = 1) -> tuple[TrainingGraph, Ends]:
    """Add the autoencoder, on this replica's part of a batch, and its optimizer to the default graph.

    To be called within `tf.device(here.device)`, and so are the Saver and the initializer to be made.
    The same 39 variables as `training_graph`, with the same names; they live on the parameter servers. With two
    replicas of one tower each, a step computes what it does in one process with two towers.

    Args:
        n_input: pixels of an image.
        settings: of the run; `batch_size` is that of all replicas together.
        here: the cluster, and which replica this is.
        n_towers: parts of this replica's images that are worked on side by side.
    """
    n_replicas = len(here.replicas)
    n_images = len(here.part(settings.batch_size))
    input_data, dropout_rate, batch, global_step = inputs(n_input, n_images)
    optimizer = adam(settings, global_step)
    errors = mean_errors(batch, dropout_rate, settings, n_towers)
    gradients, variables = map(list, zip(*optimizer.compute_gradients(errors[-1]), strict=True))

    # As in `training_graph`, the builders' graph is a pattern, whose copy draws counted noise.
    names = [tensor.name for tensor in (*errors, *gradients)]
    pattern = pattern_of(names)
    noise = counted_noise(pattern, settings.seed, global_step.read_value(), here.number)
    copies = tf.import_graph_def(
        pattern, return_elements=names, name="step_1",
        input_map={batch.name: input_data, dropout_rate.name: dropout_rate}
        | {variable.handle.name: variable.handle for variable in variables}
        | {f"{name}:0": tensor for name, tensor in noise.items()})
    errors, gradients = tuple(copies[:len(errors)]), copies[len(errors):]

    if here.sync_replicas:
        optimizer = tf.train.SyncReplicasOptimizer(optimizer, n_replicas)
        # The mean over replicas is that over images, though one may have an image more.
        weight = n_images * n_replicas / settings.batch_size
        gradients = [gradient * weight for gradient in gradients]
    train_op = optimizer.apply_gradients(zip(gradients, variables, strict=True), global_step)
    with tf.control_dependencies([train_op]):
        # Each replica waits for a token, which says what the next step is.
        after = tf.identity(train_op) if here.sync_replicas else global_step.read_value()

    # By `identity` they count as used; TensorFlow complains of what only some replicas run.
    ready = tf.identity(tf.report_uninitialized_variables(tf.global_variables()))
    is_begun = tf.identity(tf.is_variable_initialized(global_step))
    manager = tf.train.SessionManager(
        ready_op=ready, ready_for_local_init_op=ready, recovery_wait_secs=SECONDS_BETWEEN_LOOKS,
        local_init_op=optimizer.local_step_init_op if here.sync_replicas else tf.no_op())
    ends = Ends(manager, is_begun, [], [], [],
                [finished(task).enqueue(here.number) for task in here.parameter_servers])
    if here.sync_replicas:
        tf.identity(optimizer.ready_for_local_init_op)
        ends.chief_init.append(optimizer.chief_init_op)
        ends.chief_queue_runners.append(optimizer.get_chief_queue_runner())
        ends.tokens.append(optimizer.get_init_tokens_op(n_replicas - 1))
    return TrainingGraph(input_data, dropout_rate, global_step, (Step(errors, train_op, after, noise),)), ends


@contextlib.contextmanager
def replica_session(here: Cluster, server: tf.train.Server, ends: Ends, begin: Callable[[tf.Session], None]
                    ) -> Iterator[tf.Session]:
    """A session in which a replica trains.

    `MonitoredTrainingSession` would do the same, but for one thing: after a fault it repeats a step by itself, on
    variables that have gone back to the last checkpoint, with images that are not theirs.

    Args:
        here: the cluster, and which replica this is.
        server: this process's.
        ends: of `replica_graph`.
        begin: gives the variables their values; called in the chief's session only.

    Raises:
        ClusterError: a parameter server or the chief is missing for too long.
    """
    here.wait_for(here.parameter_servers)
    if here.is_chief:
        session = tf.Session(server.target, config=here.session_config())
    else:
        session = ends.manager.wait_for_session(server.target, here.session_config(), max_wait_secs=here.timeout)
    try:
        if here.is_chief:
            _take_the_chair(session, ends, begin)
        yield session
        with contextlib.suppress(tf.errors.OpError):
            session.run(ends.goodbyes)
    finally:
        # Where a parameter server is gone, nobody should wait for what the session has to say to it.
        closing = threading.Thread(target=session.close, daemon=True)
        closing.start()
        closing.join(SECONDS_BETWEEN_LOOKS)


def _take_the_chair(session: tf.Session, ends: Ends, begin: Callable[[tf.Session], None]) -> None:
    """Begin a run, or take it up where a chief before has left it, with the others waiting."""
    others_wait = session.run(ends.is_begun)
    begin(session)
    session.run(ends.chief_init)
    for runner in ends.chief_queue_runners:
        # Not its other thread, which would close the queue in the end: it must serve the next chief too.
        runner.create_threads(session, tf.train.Coordinator(), daemon=True)[0].start()
    if others_wait:
        session.run(ends.tokens)
