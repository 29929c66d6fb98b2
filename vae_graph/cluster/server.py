"""This process's TensorFlow server, how sessions connect to a cluster, and what a parameter server does."""

import signal
import time
from collections.abc import Callable

import tensorflow.compat.v1 as tf

from vae_graph.cluster.config import Cluster, ClusterError, Task
from vae_graph.cluster.health import POLL_S, timeout_error, unreachable
from vae_graph.runs import signals

PS_GRACE_S = 3.0     # that a parameter server gives the replicas to report an unreachable task, or to save their work


def start_server(cluster: Cluster, config: tf.ConfigProto) -> tf.train.Server:
    """Start this process's server; its `target` is what a session connects to.

    Raises:
        ClusterError: it cannot listen at its address.
    """
    try:
        return tf.train.Server(_spec(cluster), job_name=cluster.task.role, task_index=cluster.task.index,
                               config=config)
    except tf.errors.OpError:
        raise ClusterError(f"TF_CONFIG: expected an address of this machine for {cluster.task}, with a free port, "
                           f"found {cluster.addresses[cluster.task]}") from None


def replica_session_config(cluster: Cluster) -> tf.ConfigProto:
    """A session connects to the parameter servers only: it does not depend on the other replicas."""
    return tf.ConfigProto(device_filters=["/job:ps", _device_name(cluster.task)],
                          operation_timeout_in_ms=round(1000 * cluster.timeout))


def device_function(cluster: Cluster) -> Callable[[tf.Operation], str]:
    """Places the variables on the parameter servers in turn, and everything else in this process."""
    return tf.train.replica_device_setter(worker_device=_device_name(cluster.task), cluster=_spec(cluster))


def finished_queue(task: Task) -> tf.FIFOQueue:
    """The queue on a parameter server into which each replica puts its number when it has finished."""
    with tf.device(_device_name(task)):
        return tf.FIFOQueue(-1, tf.int32, shapes=[()], shared_name=f"finished_{task.index}")


def serve(cluster: Cluster, config: tf.ConfigProto) -> list[signal.Signals]:
    """Run a parameter server until all replicas have finished.

    Returns:
        The signal that stopped it earlier, if any. It stops with a delay: the chief, which may have received the
        signal too, has to save the variables first.

    Raises:
        ClusterError: a replica is unreachable.
    """
    server = start_server(cluster, config)
    with (tf.Graph().as_default(), tf.Session(server.target, config=replica_session_config(cluster)) as session,
          signals.deferred() as pending):
        # Its size is polled: a dequeue with a timeout loses a number that arrives as the time runs out.
        queue = finished_queue(cluster.task)
        n_finished, finished_replica = queue.size(), queue.dequeue()
        running = set(range(len(cluster.replicas)))
        last_reachable = time.monotonic()
        signalled_at = None
        while running:
            if pending and time.monotonic() > (signalled_at := signalled_at or time.monotonic()) + PS_GRACE_S:
                return pending
            if session.run(n_finished):
                running.discard(int(session.run(finished_replica)))
                continue
            missing = unreachable(cluster, [cluster.replicas[number] for number in sorted(running)])
            if not missing:
                last_reachable = time.monotonic()
            elif time.monotonic() > last_reachable + cluster.timeout + PS_GRACE_S:
                raise timeout_error(cluster, missing)
            time.sleep(POLL_S)
        time.sleep(POLL_S)       # so that the last replica receives the answer
    return []


def _spec(cluster: Cluster) -> tf.train.ClusterSpec:
    return tf.train.ClusterSpec({
        role: {task.index: address for task, address in cluster.addresses.items() if task.role == role}
        for role in {task.role for task in cluster.addresses}})


def _device_name(task: Task) -> str:
    return f"/job:{task.role}/task:{task.index}"
