"""This process's task in the cluster that `TF_CONFIG` describes."""

import contextlib
import json
import os
from dataclasses import dataclass

from vae_graph.errors import UserError

ROLES = ("chief", "worker", "ps")
EXPECTED = ('{"cluster": {"chief": ["host:port"], "worker": [...], "ps": [...]}, "task": {"type": ..., "index": ...}} '
            "with a ps, a chief or worker, and an address of its own for each task")


class ClusterError(UserError):
    """`TF_CONFIG` is invalid, or the tasks of a cluster do not agree or answer. The message names the task."""


@dataclass(frozen=True)
class Cluster:
    """The tasks of a cluster, by device names such as /job:worker/task:1, and which of them this process is."""

    addresses: dict[str, list[str]]      # host:port, by role
    replicas: list[str]                  # the chief, which is worker 0 if no task has that role, and the workers
    parameter_servers: list[str]
    task: str                            # this process's, and its role and index
    role: str
    index: int
    timeout: float                       # seconds without an answer after which this task gives up


def from_environment(timeout: float) -> Cluster | None:
    """The cluster in `TF_CONFIG`, as Kubernetes' TFJob writes it; None without one. Raises ClusterError."""
    text = os.environ.get("TF_CONFIG", "").strip()
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        config = json.loads(text or "{}")
        addresses, task = config.get("cluster", {}), config.get("task", {})
        every = [address for role in addresses for address in addresses[role]]
        if not addresses or (len(every) == 1 and "ps" not in addresses):
            return None                  # this process is the only task
        tasks = {role: [f"/job:{role}/task:{index}" for index in range(len(addresses.get(role, [])))] for role in ROLES}
        role, index, replicas = task["type"], int(task["index"]), tasks["chief"] + tasks["worker"]
        if (replicas and tasks["ps"] and 0 <= index < len(tasks[role]) and str(index) == str(task["index"])
                and addresses.keys() <= tasks.keys() and len(tasks["chief"]) < 2 and len({*every}) == len(every)
                and all(":" in address for address in every)):
            return Cluster(addresses, replicas, tasks["ps"], tasks[role][index], role, index, timeout)
    raise ClusterError(f"TF_CONFIG: expected {EXPECTED}, found {text[:200]!r}")
