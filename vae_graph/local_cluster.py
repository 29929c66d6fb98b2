"""All the roles of a cluster as processes of this machine: to try it, to teach it, to test it."""

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

from vae_graph.cluster import Task

TIED = "VAE_GRAPH_TIED"          # set for those whose standard input closes when the process that started them ends
SECONDS_TO_KEEP = 20.0           # that the chief has to finish and keep its step when all are asked to end
SECONDS_TO_END = 5.0             # that any other has, who may be waiting for a step that will not come


def run(counts: dict[str, int], command: Sequence[str]) -> int:
    """Run a cluster and return its exit status: 0, or that of the first task that failed.

    Each task is a process that is told its place by `TF_CONFIG`; what it prints comes out here with its name before
    it. When one fails, and on Ctrl-C, all are stopped.

    Args:
        counts: how many tasks of each role.
        command: what each of them runs.
    """
    tasks = [Task(role, index) for role, count in counts.items() for index in range(count)]
    ports = iter(free_ports(len(tasks)))
    cluster = {role: [f"127.0.0.1:{next(ports)}" for _ in range(count)] for role, count in counts.items()}
    processes: dict[Task, subprocess.Popen] = {}
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: received.append(number))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for task in tasks:
            processes[task] = _start(task, cluster, command)
        while any(process.poll() is None for process in processes.values()):
            time.sleep(0.1)
            failed = {task: process.returncode for task, process in processes.items() if process.poll()}
            if received:
                return 128 + received[0]
            if failed:
                task, status = failed.popitem()
                print(f"{task} ended with status {status}; the others are stopped", file=sys.stderr)
                return status if status > 0 else 128 - status
        return 0
    finally:
        # The chief first: with the others still at work it can finish its step and keep it.
        for number, task in enumerate(sorted(processes, key=lambda task: (task.role == "ps", task))):
            _end(processes[task], SECONDS_TO_KEEP if received and number == 0 else SECONDS_TO_END)
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """In a task's process: end at once when the one that started it has ended, however that ended."""
    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    if os.environ.get(TIED):
        threading.Thread(target=watch, daemon=True).start()


def _start(task: Task, cluster: dict[str, list[str]], command: Sequence[str]) -> subprocess.Popen:
    place = json.dumps({"cluster": cluster, "task": {"type": task.role, "index": task.index}})
    environment = os.environ | {"TF_CONFIG": place, TIED: "1"}
    if environment.get("TF_CPP_MIN_LOG_LEVEL") == "3":
        del environment["TF_CPP_MIN_LOG_LEVEL"]      # set by this program, as each task will
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
        # Ctrl-C is for the one process that hands it on.
        start_new_session=True)
    threading.Thread(target=_hand_on, args=(task, process), daemon=True).start()
    return process


def _hand_on(task: Task, process: subprocess.Popen) -> None:
    """Print what a task prints, line by line."""
    for line in process.stdout or ():
        print(f"{task} | {line}", end="", flush=True)


def _end(process: subprocess.Popen, seconds: float) -> None:
    """Ask a task that is still at work to end, and see to it that it does."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_ports(n: int) -> list[int]:
    """Ports of the loopback address on which nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
