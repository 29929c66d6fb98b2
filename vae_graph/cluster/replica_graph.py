"""The training graph of one replica of a cluster: its variables are on the parameter servers."""

from typing import NamedTuple

import tensorflow.compat.v1 as tf

from vae_graph.cluster.config import Cluster
from vae_graph.cluster.health import POLL_S
from vae_graph.cluster.server import finished_queue
from vae_graph.settings import Settings
from vae_graph.training_graph import (
    Step,
    TrainingGraph,
    adam,
    batch_gradients,
    copy_step,
    extract_subgraph,
    inputs,
    mean_errors,
    stateless_noise,
)


class ReplicaOps(NamedTuple):
    """The ops that start and end a replica's session, besides those that its loop runs."""

    manager: tf.train.SessionManager         # waits until the chief has initialized the variables
    variables_initialized: tf.Tensor         # bool, whether the parameter servers already have a run's variables
    chief_init_ops: list[tf.Operation]       # run by the chief at the start
    chief_queue_runners: list[tf.train.QueueRunner]      # run by the chief throughout: they apply the gradients
    init_tokens_op: list[tf.Operation]       # let the other replicas continue after the chief has returned
    finished_ops: list[tf.Operation]         # tell the parameter servers that this replica has finished


def replica_graph(n_input: int, settings: Settings, cluster: Cluster, n_towers: int = 1
                  ) -> tuple[TrainingGraph, ReplicaOps]:
    """Add the autoencoder, on this replica's shard of a batch, and its optimizer to the default graph.

    To be called within `tf.device(device_function(cluster))`, in which the Saver and the initializer must be created
    too. The same 39 variables as `training_graph`, with the same names, but on the parameter servers. With two
    replicas of one tower each, a step draws the noise of one process with two towers, and computes the same gradients
    up to rounding: a replica's weight gradients are products over its own shard, and their mean is taken.

    Args:
        n_input: pixels per image.
        settings: of the run; `batch_size` is that of all replicas together.
        cluster: the cluster, and which replica this is.
        n_towers: data-parallel splits of this replica's shard.
    """
    n_replicas = len(cluster.replicas)
    n_images = len(cluster.shard(settings.batch_size))
    input_data, dropout_rate, batch, global_step = inputs(n_input, n_images)
    optimizer = adam(settings, global_step)
    errors = mean_errors(batch, dropout_rate, settings, n_towers)
    gradients, variables = map(list, zip(*batch_gradients(errors[-1]), strict=True))

    # As in `training_graph`, what is run is a copy of the builders' graph, with stateless noise.
    fetch_names = [tensor.name for tensor in (*errors, *gradients)]
    step_graph_def = extract_subgraph(fetch_names)
    noise = stateless_noise(step_graph_def, settings.seed, global_step.read_value(), cluster.replica)
    copies = copy_step(step_graph_def, fetch_names, "step_1", noise,
                       {variable.handle.name: variable.handle for variable in variables}
                       | {batch.name: input_data, dropout_rate.name: dropout_rate})
    errors, gradients = tuple(copies[:len(errors)]), copies[len(errors):]

    if cluster.sync_replicas:
        optimizer = tf.train.SyncReplicasOptimizer(optimizer, n_replicas)
        # Makes the mean over replicas the mean over images, even if a shard has one image more.
        weight = n_images * n_replicas / settings.batch_size
        gradients = [gradient * weight for gradient in gradients]
    train_op = optimizer.apply_gradients(zip(gradients, variables, strict=True), global_step)
    with tf.control_dependencies([train_op]):
        # A synchronous replica waits for a token, which holds the number of the next step.
        next_step = tf.identity(train_op) if cluster.sync_replicas else global_step.read_value()

    # `identity` marks them as used; TensorFlow warns of ops that only some replicas run.
    ready = tf.identity(tf.report_uninitialized_variables(tf.global_variables()))
    variables_initialized = tf.identity(tf.is_variable_initialized(global_step))
    manager = tf.train.SessionManager(
        ready_op=ready, ready_for_local_init_op=ready, recovery_wait_secs=POLL_S,
        local_init_op=optimizer.local_step_init_op if cluster.sync_replicas else tf.no_op())
    ops = ReplicaOps(manager, variables_initialized, [], [], [],
                     [finished_queue(task).enqueue(cluster.replica) for task in cluster.parameter_servers])
    if cluster.sync_replicas:
        tf.identity(optimizer.ready_for_local_init_op)
        ops.chief_init_ops.append(optimizer.chief_init_op)
        ops.chief_queue_runners.append(optimizer.get_chief_queue_runner())
        ops.init_tokens_op.append(optimizer.get_init_tokens_op(n_replicas - 1))
    return TrainingGraph(input_data, dropout_rate, global_step, (Step(errors, train_op, next_step, noise),)), ops
