"""Whether a network fits into memory, known before TensorFlow is imported: without enough of it, that aborts."""

import argparse
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from vae_graph.checkpoints.format import LayerSizes, model_shapes
from vae_graph.errors import UserError

GIGABYTE = 10**9
N_INPUT = 784
# Measured: see tests/benchmarks/README.md.
BASE, BASE_ADDRESS_SPACE = 0.7 * GIGABYTE, 2.0 * GIGABYTE      # of the program, before the network
N_COPIES = 6                     # of the network while it trains: weights, Adam's slots, gradients, copies


class NotEnoughMemory(UserError):
    """The network does not fit into memory. The message names the limit, what is needed and what there is."""


def check_memory(flags: argparse.Namespace) -> None:
    """Raise NotEnoughMemory if a limit is below what the command, with the network that it trains, needs at least."""
    network = N_COPIES * max(map(network_size, _layer_sizes(flags)), default=0)
    for name, found, base in limits():
        if found < base + network:
            needed = f"{_gigabytes(base + network)} GB or more" + (" for this network" if network > base else "")
            raise NotEnoughMemory(f"{name}: expected {needed}, found {_gigabytes(found)} GB")


def network_size(sizes: LayerSizes) -> int:
    """The bytes of a network's variables."""
    return sum(4 * math.prod(shape) for shape in model_shapes(sizes).values())


def limits() -> Iterator[tuple[str, int, float]]:
    """The limits of this process's memory: a name, the bytes, and what the program needs of them before its network."""
    try:
        import resource
    except ImportError:          # Windows
        return
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        yield "address space (ulimit -v)", address_space, BASE_ADDRESS_SPACE
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if os.path.exists(path) and (text := Path(path).read_text().strip()).isdigit():
            yield f"memory of the control group ({path})", int(text), BASE
    if os.path.exists("/proc/meminfo"):
        found = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
        if "MemAvailable" in found:
            yield "free memory", 1024 * (int(found["MemAvailable"]) + int(found.get("SwapFree", 0))), BASE


def _layer_sizes(flags: argparse.Namespace) -> list[LayerSizes]:
    """Those of the networks to train."""
    if not hasattr(flags, "n_z"):
        return []
    return [LayerSizes(N_INPUT, flags.n_hidden_encoder, n_z, flags.n_hidden_decoder)
            for n_z in (flags.n_z if isinstance(flags.n_z, list) else [flags.n_z])]


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / GIGABYTE:.1f}"
