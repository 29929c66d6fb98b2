"""Exports work without this package, and the arrays without TensorFlow."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy
import tensorflow.compat.v1 as tf

from tests.helpers import NO_PROCESS, posix_only, write_checkpoint
from tests.small import ORACLE_DIR, ROOT
from vae_graph import checkpoints, evaluation, export

PREFIX = str(ORACLE_DIR / "parameter20.ckpt")
FULL_SIZE = str(ROOT / "figures" / "weights" / "ours" / "parameter199.ckpt")
PAGE = (ROOT / "figures" / "README.md").read_text(encoding="utf-8")
WITH_TENSORFLOW_2 = """
import numpy as np
import tensorflow as tf

given = np.load("given.npz")
model = tf.saved_model.load("model").signatures
encoded = model["encode"](images=tf.constant(given["images"]))
decoded = model["decode"](z=tf.constant(given["z"]))
reconstructed = model["reconstruct"](images=tf.constant(given["images"]))
np.savez("got.npz", mean=encoded["mean"], std=encoded["std"], decoded=decoded["images"],
         reconstructed=reconstructed["reconstructions"])
"""
WITH_NUMPY_ALONE = """
import numpy as np

given, w = np.load("given.npz"), np.load("weights.npz")

def hidden(x, scope, number):
    x = x @ w[f"{scope}/w{number}"] + w[f"{scope}/b{number}"]
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))

def decode(z):
    h = hidden(hidden(z, "decoder_hidden_1", 4), "decoder_hidden_2", 5)
    return 1 / (1 + np.exp(-(h @ w["decoder_output/w6"] + w["decoder_output/b6"])))

h = hidden(hidden(given["images"], "encoder_hidden_1", 1), "encoder_hidden_2", 2)
mean, rest = np.split(h @ w["encoder_z/w3"] + w["encoder_z/b3"], 2, axis=1)
np.savez("got.npz", mean=mean, std=np.log1p(np.exp(rest)) + 1e-6, decoded=decode(given["z"]),
         reconstructed=decode(mean))
"""
WITH_ONNXRUNTIME = """
import numpy as np
import onnxruntime

def run(name, **inputs):
    return onnxruntime.InferenceSession(f"onnx/{name}.onnx").run(None, inputs)

given = np.load("given.npz")
mean, std = run("encode", images=given["images"])
np.savez("got.npz", mean=mean, std=std, decoded=run("decode", z=given["z"])[0],
         reconstructed=run("reconstruct", images=given["images"])[0])
"""
WITH_PYTORCH = f"""
{re.search(r"```python.(import torch.*?)```", PAGE, re.DOTALL)[1]}
import numpy as np

given = {{name: torch.from_numpy(value) for name, value in np.load("given.npz").items()}}
mean, std = encode(given["images"])
np.savez("got.npz", mean=mean, std=std, decoded=decode(given["z"]), reconstructed=decode(mean))
"""


@pytest.fixture(scope="module")
def exported(digits, tmp_path_factory):
    """A folder with all exports of the reference run's weights, and with their inputs."""
    folder = tmp_path_factory.mktemp("exported")
    for write, name in ((export.saved_model, "model"), (export.onnx, "onnx"), (export.npz, "weights.npz"),
                        (export.safetensors, "vae.safetensors")):
        write(FULL_SIZE, folder / name)
    np.savez(folder / "given.npz", images=digits.test.images, z=np.float32([[0, 0], [-2, 1.5], [0.3, 9]]))
    return folder


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("script", [
    pytest.param(WITH_TENSORFLOW_2, id="tensorflow 2"), pytest.param(WITH_NUMPY_ALONE, id="numpy alone"),
    pytest.param(WITH_ONNXRUNTIME, id="onnxruntime"), pytest.param(WITH_PYTORCH, id="pytorch", marks=pytest.mark.skipif(
        not importlib.util.find_spec("torch"), reason="needs PyTorch, of the extra `bench`"))])
