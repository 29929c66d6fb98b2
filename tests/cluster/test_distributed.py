"""Replicas compute together what one process computes. If a task ends, all do; started again, they resume."""

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import numpy as np
import pytest

import run_mnist
from tests.helpers import command, one_line_error, posix_only, train, variables_as_bytes
from tests.small import SETTINGS, SMALL, start_program, write_idx
from vae_graph import checkpoints
from vae_graph.cli import local_cluster
from vae_graph.cluster import config, distributed
from vae_graph.data import datasets
from vae_graph.runs.record import read_record

FLAGS = ("--dataset", "other", *SMALL, "--batch_size", "20", "--checkpoint_every", "5", "--num_epoch", "10")
LIMIT = 60      # seconds in which something must have come about


def tf_configs(**counts):
    """`TF_CONFIG` of each task of a cluster on this machine, by names such as worker1."""
    ports = iter(local_cluster.free_ports(sum(counts.values())))
    addresses = {role: [f"127.0.0.1:{next(ports)}" for _ in range(count)] for role, count in counts.items()}
    return {f"{role}{index}": json.dumps({"cluster": addresses, "task": {"type": role, "index": index}})
            for role, count in counts.items() for index in range(count)}


def wait_until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("counts", "changes"), [
    ({"ps": 1, "worker": 2}, {"batch_size": 45, "shuffle": True, "add_noise": True, "num_epoch": 3}),
    pytest.param({"ps": 2, "chief": 1, "worker": 2}, {"batch_size": 31}, marks=pytest.mark.slow),
])
def test_replicas_compute_and_write_what_one_process_does(monkeypatch, digits, tmp_path, counts, changes):
    """The tasks are threads. Sums in another order are rounded differently, which Adam magnifies in small gradients."""
    results, threads = {}, []
    (tmp_path / "cluster").mkdir()

    def act(cluster):
        results[cluster.task] = distributed.serve(cluster) if cluster.role == "ps" else distributed.train(
            digits.train.pixels, digits.sha256, dataclasses.replace(SETTINGS, **changes), tmp_path / "cluster",
            cluster=cluster)

    for text in tf_configs(**counts).values():
        monkeypatch.setenv("TF_CONFIG", text)
        cluster = config.from_environment(LIMIT)
        threads.append(threading.Thread(target=act, args=[cluster], daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(LIMIT)
    assert results.keys() == {*cluster.replicas, *cluster.parameter_servers}
    (prefix, record), theirs = results[cluster.replicas[0]], train(digits, tmp_path / "alone", **changes)
    for name, value in checkpoints.read_variables(theirs[0]).items():
        np.testing.assert_allclose(checkpoints.read_variables(prefix)[name], value, rtol=0,
                                   atol=2e-5 * max(1, np.max(np.abs(value))), err_msg=name)
    for name, column in theirs[1].items():
        np.testing.assert_allclose(record.errors[name], column, rtol=1e-5, err_msg=name)
    records = [read_record(tmp_path / folder / "resume.json") for folder in ("cluster", "alone")]
    assert dataclasses.replace(records[1], n_towers=len(cluster.replicas), errors=record.errors) == records[0]
    files = [{re.sub(r"tfevents.*", "", file.name) for file in (tmp_path / folder).iterdir()}
             for folder in ("cluster", "alone")]
    assert files[0] == files[1]


@pytest.mark.parametrize(("task", "flags", "message"), [
    ("worker0", ["--batch_size", "1"], "--batch_size: expected at least 2, the replicas, found 1"),
    ("ps0", [], "/job:ps/task:0: expected all tasks to answer within 60 s, found UnknownError (Could not start gRPC "
                "server); start all again to resume"),
], ids=["a batch smaller than the cluster", "a port in use"])
def test_a_task_that_cannot_start_is_one_line(monkeypatch, in_tmp, capsys, task, flags, message):
    configs = tf_configs(ps=1, worker=2)
    monkeypatch.setenv("TF_CONFIG", configs[task])
    with socket.create_server(("127.0.0.1", int(re.search(r"127.0.0.1:(\d+)", configs["ps0"])[1]))):
        assert run_mnist.main(["--dataset", "other", *flags]) == 2
    assert one_line_error(capsys) == message


class Processes:
    """The tasks of a cluster as forked processes, each with a log."""

    def __init__(self, folder, data, **counts):
        self.folder, self.data, self.configs, self.running = folder, data, tf_configs(**counts), {}
        folder.mkdir()

    def start(self, *tasks, flags=(), timeout=15, data=None):
        for task in tasks or self.configs:
            (self.folder / task).write_text("")
            self.running[task] = start_program(
                self.folder, [*FLAGS, "--cluster_timeout", str(timeout), *flags],
                {"MNIST_DIR": str(data or self.data), "TF_CONFIG": self.configs[task]}, self.folder / task)

    def log(self, task):
        return (self.folder / task).read_text()

    def kill(self, *tasks):
        for task in tasks or [*self.running]:
            self.running[task].kill()
            self.running.pop(task).join()

    def assert_end(self, status):
        """All that are running end with this status, and with one line if it is not 0."""
        for task, process in self.running.items():
            process.join(LIMIT)
            assert (process.exitcode, self.log(task).count(": error: ")) == (status, bool(status)), self.log(task)
            assert "Traceback" not in self.log(task)


@pytest.fixture
def cluster(tmp_path, idx_files):
    """Makes clusters, each in a folder, and kills them in the end."""
    made = []
    yield lambda name, **counts: made.append(Processes(tmp_path / name, idx_files, **counts)) or made[-1]
    for processes in made:
        processes.kill()


@pytest.mark.slow
@posix_only
def test_one_that_dies_returns_or_hangs_ends_all_and_all_started_again_resume(cluster, in_tmp):
    """And end with the same bytes as an undisturbed run, of `--local_cluster`."""
    run = cluster("run", ps=1, worker=2)
    for task, number, returns in (("ps0", signal.SIGKILL, False), ("worker0", signal.SIGKILL, False),
                                  ("worker0", signal.SIGKILL, True), ("worker1", signal.SIGKILL, True),
                                  ("worker0", signal.SIGSTOP, False)):
        run.start()
        wait_until(lambda: "Epoch:  6 " in run.log("worker0"))
        victim = run.running.pop(task)
        os.kill(victim.pid, number)
        if returns:
            run.start(task)
        run.assert_end(2)
        victim.kill()
    run.start(timeout=LIMIT)
    run.assert_end(0)
    assert "resuming from checkpoints/other/parameter5.ckpt: 6 of 10 epochs done" in run.log("worker0")

    done = subprocess.run(**command("--local_cluster", "ps=1,worker=2", *FLAGS))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"Epoch:  (\d)", done.stdout) == [*"0123456789"]
    assert {"/job:ps/task:0: finished", "/job:worker/task:1: finished"} < {*done.stdout.splitlines()}
    ours, theirs = (folder / "checkpoints" / "other" for folder in (run.folder, in_tmp))
    assert variables_as_bytes(ours / "parameter9.ckpt") == variables_as_bytes(theirs / "parameter9.ckpt")
    assert read_record(ours / "resume.json") == read_record(theirs / "resume.json")


@pytest.mark.slow
@posix_only
def test_one_that_never_appears_ends_all(cluster):
    """Three clusters side by side, each without another task."""
    clusters = {absent: cluster(absent, ps=1, worker=2) for absent in ("ps0", "worker0", "worker1")}
    for absent, processes in clusters.items():
        processes.start(*processes.configs.keys() - {absent}, timeout=8)
    for processes in clusters.values():
        processes.assert_end(2)
    assert "found UnavailableError (/job:ps/task:0: " in clusters["ps0"].log("worker0")


@pytest.mark.slow
@posix_only
def test_one_that_disagrees_says_so_and_ends_all(cluster, tmp_path, idx_files):
    run = cluster("run", ps=1, worker=5)
    data = shutil.copytree(idx_files, tmp_path / "other data")
    write_idx(data / datasets.TRAIN_IMAGES.name, np.zeros((240, 28, 28), np.uint8))
    run.start("ps0", "worker0")
    differing = {"worker1": "seed", "worker2": "learning_rate", "worker3": "keep_prob"}
    for task, name in differing.items():
        run.start(task, flags=[f"--{name}", "1"])
    run.start("worker4", data=data)
    run.assert_end(2)
    for task, name in {**differing, "worker4": datasets.TRAIN_IMAGES.name}.items():
        assert re.search(rf"task:\d: expected the chief's {name} \S+, found \S+\n", run.log(task))


@pytest.mark.slow
@posix_only
@pytest.mark.parametrize(("number", "is_parent", "status"), [
    (signal.SIGINT, True, 130), (signal.SIGKILL, True, -9), (signal.SIGKILL, False, 137)])
def test_a_local_cluster_leaves_no_process(in_tmp, number, is_parent, status):
    # A job in the background would ignore SIGINT.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(**command("--local_cluster", "ps=1,worker=2", *FLAGS), **heard) as process:
        wait_until(lambda: "Epoch:  0 " in process.stdout.readline())
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
        tasks = [int(pid) for pid in children.stdout.split()]
        assert len(tasks) == 3
        os.kill(process.pid if is_parent else tasks[-1], number)
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == status
    wait_until(lambda: not any(os.path.exists(f"/proc/{task}") for task in tasks))
    if number == signal.SIGINT:
        assert re.fullmatch(r"\nstopped by SIGTERM; all steps so far are saved in \S+/stopped-\d+/\S+; .*\n", errors)
