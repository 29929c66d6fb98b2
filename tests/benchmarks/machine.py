"""The machine that a benchmark ran on, and the file of its results."""

import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from datetime import date
from importlib import metadata, util
from pathlib import Path

PACKAGES = ("tensorflow", "numpy", "torch", "jax", "optax")


def write_results(path: Path | None, found: Mapping[str, object]) -> None:
    """Write raw results and the machine as JSON, if a file was asked for."""
    if path:
        path.write_text(json.dumps(machine() | dict(found), indent=1), encoding="utf-8")


def machine() -> dict[str, object]:
    """The machine and the versions that the results depend on."""
    return {"date": date.today().isoformat(), "cores": os.cpu_count(), "machine": platform.machine(),
            "processor": processor(), "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in PACKAGES if util.find_spec(name)}}


def processor() -> str:
    """The processor's model name; where the system does not give it, that of its family."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else None
    return found[1] if found else platform.processor()
