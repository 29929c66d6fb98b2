"""Fixtures. They import what they need: the process of pytest-xdist that distributes the tests needs no TensorFlow."""

import gc
import itertools
import os
import shutil

import pytest

from vae_graph.cli.execution import TENSORFLOW_ENVIRONMENT

# Before TensorFlow is imported: no messages, the program's kernels, and one thread for each of the parallel test
# processes.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
for name, value in TENSORFLOW_ENVIRONMENT.items():
    os.environ.setdefault(name, value)
for pool in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(pool, "1")


@pytest.fixture(scope="session", autouse=True)
def quick_graphs():
    """Build each training graph once, for one step per run, and none for TensorBoard: this saves most of a run's time.

    Not for tests with the mark `as_run`, whose claim is about training itself, and not in new processes. A run has the
    same bytes either way.
    """
    import tensorflow.compat.v1 as tf

    from tests.helpers import import_training_graph
    from vae_graph import training
    from vae_graph.runs import events

    changes = {(training, "steps_per_run"): lambda n_towers: 1, (training, "training_graph"): import_training_graph,
               (events, "schematic"): lambda *args: tf.GraphDef()}
    with pytest.MonkeyPatch.context() as patched:
        originals = {place: getattr(*place) for place in changes}
        for place, value in changes.items():
            patched.setattr(*place, value)
        # What is imported is no garbage, and graphs are many small objects: without this, a sixth of the time.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        yield originals


@pytest.fixture(autouse=True)
def own_graph(request, monkeypatch, quick_graphs):
    """Undo `quick_graphs` for a test with the mark `as_run`."""
    if request.node.get_closest_marker("as_run"):
        for place, original in quick_graphs.items():
            monkeypatch.setattr(*place, original)


@pytest.fixture
def without_drawing(monkeypatch):
    """Figures are made but not drawn: their files are of one pixel, each of another gray."""
    from tests.small import tiny_png
    from vae_graph import plot

    grays = itertools.count()
    monkeypatch.setattr(plot, "png", lambda figure, note="": tiny_png(next(grays)))


@pytest.fixture
def without_pictures(monkeypatch, without_drawing):
    """The pictures of each checkpoint are not even made: they take most of the time of a small run."""
    from vae_graph.cli import outputs

    monkeypatch.setattr(outputs, "draw_results", lambda *args: {})


@pytest.fixture(scope="session")
def digits():
    """A small data set: 220 training, 20 validation and 60 test images."""
    from vae_graph import data

    return data.rendered_digits(seed=1, n_train=240, n_test=60)


@pytest.fixture(scope="session")
def idx_files(tmp_path_factory):
    """A folder with four small IDX files in MNIST's format that are not MNIST's."""
    from tests.small import write_small_idx

    return write_small_idx(tmp_path_factory.mktemp("idx"))


@pytest.fixture
def folder(tmp_path):
    """TensorFlow 1.4.0's two checkpoints, of epochs 0 and 20."""
    from tests.small import ORACLE_DIR

    return shutil.copytree(ORACLE_DIR, tmp_path / "checkpoints")


@pytest.fixture
def idx_folder(tmp_path, idx_files):
    """A test's own copy of the four files."""
    return shutil.copytree(idx_files, tmp_path / "small digits")


@pytest.fixture
def small_mnist(idx_folder, monkeypatch):
    """`idx_folder`, whose digests replace MNIST's, so that its files are valid downloads."""
    import dataclasses

    from vae_graph import data
    from vae_graph.data import datasets

    names = ("TRAIN_IMAGES", "TRAIN_LABELS", "TEST_IMAGES", "TEST_LABELS")
    for name in names:
        file = getattr(datasets, name)
        _, digest = data.read_idx(idx_folder / file.name, file.item_shape)
        monkeypatch.setattr(datasets, name, dataclasses.replace(file, sha256=digest))
    monkeypatch.setattr(datasets, "FILES", tuple(getattr(datasets, name) for name in names))
    return idx_folder


@pytest.fixture
def in_tmp(tmp_path, monkeypatch, idx_folder):
    """Run in an empty working directory; `idx_folder` is beside the program's output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_DIR", str(idx_folder))
    return tmp_path
