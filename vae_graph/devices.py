"""The processors and GPUs that a training runs on, and how its work is divided among them."""

import math
import os
import subprocess
import sys
from pathlib import Path

import tensorflow.compat.v1 as tf

MAX_TOWERS, MIN_IMAGES_PER_TOWER = 16, 8
# Each copy of the network in the training graph delays the first step, and each step after the second in a
# `Session.run` gains less: tests/benchmarks/README.md has the measurements.
MAX_STEPS_PER_RUN, MAX_COPIES = 8, 32
CGROUPS = Path("/sys/fs/cgroup")


def default_towers(batch_size: int) -> int:
    """The number of towers of a new run: one per GPU; without GPUs one per processor.

    At most 16 processors are used so, and at most one per 8 images of the batch. Milliseconds per step by towers,
    eight steps per run, on an Intel Xeon with AVX-512 and AMX and on one NVIDIA H200 (TensorFlow 2.21, 2026-11-26):

        towers           1      2      4      8     16
        16 cores     10.10   6.89   5.35   4.53   3.93
        4 of them            8.81   5.50
        H200          1.73
    """
    if gpus := tf.config.list_physical_devices("GPU"):
        return len(gpus)
    return max(1, min(n_processors(), MAX_TOWERS, batch_size // MIN_IMAGES_PER_TOWER))


def steps_per_run(n_towers: int) -> int:
    """The steps that one `Session.run` takes: fewer with many towers, so that the first step comes as early."""
    return max(1, min(MAX_STEPS_PER_RUN, MAX_COPIES // n_towers))


def session_config(n_towers: int) -> tf.ConfigProto:
    """One inter-op thread per tower; the cores are divided among them, since small products do not scale with cores."""
    config = tf.ConfigProto(inter_op_parallelism_threads=n_towers,
                            intra_op_parallelism_threads=max(1, n_processors() // n_towers), allow_soft_placement=True)
    # A second pass of graph optimization makes no step faster, and delays the first one.
    rewriting = config.graph_options.rewrite_options
    rewriting.meta_optimizer_iterations = rewriting.ONE
    return config


def n_processors() -> int:
    """The processors that this process may use: its CPU affinity, or a container's CPU quota if that is less."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(n, _cpu_quota())))


def _cpu_quota() -> float:
    """The quota of this process's control group in processors, by version 2 of cgroups or version 1."""
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((CGROUPS / file).read_text() for file in files).split()
        except (OSError, ValueError):
            continue
        if quota.isdigit():              # it is "max" or -1 where there is no quota
            return int(quota) / int(period)
    return math.inf


def names() -> str:
    """The GPUs on which a training runs, or without GPUs the number of processors."""
    gpus = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")]
    return ", ".join(gpus) or f"{n_processors()} processor{'s' if n_processors() > 1 else ''}"


def describe(n_towers: int) -> str:
    """Where a training runs and in how many towers; a second line if there are GPUs that TensorFlow cannot use."""
    line = f"training on {names()} in {n_towers} tower{'s' if n_towers > 1 else ''}"
    if not tf.config.list_physical_devices("GPU") and (unusable := _nvidia_gpus()):
        line += (f"\nTensorFlow cannot use {', '.join(unusable)}: pip install 'tensorflow[and-cuda]' installs the "
                 "libraries that it needs")
    return line


def _nvidia_gpus() -> list[str]:
    """The names of the GPUs that NVIDIA's driver lists; none where TensorFlow uses none, or the user hides them."""
    if sys.platform != "linux" or os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return []
    try:
        return subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True,
                              text=True, check=True, timeout=10).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