def test_the_same_numbers_without_this_package(exported, script, monkeypatch):
    with monkeypatch.context() as without:
        without.chdir(exported)
        for package in ("vae_graph", *(() if script is WITH_TENSORFLOW_2 else ("tensorflow",))):
            without.setitem(sys.modules, package, None)            # it cannot be imported
        exec(script, {})
    with np.load(exported / "got.npz") as got, np.load(exported / "given.npz") as given:
        with evaluation.restored(FULL_SIZE, seed=0) as model:
            mean, std = model.session.run([model.mean, model.std], {model.X: given["images"]})
            decoded = model.session.run(model.X_out, {model.z: given["z"]})
            reconstructed = model.session.run(model.X_out, {model.z: mean})
        for name, expected in (("mean", mean), ("std", std), ("decoded", decoded), ("reconstructed", reconstructed)):
            np.testing.assert_allclose(got[name], expected, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("name", "load"), [("weights.npz", np.load), ("vae.safetensors", safetensors.numpy.load_file)])
def test_the_arrays_are_the_twelve_of_the_checkpoint(exported, name, load):
    weights, values = load(exported / name), checkpoints.read_variables(FULL_SIZE)
    assert set(weights) == set(checkpoints.model_shapes(checkpoints.LayerSizes(784, 500, 2, 500)))
    for name in weights:
        np.testing.assert_array_equal(weights[name], values[name])


def test_safetensors_say_what_they_are(exported):
    with safetensors.safe_open(exported / "vae.safetensors", "np") as file:
        assert file.metadata().items() >= {"n_input": "784", "n_hidden_encoder": "500", "n_z": "2"}.items()


@pytest.mark.parametrize(("write", "package"), [(export.onnx, "onnx"), (export.safetensors, "safetensors")])
def test_a_missing_package_is_named(write, package, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(export.ExportError, match=f"^--{package}: expected the package {package}, found none; pip "
                                                 f"install {package} installs it$"):
        write(PREFIX, tmp_path / "new")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_optional_packages_are_not_imported_unless_asked_for(tmp_path):
    script = ("import sys; sys.modules['onnx'] = sys.modules['safetensors'] = None; import run_mnist; "
              f"sys.exit(run_mnist.main(['export', {PREFIX!r}, 'model', '--npz', 'weights.npz']))")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("n_z", [1, 3])
def test_onnx_of_other_sizes(tmp_path, n_z):
    sizes = checkpoints.LayerSizes(784, 5, n_z, 4)
    random = np.random.default_rng(0)
    weights = {name: random.normal(size=shape).astype(np.float32)
               for name, shape in checkpoints.model_shapes(sizes).items()}
    export.onnx(write_checkpoint(tmp_path / "x.ckpt", weights), tmp_path / "onnx")
    images = random.uniform(0, 1, (7, 784)).astype(np.float32)
    mean, std = onnxruntime.InferenceSession(tmp_path / "onnx" / "encode.onnx").run(None, {"images": images})
    assert mean.shape == std.shape == (7, n_z)


def test_a_folder_that_is_not_empty_is_not_changed(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, found in (("model", "files in it"), ("file", "a file")):
        with pytest.raises(export.ExportError, match=f"{name}: expected a new or empty folder, found {found}$"):
            export.saved_model(PREFIX, tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "mine", "model"]
    assert (tmp_path / "model" / "mine").read_text() == (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("existing", ["", "a/b", "a/b/new"])
@pytest.mark.parametrize("write", [export.saved_model, export.onnx, export.npz])
def test_missing_parents_are_made_and_an_empty_folder_is_filled(tmp_path, write, existing):
    path = tmp_path / "a" / "b" / "new"
    (tmp_path / existing).mkdir(parents=True, exist_ok=True)
    if existing == "a/b":
        (path.parent / f".saving-{NO_PROCESS}-2.incomplete").touch()            # of a killed process
    if existing == "a/b/new" and write is export.npz:
        path.rmdir()
    write(PREFIX, path)
    assert [path.name for path in path.parent.iterdir()] == ["new"]
    assert path.is_file() if write is export.npz else len([*path.iterdir()]) >= 2


@pytest.mark.parametrize("write", [export.saved_model, export.onnx])
def test_a_mount_point_is_filled(tmp_path, monkeypatch, write):
    """Such as a container's volume, which cannot be removed or renamed."""
    def refuse(*args):
        raise OSError(16, "Device or resource busy")

    folder = tmp_path / "volume"
    folder.mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == folder)
    monkeypatch.setattr(Path, "rmdir", refuse)
    write(PREFIX, folder)
    monkeypatch.undo()
    write(PREFIX, tmp_path / "new")
    assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "new").iterdir()}


