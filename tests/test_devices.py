"""The processors and GPUs of a training: how many there are, and how its work is divided among them."""

import os
import sys
from types import SimpleNamespace

import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import posix_only
from vae_graph import devices


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Make this machine one with some processors, GPUs and control groups."""
    def change(n_processors=8, gpus=(), quotas=()):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {*range(n_processors)}, raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        found = [SimpleNamespace(name=f"/physical_device:GPU:{number}", model=name) for number, name in enumerate(gpus)]
        monkeypatch.setattr(tf.config, "list_physical_devices", {"GPU": found}.get)
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": gpu.model})
        monkeypatch.setattr(devices, "CGROUPS", tmp_path)
        (tmp_path / "cpu").mkdir()
        for name, text in quotas:
            (tmp_path / name).write_text(text)

    return change


@pytest.mark.parametrize(("n_processors", "batch_size", "n_towers"), [
    (1, 128, 1), (2, 128, 2), (6, 128, 6), (16, 128, 16), (64, 4096, 16), (16, 100, 12), (16, 8, 1), (16, 7, 1)])
def test_a_new_run_has_a_tower_per_processor(machine, n_processors, batch_size, n_towers):
    """At most 16, each of 8 images or more."""
    machine(n_processors)
    assert devices.default_towers(batch_size) == n_towers


def test_a_new_run_has_a_tower_per_gpu(machine):
    machine(gpus=["a", "b", "c"])
    assert devices.default_towers(128) == devices.default_towers(8) == 3


@pytest.mark.parametrize(("quotas", "n"), [
    ([("cpu.max", "200000 100000\n")], 2), ([("cpu.max", "150000 100000\n")], 2), ([("cpu.max", "50000 100000\n")], 1),
    ([("cpu.max", "1600000 100000\n")], 8), ([("cpu.max", "max 100000\n")], 8), ([("cpu.max", "nonsense")], 8),
    ([], 8), ([("cpu/cpu.cfs_quota_us", "300000\n"), ("cpu/cpu.cfs_period_us", "100000\n")], 3),
    ([("cpu/cpu.cfs_quota_us", "-1\n"), ("cpu/cpu.cfs_period_us", "100000\n")], 8),
    ([("cpu/cpu.cfs_quota_us", "300000\n")], 8)])
def test_a_cpu_quota_is_heeded(machine, quotas, n):
    """Of version 2 of control groups, or of version 1."""
    machine(8, quotas=quotas)
    assert devices.n_processors() == n


@pytest.mark.parametrize(("cpu_count", "n"), [(8, 8), (None, 1)])
def test_the_processors_where_the_system_has_no_affinity(machine, monkeypatch, cpu_count, n):
    machine()
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cpu_count)
    assert devices.n_processors() == n


@pytest.mark.parametrize(("n_towers", "n_processors", "threads"), [(2, 8, (2, 4)), (3, 8, (3, 2)), (4, 2, (4, 1))])
def test_the_processors_are_divided_among_the_towers(machine, n_towers, n_processors, threads):
    machine(n_processors)
    config = devices.session_config(n_towers)
    assert (config.inter_op_parallelism_threads, config.intra_op_parallelism_threads) == threads
    assert config.allow_soft_placement
    assert config.graph_options.rewrite_options.meta_optimizer_iterations == config.graph_options.rewrite_options.ONE


@pytest.mark.parametrize(("n_towers", "n_steps"), [(1, 8), (2, 8), (4, 8), (8, 4), (16, 2), (20, 1), (1000, 1)])
def test_many_towers_take_fewer_steps_per_run(n_towers, n_steps):
    assert devices.steps_per_run(n_towers) == n_steps


@pytest.mark.parametrize(("n_processors", "gpus", "n_towers", "line"), [
    (1, [], 1, "training on 1 processor in 1 tower"), (8, [], 8, "training on 8 processors in 8 towers"),
    (8, ["NVIDIA H200", "NVIDIA H100"], 2, "training on NVIDIA H200, NVIDIA H100 in 2 towers"),
    (8, ["NVIDIA H200", "NVIDIA H100"], 1, "training on NVIDIA H200 in 1 tower")])
def test_a_run_says_where_it_trains(machine, capsys, n_processors, gpus, n_towers, line):
    machine(n_processors, gpus)
    devices.announce(n_towers)
    assert capsys.readouterr().out == f"{line}\n"


@posix_only
@pytest.mark.parametrize(("changes", "is_named"), [
    ({}, True), ({"visible": "0"}, True), ({"visible": "GPU-5e"}, True), ({"visible": ""}, False),
    ({"visible": "-1,0"}, False), ({"gpus": ["NVIDIA H200"]}, False), ({"status": 9}, False),
    ({"platform": "win32"}, False)])
def test_a_gpu_that_tensorflow_cannot_use_is_named(machine, monkeypatch, tmp_path, capsys, changes, is_named):
    """Unless the user hides it."""
    case = {"visible": None, "gpus": [], "status": 0, "platform": "linux"} | changes
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho NVIDIA H200; exit {case['status']}\n")
    program.chmod(0o755)
    machine(gpus=case["gpus"])
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr(sys, "platform", case["platform"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if case["visible"] is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", case["visible"])
    devices.announce(1)
    assert capsys.readouterr().err == is_named * (
        "TensorFlow cannot use NVIDIA H200; if its libraries are missing, pip install 'tensorflow[and-cuda]' installs "
        "them\n")
