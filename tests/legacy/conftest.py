"""An old Python with a real TensorFlow 1.x, for the tests of this folder."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REQUIREMENTS = {
    ("3.7", "1.15.5"): ("protobuf<3.20", "numpy<1.19"),
    ("3.6", "1.4.0"): ("protobuf<3.20", "numpy<1.17"),
}
OLD_PIP = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "",
           "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "1"}


def interpreter(version):
    """An old Python of that version, from pyenv or the path; None if there is none that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for python in (*sorted(pyenv.glob(f"versions/{version}.*/bin/python")), shutil.which(f"python{version}")):
        if python and subprocess.run([python, "--version"], capture_output=True).returncode == 0:
            return python
    return None


@pytest.fixture(scope="module", params=REQUIREMENTS, ids=lambda key: f"tensorflow-{key[1]}")
def old_python(request):
    """The interpreter of an environment with that TensorFlow, which is created once and kept beside this file."""
    version, tensorflow = request.param
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine for TensorFlow {tensorflow}")
    environment = HERE / ".venv" / f"tensorflow-{tensorflow}"
    finished = environment / "finished"
    if not finished.exists():
        assert "PYTEST_XDIST_WORKER" not in os.environ, "two processes must not create the same environment: add -n 0"
        subprocess.run([python, "-m", "venv", "--clear", environment], check=True)
        for packages in (("setuptools<60", "wheel<0.38"),
                         (f"tensorflow=={tensorflow}", *REQUIREMENTS[request.param])):
            subprocess.run([environment / "bin" / "pip", "install", *packages], check=True, env=os.environ | OLD_PIP)
        finished.touch()
    return tensorflow, environment / "bin" / "python"


@pytest.fixture(scope="module")
def run_there(old_python):
    """Run a script with the old Python."""
    _, python = old_python
    # Today's TensorFlow sets a variable that would switch an old one to eager execution.
    environment = {name: value for name, value in os.environ.items() if name != "TF2_BEHAVIOR"}

    def run(*command, **options):
        done = subprocess.run([python, *command], capture_output=True, text=True, env=environment, **options)
        assert done.returncode == 0, done.stderr

    return run
