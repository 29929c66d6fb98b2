"""Whether the other tasks of a cluster are reachable."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

from vae_graph.cluster.config import Cluster, ClusterError, Task

POLL_S = 1.0         # seconds between two checks


def unreachable(cluster: Cluster, tasks: list[Task]) -> list[Task]:
    """Those of some tasks, other than this one, that do not accept a connection at their address."""
    return [task for task in tasks if task != cluster.task and not _accepts(cluster.addresses[task])]


def wait_for(cluster: Cluster, tasks: list[Task]) -> None:
    """Wait until all of some tasks are reachable.

    Raises:
        ClusterError: one was not within the cluster's timeout.
    """
    deadline = time.monotonic() + cluster.timeout
    while unreachable(cluster, tasks):
        if time.monotonic() > deadline:
            raise timeout_error(cluster, unreachable(cluster, [*cluster.addresses]))
        time.sleep(POLL_S)


@contextlib.contextmanager
def monitor(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Poll all other tasks in a thread. Yields `check_alive`, which raises ClusterError after a task's timeout.

    A step's success is not enough: if a replica is missing, `SyncReplicasOptimizer` gives its token to another.
    """
    unreachable_since: dict[Task, float] = {}
    finished = threading.Event()

    def poll() -> None:
        while not finished.wait(POLL_S):
            missing = unreachable(cluster, [*cluster.addresses])
            for task in cluster.addresses:
                if task in missing:
                    unreachable_since.setdefault(task, time.monotonic())
                else:
                    unreachable_since.pop(task, None)

    def check_alive() -> None:
        expired = [task for task, since in [*unreachable_since.items()] if time.monotonic() - since > cluster.timeout]
        if expired:
            raise timeout_error(cluster, expired)

    threading.Thread(target=poll, daemon=True).start()
    try:
        yield check_alive
    finally:
        finished.set()


def timeout_error(cluster: Cluster, tasks: list[Task]) -> ClusterError:
    """The error that names the unreachable tasks."""
    names = ", ".join(f"{task} at {cluster.addresses[task]}" for task in tasks)
    problem = f"{names} unreachable" if names else "no answer from one that is reachable"
    return ClusterError(f"{cluster.task}: expected every task of the cluster to answer, found {problem} for "
                        f"{cluster.timeout:g} s; restart the cluster to resume")


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=POLL_S):
            return True
    except OSError:
        return False
