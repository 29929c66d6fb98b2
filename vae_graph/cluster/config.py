"""The cluster and this process's task in it, from `TF_CONFIG`."""

import json
import os
import re
from dataclasses import dataclass

from vae_graph.errors import UserError

ROLES = ("chief", "worker", "ps")
# A host name, whose labels have at most 63 characters, or an IPv6 address in brackets; the port.
LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
ADDRESS = re.compile(rf"({LABEL}(\.{LABEL})*\.?|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{{1,5}})")


class ClusterError(UserError):
    """`TF_CONFIG` is invalid, or a task is unreachable. The message names it."""


@dataclass(frozen=True, order=True)
class Task:
    """One process of a cluster, by its role and its index among the tasks of that role."""

    role: str
    index: int

    def __str__(self) -> str:
        return f"{self.role} {self.index}"


@dataclass(frozen=True)
class Cluster:
    """All tasks, and which of them this process is."""

    addresses: dict[Task, str]       # host:port
    task: Task
    timeout: float = 60.0            # seconds that a task may be unreachable
    sync_replicas: bool = True       # whether a step waits for the gradients of all replicas

    @property
    def replicas(self) -> list[Task]:
        """The tasks that train, the chief first: worker 0 if there is no task of that role."""
        return sorted(task for task in self.addresses if task.role != "ps")

    @property
    def parameter_servers(self) -> list[Task]:
        return sorted(task for task in self.addresses if task.role == "ps")

    @property
    def replica(self) -> int:
        """This replica's number; the chief's is 0."""
        return self.replicas.index(self.task)

    @property
    def is_chief(self) -> bool:
        return self.task == self.replicas[0]

    def shard(self, batch_size: int) -> range:
        """This replica's images of each batch; all of them if each replica takes batches of its own."""
        if not self.sync_replicas:
            return range(batch_size)
        n_replicas = len(self.replicas)
        return range(batch_size * self.replica // n_replicas, batch_size * (self.replica + 1) // n_replicas)

    def replica_step(self, first_step: int, local_step: int, step: int) -> int:
        """The step whose images this replica takes next: the run's, or every n-th for n asynchronous replicas.

        Args:
            first_step: the run's when the session began.
            local_step: steps that this replica has taken in the session.
            step: the run's.
        """
        n_replicas = len(self.replicas)
        return step if self.sync_replicas else (first_step // n_replicas + local_step) * n_replicas + self.replica


def from_environment(timeout: float, sync_replicas: bool) -> Cluster | None:
    """The cluster in `TF_CONFIG`; None if there is none, or this process is its only task.

    Its JSON is that of Kubernetes' TFJob, of Vertex AI and of TensorFlow's Estimators: `cluster` has the addresses
    by role, `task` has this process's `type` and `index`.

    Raises:
        ClusterError: it is invalid.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text.strip():
        return None
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        raise _invalid("JSON", text) from None
    if not isinstance(config, dict) or not isinstance(config.get("cluster", {}), dict):
        raise _invalid('an object with "cluster" and "task" in it', text)
    addresses = _addresses(config.get("cluster", {}))
    task = _task(config.get("task"), addresses)
    if len(addresses) == 1:
        return None
    cluster = Cluster(addresses, task, timeout, sync_replicas)
    if not cluster.parameter_servers or not cluster.replicas:
        raise _invalid('at least one "ps" and one "chief" or "worker" in the cluster', [*map(str, addresses)])
    return cluster


def _addresses(cluster: dict) -> dict[Task, str]:
    addresses: dict[Task, str] = {}
    for role, hosts in cluster.items():
        if role not in ROLES:
            raise _invalid(f"the roles {', '.join(ROLES)}", role)
        if not isinstance(hosts, list) or not hosts or (role == "chief" and len(hosts) > 1):
            raise _invalid(f'{"one address" if role == "chief" else "a list of addresses"} for "{role}"', hosts)
        for index, host in enumerate(hosts):
            match = ADDRESS.fullmatch(host) if isinstance(host, str) else None
            if not match or not 0 < int(match["port"]) < 65536:
                raise _invalid(f'addresses host:port for "{role}"', host)
            if host in addresses.values():
                raise _invalid("a different address for each task", f"{host} twice")
            addresses[Task(role, index)] = host
    return addresses


def _task(task: object, addresses: dict[Task, str]) -> Task:
    if not isinstance(task, dict) or not {"type", "index"} <= task.keys():
        raise _invalid('a "task" with "type" and "index"', task)
    # An index may be a number or, as some launchers write it, a string of digits.
    if isinstance(task["type"], str) and type(task["index"]) in (int, str) and str(task["index"]).isdecimal():
        found = Task(task["type"], int(task["index"]))
        if found in addresses:
            return found
    raise _invalid(f"a task of the cluster ({', '.join(map(str, addresses))})", f"{task['type']} {task['index']}")


def _invalid(expected: str, found: object) -> ClusterError:
    shown = str(found)
    return ClusterError(f"TF_CONFIG: expected {expected}, found {shown[:200]!r}")
