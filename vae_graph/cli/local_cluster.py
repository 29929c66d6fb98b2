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
    """Run a command line for each task, with its `TF_CONFIG`; return 0, or the exit status of the first that failed."""
    ports = iter(free_ports(sum(role_counts.values())))
    addresses = {role: [f"127.0.0.1:{next(ports)}" for _ in range(count)] for role, count in role_counts.items()}
    tasks = sorted((role, index) for role, count in role_counts.items() for index in range(count))
    processes = {}
    # After a second Ctrl-C the tasks end with this process: see `exit_with_parent`.
    with contextlib.suppress(KeyboardInterrupt), signals.deferred() as pending:
        for role, index in tasks:
            config = {"cluster": addresses, "task": {"type": role, "index": index}}
            # In a session of its own: Ctrl-C is for this process only.
            processes[role, index] = subprocess.Popen(
                command, stdin=subprocess.PIPE, start_new_session=True,
                env={**os.environ, CHILD_ENV: "1", "TF_CONFIG": json.dumps(config)})
        while None in (statuses := [process.poll() for process in processes.values()]):
            if pending or any(statuses):
                break
            time.sleep(0.1)
        chief = processes.pop(min(task for task in tasks if task[0] != "ps"))
        if pending:
            chief.terminate()
            chief.wait()                 # it saves its last step, for which it needs the others
        for process in reversed(processes.values()):     # the parameter servers last, so that no replica misses them
            process.terminate()
        for process in (chief, *processes.values()):
            process.wait()
    status = 128 + pending[0] if pending else next(filter(None, statuses), 0)
    return status if status >= 0 else 128 - status       # as a shell says it


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
