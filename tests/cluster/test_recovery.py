"""What happens to a cluster when one of its processes dies: `pytest -m slow`."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers import CHIEF, PS, WORKER, addresses, command, posix_only, start_program
from vae_graph import checkpoints

pytestmark = [posix_only, pytest.mark.slow]
FLAGS = ("--dataset", "other", "--n_hidden_encoder", "16", "--n_hidden_decoder", "12", "--batch_size", "10",
         "--num_epoch", "24", "--checkpoint_every", "10")
SECONDS = 60.0               # in which something must have come about


class Processes:
    """A cluster's processes, which can be killed and restarted."""

    def __init__(self, folder, data, timeout):
        self.folder, self.data, self.timeout = folder, data, timeout
        self.addresses = addresses(PS, CHIEF, WORKER)
        self.running = {}

    def start(self, *tasks):
        cluster = {role: [address for task, address in sorted(self.addresses.items()) if task.role == role]
                   for role in {task.role for task in self.addresses}}
        for task in tasks:
            config = {"cluster": cluster, "task": {"type": task.role, "index": task.index}}
            self.running[task] = start_program(
                self.folder, [*FLAGS, "--cluster_timeout", str(self.timeout)],
                {"MNIST_DIR": str(self.data), "TF_CONFIG": json.dumps(config)}, f"{task}.txt")

    def kill(self, task):
        self.running[task].kill()
        self.running.pop(task).join()

    def said(self, task):
        """What a task has printed so far, in all its processes."""
        path = self.folder / f"{task}.txt"
        return path.read_text() if path.exists() else ""

    def wait_for(self, task, text):
        """Wait until a task has printed something."""
        end = time.monotonic() + SECONDS
        while not re.search(text, self.said(task)):
            assert time.monotonic() < end, self.said(task)
            assert self.running[task].is_alive(), self.said(task)
            time.sleep(0.01)

    def statuses(self):
        """The exit statuses of all processes."""
        end = time.monotonic() + SECONDS
        for process in self.running.values():
            process.join(max(0, end - time.monotonic()))
        return {task: process.exitcode for task, process in self.running.items()}

    def start_all(self):
        """Start all tasks; wait until the chief has written the checkpoint of epoch 10."""
        self.start(PS, CHIEF, WORKER)
        self.wait_for(CHIEF, r"Epoch:  1[1-9] ")

    def all_name(self, task):
        """Check that the others exit with status 2 and name this task as unreachable."""
        statuses = self.statuses()
        assert set(statuses.values()) == {2}
        for other in statuses:
            assert re.search(rf"found .*{task} at {self.addresses[task]}.* unreachable for 5 s", self.said(other))
        return statuses


@pytest.fixture
def processes(tmp_path, idx_files):
    made = []

    def make(timeout):
        made.append(Processes(tmp_path, idx_files, timeout))
        return made[0]

    yield make
    for task in [*made[0].running]:
        made[0].kill(task)


def last_checkpoint(folder):
    newest, problems = checkpoints.latest_valid(folder / "checkpoints" / "other", checkpoints.training_shapes)
    assert not problems
    return newest


@pytest.mark.parametrize("task", [WORKER, CHIEF, PS], ids=str)
def test_one_that_dies_and_returns_does_not_stop_the_others(processes, tmp_path, task):
    running = processes(20)
    running.start_all()
    running.kill(task)
    running.start(task)
    assert running.statuses() == {PS: 0, CHIEF: 0, WORKER: 0}, running.said(CHIEF)
    newest = last_checkpoint(tmp_path)
    assert (newest.epoch, newest.step) == (23, 24 * 22)
    went_on = "resuming from checkpoints/other/parameter10.ckpt, epoch 11 of 24" in running.said(CHIEF)
    assert went_on == (task != WORKER)


