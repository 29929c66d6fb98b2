"""The processors and GPUs that a training runs on, and how its work is divided among them."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import tensorflow.compat.v1 as tf

MAX_TOWERS, MIN_IMAGES_PER_TOWER = 16, 8
MAX_STEPS_PER_RUN = 8            # more save nothing
MAX_COPIES = 32                  # of the network in the training graph: each delays the first step
CGROUPS = Path("/sys/fs/cgroup")
VISIBLE_DEVICES = re.compile(r"\d|GPU-|MIG-")        # what `CUDA_VISIBLE_DEVICES` begins with unless it hides all


def default_towers(batch_size: int) -> int:
    """The number of towers of a new run: one per GPU; without GPUs one per processor.

    At most 16 processors get one, and at most one per 8 images of the batch. Milliseconds per step by towers, with
    eight steps per run, on an Intel Xeon with AVX-512 and AMX (TensorFlow 2.21, 2026-11-26):

        towers             1       2       4       8      16
        16 processors  10.10    6.89    5.35    4.53    3.93
         4 processors           8.81    5.50
    """
    if gpus := tf.config.list_physical_devices("GPU"):
        return len(gpus)
    return max(1, min(n_processors(), MAX_TOWERS, batch_size // MIN_IMAGES_PER_TOWER))


def steps_per_run(n_towers: int) -> int:
    """The steps that one `Session.run` takes: fewer with many towers, so that their graph stays small."""
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
    """The quota in processors of a container, which sees its own control group, of version 2 or 1, as the root."""
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((CGROUPS / file).read_text() for file in files).split()
        except (OSError, ValueError):
            continue
        if quota.isdigit():              # it is "max" or -1 where there is no quota
            return int(quota) / int(period)
    return math.inf


def describe(n_towers: int) -> str:
    """The GPUs that these towers run on, or without GPUs the number of processors."""
    gpus = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")]
    return ", ".join(gpus[:n_towers]) or f"{n_processors()} processor{'s' if n_processors() > 1 else ''}"


def announce(n_towers: int) -> None:
    """Print where a training runs and in how many towers, and on standard error if TensorFlow cannot use a GPU."""
    print(f"training on {describe(n_towers)} in {n_towers} tower{'s' if n_towers > 1 else ''}", flush=True)
    if not tf.config.list_physical_devices("GPU") and (unusable := _nvidia_gpus()):
        print(f"TensorFlow cannot use {', '.join(unusable)}; if its libraries are missing, pip install "
              "'tensorflow[and-cuda]' installs them", file=sys.stderr)


def _nvidia_gpus() -> list[str]:
    """The names of the GPUs that NVIDIA's driver lists; none where TensorFlow uses none, or the user hides them."""
    if sys.platform != "linux" or not VISIBLE_DEVICES.match(os.environ.get("CUDA_VISIBLE_DEVICES", "0")):
        return []
    try:
        return subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True,
                              text=True, check=True, timeout=10).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
