"""The machine that a benchmark ran on."""

import os
import platform
import re
import sys
from datetime import date
from importlib import metadata, util
from pathlib import Path

PACKAGES = ("tensorflow", "numpy", "torch", "jax", "optax")


def machine() -> dict[str, object]:
    """The machine and the versions that the results depend on."""
    return {"date": date.today().isoformat(), "cores": os.cpu_count(), "machine": platform.machine(),
            "processor": processor(), "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in PACKAGES if util.find_spec(name)}}


def processor() -> str:
    """The processor's model name; where the system does not give it, that of its family."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else None
    return found[1] if found else platform.processor()
