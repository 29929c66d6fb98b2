"""`--local_cluster`: a cluster whose tasks are processes of this machine, for trying, teaching and testing."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from vae_graph.runs import signals

CHILD_ENV = "VAE_GRAPH_CHILD"    # set for the tasks, whose standard input closes when their parent ends


def run(role_counts: dict[str, int], command: Sequence[str]) -> int:
    """Run a command line for each task, with its `TF_CONFIG`; return 0, or the exit status of a task that failed."""
    ports = iter(free_ports(sum(role_counts.values())))
    addresses = {role: [f"127.0.0.1:{next(ports)}" for _ in range(count)] for role, count in role_counts.items()}
    tasks = sorted((role, index) for role, count in role_counts.items() for index in range(count))
    with signals.deferred() as pending:
        processes = {}
        for role, index in tasks:
            config = {"cluster": addresses, "task": {"type": role, "index": index}}
            # In a session of its own: Ctrl-C is for this process only.
            processes[role, index] = subprocess.Popen(
                command, stdin=subprocess.PIPE, start_new_session=True,
                env={**os.environ, CHILD_ENV: "1", "TF_CONFIG": json.dumps(config)})
        while not pending and any(process.poll() is None for process in processes.values()):
            time.sleep(0.1)
        if pending:                      # the chief saves its last step; the others end when it has gone
            processes[min(task for task in tasks if task[0] != "ps")].terminate()
        statuses = [process.wait() for process in processes.values()]
        return 128 + pending[0] if pending else max(map(abs, statuses))


def exit_with_parent() -> None:
    """In a task's process: exit as soon as its parent has ended, however it ended."""
    def wait_for_parent() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()


def free_ports(n: int) -> list[int]:
    """Unused ports of the loopback address."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [one.getsockname()[1] for one in sockets]