@pytest.mark.parametrize("task", [WORKER, CHIEF, PS], ids=str)
def test_one_that_dies_for_good_is_named(processes, tmp_path, task):
    running = processes(5)
    running.start_all()
    running.kill(task)
    begin = time.monotonic()
    others = running.all_name(task)
    assert time.monotonic() - begin < 15
    for other in others:
        if "ps" not in (task.role, other.role):      # a parameter server leaves the replicas time to say so first
            assert f"found {task} at {running.addresses[task]} unreachable for 5 s; restart" in running.said(other)
    assert last_checkpoint(tmp_path).epoch == 10


@pytest.mark.parametrize("task", [WORKER, CHIEF, PS], ids=str)
def test_one_that_never_starts_is_named(processes, task):
    running = processes(5)
    running.start(*(one for one in (PS, CHIEF, WORKER) if one != task))
    running.all_name(task)


def test_a_signal_to_all_saves_the_last_step(processes, tmp_path):
    """As Kubernetes stops a job: the parameter server runs long enough for the chief to save the variables."""
    running = processes(20)
    running.start_all()
    for process in running.running.values():
        process.terminate()
    statuses = running.statuses()
    assert (statuses[PS], statuses[CHIEF]) == (128 + signal.SIGTERM, 128 + signal.SIGTERM)
    saved = r"stopped by SIGTERM; all steps so far are saved in .*/stopped-\d+/parameter\d+\.ckpt"
    assert re.search(saved, running.said(CHIEF))
    assert last_checkpoint(tmp_path).epoch >= 10


class TestLocalCluster:
    SMALL = ("--local_cluster", "ps=1,worker=2", *FLAGS)

    @staticmethod
    def tasks_of(process):
        listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
        return [int(pid) for pid, parent in re.findall(r"(\d+) +(\d+)", listed) if int(parent) == process.pid]

    @staticmethod
    def wait_until_gone(tasks):
        end = time.monotonic() + SECONDS
        while any(Path(f"/proc/{task}").exists() for task in tasks):
            assert time.monotonic() < end
            time.sleep(0.05)

    def test_finishes(self, in_tmp):
        done = subprocess.run(**command(*self.SMALL[:-3], "2"))
        assert (done.returncode, done.stderr) == (0, "")
        place = "worker 0, the chief of 2 with 1 parameter server: 5 of the 10 images of each batch"
        assert f"worker 0 | {place}\n" in done.stdout
        assert "worker 0 | Epoch:  1 " in done.stdout
        assert "worker 1 | worker 1: finished\n" in done.stdout
        assert "ps 0 | ps 0: all replicas have finished\n" in done.stdout
        assert (in_tmp / "figures" / "other" / "result3_manifold.png").exists()

    def test_leaves_no_orphan(self, in_tmp):
        with subprocess.Popen(**command(*self.SMALL, "--num_epoch", "100000")) as process:
            while "Epoch:  1 " not in process.stdout.readline():
                assert process.poll() is None, process.stderr.read()
            tasks = self.tasks_of(process)
            assert len(tasks) == 3
            process.kill()
            process.wait()
        self.wait_until_gone(tasks)

    def test_ctrl_c_saves_the_last_step(self, in_tmp):
        heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        with subprocess.Popen(**command(*self.SMALL, "--num_epoch", "100000"), **heard) as process:
            while "Epoch:  1 " not in process.stdout.readline():
                assert process.poll() is None, process.stderr.read()
            tasks = self.tasks_of(process)
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 130
        self.wait_until_gone(tasks)
        saved = r"worker 0 \| stopped by SIGTERM; all steps so far are saved in .*/stopped-\d+/parameter\d+\.ckpt"
        assert re.search(saved, said)

    def test_one_that_fails_stops_all(self, in_tmp):
        with subprocess.Popen(**command(*self.SMALL, "--num_epoch", "100000")) as process:
            while "Epoch:  1 " not in process.stdout.readline():
                assert process.poll() is None, process.stderr.read()
            tasks = self.tasks_of(process)
            os.kill(tasks[-1], signal.SIGKILL)
            _, error = process.communicate(timeout=SECONDS)
            assert process.returncode == 137
        assert "worker 1 exited with status -9; stopping the others\n" in error
        self.wait_until_gone(tasks)