@posix_only
def test_a_link_to_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    export.onnx(PREFIX, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len([*(tmp_path / "empty").iterdir()]) == 3


def test_every_file_of_an_export_is_fsynced(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor).st_ino), fsync(descriptor)))
    export.saved_model(PREFIX, tmp_path / "model")
    assert {path.stat().st_ino for path in (tmp_path, *(tmp_path / "model").rglob("*"))} <= {*synced}


def test_an_export_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    def full_disk(builder, *args):
        raise tf.errors.ResourceExhaustedError(None, None, "no space left\n\t [[node save]]")

    monkeypatch.setattr(tf.saved_model.Builder, "save", full_disk)
    with pytest.raises(export.ExportError, match=r"model: expected a writable folder, found: no space left$"):
        export.saved_model(PREFIX, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(export.ExportError, match="model: expected a writable folder"):
        export.saved_model(PREFIX, tmp_path / "file" / "model")
    with pytest.raises(export.ExportError, match=r"weights.npz: expected a writable file"):
        export.npz(PREFIX, tmp_path / "file" / "weights.npz")
    with pytest.raises(export.ExportError, match="expected a new file or an earlier export, found a folder"):
        export.npz(PREFIX, Path(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_arrays_of_another_programs_checkpoint(tmp_path):
    values = {"dense/kernel": np.float32([[1, 2]]), "global_step": np.int64(7), "file": np.float64([3]),
              "half": tf.constant([0.5, 3], tf.bfloat16), "words": tf.constant(["a"])}
    prefix = write_checkpoint(tmp_path / "x", values)
    for path in (tmp_path / "x.npz", str(tmp_path / "x.npz")):           # an earlier export is replaced
        export.npz(prefix, path)
    with np.load(tmp_path / "x.npz") as arrays:
        assert {name: (arrays[name].tolist(), arrays[name].dtype) for name in arrays} == {
            "dense/kernel": ([[1, 2]], np.float32), "global_step": (7, np.int64), "file": ([3], np.float64),
            "half": ([0.5, 3], np.float32)}
    with pytest.raises(export.ExportError, match="another file"):
        export.npz(PREFIX, tmp_path / "x.npz")


@pytest.mark.parametrize("write", [export.npz, export.safetensors])
def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path, write):
    path = tmp_path / "weights"
    write(PREFIX, path)
    before = path.read_bytes()
    write(PREFIX.replace("20", "0"), path)
    assert path.read_bytes() != before

    shutil.copytree(ORACLE_DIR, tmp_path / "old")
    np.savez(tmp_path / "old" / "mine.npz", mine=np.zeros(2))
    safetensors.numpy.save_file({"mine": np.zeros(2)}, tmp_path / "old" / "mine.safetensors")
    (tmp_path / "old" / "list").write_bytes((2).to_bytes(8, "little") + b"[]")
    (tmp_path / "old" / "nested").write_bytes((99_999).to_bytes(8, "little") + b"[" * 99_999)
    np.save(tmp_path / "old" / "array.npy", np.zeros(2))
    (tmp_path / "old" / "empty").touch()
    for file in (tmp_path / "old").iterdir():
        content = file.read_bytes()
        with pytest.raises(export.ExportError, match=r"expected a new file or an earlier export, found another file$"):
            write(PREFIX, file)
        assert file.read_bytes() == content


def test_names_as_long_as_the_file_system_allows(tmp_path):
    export.saved_model(PREFIX, tmp_path / ("m" * 255))
    export.npz(PREFIX, tmp_path / ("w" * 255))
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["m", "w"]
