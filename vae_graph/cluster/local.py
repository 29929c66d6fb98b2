"""A cluster whose tasks are processes of this machine: for trying, teaching and testing."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from vae_graph.cluster.config import Task
from vae_graph.runs import signals

CHILD_ENV = "VAE_GRAPH_CHILD"    # set for processes whose standard input closes when their parent ends
CHIEF_SHUTDOWN_S = 20.0          # seconds for the chief to finish its step and save it
SHUTDOWN_S = 5.0                 # seconds for any other task, which may be waiting for a step


def run(role_counts: dict[str, int], command: Sequence[str]) -> int:
    """Run a cluster and return its exit status: 0, or that of the first task that failed.

    Each task is a process configured by `TF_CONFIG`; its output is forwarded with its name as prefix. When one fails,
    and on Ctrl-C, all are stopped.

    Args:
        role_counts: the number of tasks of each role.
        command: the command line of each task.
    """
    tasks = [Task(role, index) for role, count in role_counts.items() for index in range(count)]
    ports = iter(free_ports(len(tasks)))
    cluster = {role: [f"127.0.0.1:{next(ports)}" for _ in range(count)] for role, count in role_counts.items()}
    processes: dict[Task, subprocess.Popen] = {}
    pending: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: pending.append(number))
              for number in signals.STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN}
    try:
        for task in tasks:
            processes[task] = _start(task, cluster, command)
        while any(process.poll() is None for process in processes.values()):
            time.sleep(0.1)
            failed = {task: process.returncode for task, process in processes.items() if process.poll()}
            if pending:
                return 128 + pending[0]
            if failed:
                task, status = failed.popitem()
                print(f"{task} exited with status {status}; stopping the others", file=sys.stderr)
                return status if status > 0 else 128 - status
        return 0
    finally:
        # The chief first: while the others run it can finish its step and save it.
        for number, task in enumerate(sorted(processes, key=lambda task: (task.role == "ps", task))):
            _stop(processes[task], CHIEF_SHUTDOWN_S if pending and number == 0 else SHUTDOWN_S)
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_with_parent() -> None:
    """In a task's process: exit as soon as its parent has ended, however it ended."""
    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    if os.environ.get(CHILD_ENV):
        threading.Thread(target=watch, daemon=True).start()


def _start(task: Task, cluster: dict[str, list[str]], command: Sequence[str]) -> subprocess.Popen:
    config = json.dumps({"cluster": cluster, "task": {"type": task.role, "index": task.index}})
    environment = os.environ | {"TF_CONFIG": config, CHILD_ENV: "1"}
    if environment.get("TF_CPP_MIN_LOG_LEVEL") == "3":
        del environment["TF_CPP_MIN_LOG_LEVEL"]      # set by this program; each task sets its own
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
        # Ctrl-C is for the parent only, which stops its tasks itself.
        start_new_session=True)
    threading.Thread(target=_forward_output, args=(task, process), daemon=True).start()
    return process


def _forward_output(task: Task, process: subprocess.Popen) -> None:
    """Print a task's output line by line."""
    for line in process.stdout or ():
        print(f"{task} | {line}", end="", flush=True)


def _stop(process: subprocess.Popen, seconds: float) -> None:
    """Terminate a task; kill it after some seconds."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_ports(n: int) -> list[int]:
    """Unused ports of the loopback address."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
