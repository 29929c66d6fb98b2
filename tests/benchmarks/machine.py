"""The machine that a benchmark ran on, and the file of its results."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import date
from importlib import metadata, util
from pathlib import Path

from vae_graph.cli import report
from vae_graph.settings import Settings

PACKAGES = ("tensorflow", "numpy", "torch", "jax", "optax")


def write_results(path: Path | None, found: Mapping[str, object]) -> None:
    """Write raw results and the machine as JSON, if a file was asked for."""
    if path:
        path.write_text(json.dumps(machine() | dict(found), indent=1), encoding="utf-8")


def machine() -> dict[str, object]:
    """The machine and the versions that the results depend on, and the towers of a run on it."""
    from vae_graph import devices

    n_towers = devices.default_towers(Settings.batch_size)
    return {"date": date.today().isoformat(), "cores": os.cpu_count(),
            "devices": devices.describe(n_towers), "towers": n_towers,
            "machine": platform.machine(), "processor": report.processor(), "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in PACKAGES if util.find_spec(name)}}
