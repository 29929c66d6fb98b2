"""A process's place in a cluster of TensorFlow 1's distributed runtime, as `TF_CONFIG` tells it.

Parameter servers hold the variables; the chief and the workers, the replicas, each build the same graph, take their
part of the images and send gradients. The chief also writes the checkpoints and draws.
"""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import tensorflow.compat.v1 as tf

from vae_graph import signals

ROLES = ("chief", "worker", "ps")
# A task that ended or was started anew says so by one of these; one that has not its variables yet, by the others.
UNREACHABLE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
LOST = (*UNREACHABLE, tf.errors.FailedPreconditionError, tf.errors.NotFoundError)
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_SPEAK = 3.0       # that a parameter server leaves the replicas: to say who is missing, to keep their work


class ClusterError(ValueError):
    """`TF_CONFIG` cannot be used, or a task is missing. The message names it."""


@dataclass(frozen=True, order=True)
class Task:
    """One process of a cluster, by its role and its number among those of that role."""

    role: str
    index: int

    def __str__(self) -> str:
        return f"{self.role} {self.index}"


@dataclass(frozen=True)
class Cluster:
    """All the tasks, and which of them this process is."""

    addresses: dict[Task, str]       # host:port
    task: Task
    timeout: float = 60.0            # seconds that a task may be missing
    sync_replicas: bool = True       # whether a step waits for the gradients of all replicas

    @property
    def replicas(self) -> list[Task]:
        """The tasks that train, the chief first: without one of that name, it is worker 0."""
        return sorted(task for task in self.addresses if task.role != "ps")

    @property
    def parameter_servers(self) -> list[Task]:
        return sorted(task for task in self.addresses if task.role == "ps")

    @property
    def number(self) -> int:
        """This replica's number, from 0, the chief's."""
        return self.replicas.index(self.task)

    @property
    def is_chief(self) -> bool:
        return self.task == self.replicas[0]

    def part(self, batch_size: int) -> range:
        """Which of a batch's images are this replica's; all of them where each replica takes batches of its own."""
        if not self.sync_replicas:
            return range(batch_size)
        n_replicas = len(self.replicas)
        return range(batch_size * self.number // n_replicas, batch_size * (self.number + 1) // n_replicas)

    def own_step(self, first_step: int, turn: int, step: int) -> int:
        """The step whose images this replica takes next: the run's, or in turns of its own every so many steps.

        Args:
            first_step: that the session began with.
            turn: how many steps this replica has taken in it.
            step: the run's.
        """
        n_replicas = len(self.replicas)
        return step if self.sync_replicas else (first_step // n_replicas + turn) * n_replicas + self.number

    @property
    def spec(self) -> tf.train.ClusterSpec:
        """The tasks as TensorFlow wants them."""
        return tf.train.ClusterSpec({
            role: {task.index: address for task, address in self.addresses.items() if task.role == role}
            for role in {task.role for task in self.addresses}})

    @property
    def device(self) -> Callable[[tf.Operation], str]:
        """The device function: variables in turn on the parameter servers, everything else here."""
        return tf.train.replica_device_setter(
            worker_device=f"/job:{self.task.role}/task:{self.task.index}", cluster=self.spec)

    def server(self, config: tf.ConfigProto) -> tf.train.Server:
        """Start this process's server; its `target` is what a session connects to.

        Raises:
            ClusterError: its address cannot be had.
        """
        try:
            return tf.train.Server(self.spec, job_name=self.task.role, task_index=self.task.index, config=config)
        except tf.errors.OpError:
            raise ClusterError(f"TF_CONFIG: expected an address of this machine for {self.task}, with a port that is "
                               f"free, found {self.addresses[self.task]}") from None

    def session_config(self) -> tf.ConfigProto:
        """A session asks the parameter servers only: it neither waits for other replicas nor falls with them."""
        return tf.ConfigProto(device_filters=["/job:ps", f"/job:{self.task.role}/task:{self.task.index}"],
                              operation_timeout_in_ms=round(1000 * self.timeout))

    def missing(self, tasks: list[Task]) -> list[Task]:
        """Those of some tasks that do not answer at their address."""
        return [task for task in tasks if task != self.task and not _answers(self.addresses[task])]

    def wait_for(self, tasks: list[Task]) -> None:
        """Wait until all of some tasks answer.

        Raises:
            ClusterError: one does not, in the time that a task may be missing.
        """
        end = time.monotonic() + self.timeout
        while self.missing(tasks):
            if time.monotonic() > end:
                raise self.given_up(self.missing([*self.addresses]))
            time.sleep(SECONDS_BETWEEN_LOOKS)

    @contextlib.contextmanager
    def watched(self) -> Iterator[Callable[[], None]]:
        """While this lasts, all other tasks are looked for; what it gives raises ClusterError if one is missing long.

        A step alone does not tell: where a replica is missing, `SyncReplicasOptimizer` hands its token to another.
        """
        missing_since: dict[Task, float] = {}
        over = threading.Event()

        def look() -> None:
            while not over.wait(SECONDS_BETWEEN_LOOKS):
                missing = self.missing([*self.addresses])
                for task in self.addresses:
                    if task in missing:
                        missing_since.setdefault(task, time.monotonic())
                    else:
                        missing_since.pop(task, None)

        def refuse_missing() -> None:
            late = [task for task, since in [*missing_since.items()] if time.monotonic() - since > self.timeout]
            if late:
                raise self.given_up(late)

        threading.Thread(target=look, daemon=True).start()
        try:
            yield refuse_missing
        finally:
            over.set()

    def given_up(self, missing: list[Task]) -> ClusterError:
        """The error that says who is missing."""
        names = ", ".join(f"{task} at {self.addresses[task]}" for task in missing)
        return ClusterError(f"{self.task}: expected every task of the cluster at work, found none for "
                            f"{self.timeout:g} s in the place of {names or 'one that answers, but does no work'}; "
                            "start the cluster again to go on from the last checkpoint")


def from_environment(timeout: float, sync_replicas: bool) -> Cluster | None:
    """The cluster that `TF_CONFIG` tells of; None where there is none, or only this process in it.

    Its JSON is that of Kubernetes' TFJob, of Vertex AI and of TensorFlow's Estimators: `cluster` has the addresses
    by role, `task` has this process's `type` and `index`.

    Raises:
        ClusterError: it cannot be used.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text.strip():
        return None
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        raise _unusable("JSON", text) from None
    if not isinstance(config, dict) or not isinstance(config.get("cluster", {}), dict):
        raise _unusable('an object with "cluster" and "task" in it', text)
    addresses = _addresses(config.get("cluster", {}))
    task = _task(config.get("task"), addresses)
    if len(addresses) == 1:
        return None
    cluster = Cluster(addresses, task, timeout, sync_replicas)
    if not cluster.parameter_servers or not cluster.replicas:
        raise _unusable('at least one "ps" and one "chief" or "worker" in the cluster', [*map(str, addresses)])
    return cluster


def _addresses(cluster: dict) -> dict[Task, str]:
    addresses: dict[Task, str] = {}
    for role, hosts in cluster.items():
        if role not in ROLES:
            raise _unusable(f"the roles {', '.join(ROLES)}", role)
        if not isinstance(hosts, list) or not hosts or (role == "chief" and len(hosts) > 1):
            raise _unusable(f'{"one address" if role == "chief" else "a list of addresses"} for "{role}"', hosts)
        for index, host in enumerate(hosts):
            name, colon, port = host.rpartition(":") if isinstance(host, str) else ("", "", "")
            if not (name and colon and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
                raise _unusable(f'addresses host:port for "{role}"', host)
            if host in addresses.values():
                raise _unusable("another address for each task", f"{host} twice")
            addresses[Task(role, index)] = host
    return addresses


def _task(task: object, addresses: dict[Task, str]) -> Task:
    if not isinstance(task, dict) or not {"type", "index"} <= task.keys():
        raise _unusable('a "task" with "type" and "index"', task)
    with contextlib.suppress(ValueError, TypeError):
        found = Task(task["type"], int(task["index"]))
        if found in addresses:
            return found
    raise _unusable(f"a task of the cluster ({', '.join(map(str, addresses))})", f"{task['type']} {task['index']}")


def _unusable(expected: str, found: object) -> ClusterError:
    shown = str(found)
    return ClusterError(f"TF_CONFIG: expected {expected}, found {shown[:200]!r}")


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_BETWEEN_LOOKS):
            return True
    except OSError:
        return False


def finished(task: Task) -> tf.FIFOQueue:
    """The queue on a parameter server into which each replica puts its number when it has finished."""
    with tf.device(f"/job:ps/task:{task.index}"):
        return tf.FIFOQueue(-1, tf.int32, shapes=[()], shared_name=f"finished_{task.index}")


def serve(cluster: Cluster, config: tf.ConfigProto) -> list[signal.Signals]:
    """Be a parameter server until all replicas have finished.

    Returns:
        The signal that ended it before, if one did: not at once, for the chief, which may have got it too, has
        still to write down what only the parameter servers know.

    Raises:
        ClusterError: a replica has been missing for too long.
    """
    server = cluster.server(config)
    with (tf.Graph().as_default(), tf.Session(server.target, config=cluster.session_config()) as session,
          signals.noted() as received):
        number = finished(cluster.task).dequeue()
        at_work = set(range(len(cluster.replicas)))
        seen = time.monotonic()
        heard = None
        while at_work:
            if received and time.monotonic() > (heard := heard or time.monotonic()) + SECONDS_TO_SPEAK:
                return received
            try:
                options = tf.RunOptions(timeout_in_ms=round(1000 * SECONDS_BETWEEN_LOOKS))
                at_work.discard(int(session.run(number, options=options)))
            except tf.errors.DeadlineExceededError:
                missing = cluster.missing([cluster.replicas[number] for number in sorted(at_work)])
                if not missing:
                    seen = time.monotonic()
                elif time.monotonic() > seen + cluster.timeout + SECONDS_TO_SPEAK:
                    raise cluster.given_up(missing) from None
        time.sleep(SECONDS_BETWEEN_LOOKS)        # for the last of them to hear that it was heard
    return []
