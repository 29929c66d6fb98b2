import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")      # before TensorFlow is imported

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import run_mnist
from vae_graph import data, events, training

ROOT = Path(__file__).parent.parent

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no such thing")


@pytest.fixture(autouse=True)
def quick_graphs(monkeypatch):
    """Building the graph for one step, not for several, and none for TensorBoard, saves a second where a test trains.

    `test_oracle.py` takes the steps as the program does, `test_events.py` looks at TensorBoard's graph, and the tests
    that run the program in a process of its own do both.
    """
    monkeypatch.setattr(training, "STEPS_A_RUN", 1)
    monkeypatch.setattr(events, "schematic", lambda *args: tf.GraphDef())


def write_idx(path, items):
    """Write uint8 items, [n, 28, 28] or [n], as a gzipped IDX file."""
    header = np.array([0x0800 + items.ndim, *items.shape], ">u4").tobytes()
    path.write_bytes(gzip.compress(header + items.tobytes(), mtime=0))


def write_checkpoint(prefix, variables, **saver_flags):
    """Write arrays, by their names, as a checkpoint."""
    with tf.Graph().as_default(), tf.Session() as session:
        saver = tf.train.Saver({name: tf.Variable(value) for name, value in variables.items()}, **saver_flags)
        session.run(tf.global_variables_initializer())
        return saver.save(session, str(prefix), write_meta_graph=False)


def command(*flags):
    """A run in a process of its own, whose log level is the program's own affair."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return {"args": [sys.executable, str(ROOT / "run_mnist.py"), *flags], "env": environment, "text": True,
            "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def one_line_error(capsys):
    """What stands on the error stream, once it is seen to be one line."""
    captured = capsys.readouterr()
    program, _, message = captured.err.partition(": error: ")
    assert program in ("run_mnist.py", *(f"run_mnist.py {name}" for name in run_mnist.COMMANDS))
    assert captured.err.count("\n") == 1
    return message.rstrip("\n")


@pytest.fixture
def without_pictures(monkeypatch):
    """Drawing takes most of the time of a small run."""
    monkeypatch.setattr(run_mnist, "draw_results", lambda *args: None)


@pytest.fixture(scope="session")
def digits():
    """A small data set: 220 training, 20 validation and 60 test images."""
    return data.rendered_digits(seed=1, n_train=240, n_test=60)


@pytest.fixture(scope="session")
def idx_files(tmp_path_factory):
    """A folder with four small IDX files in MNIST's format, which are not MNIST's."""
    return write_small_idx(tmp_path_factory.mktemp("idx"))


def write_small_idx(folder):
    """Write 240 rendered digits to train on and 60 to test on."""
    images, labels = data.rendered.draw_digits(300, seed=1)
    images = images.reshape(-1, 28, 28)
    for (images_file, labels_file), part in (((data.TRAIN_IMAGES, data.TRAIN_LABELS), slice(0, 240)),
                                             ((data.TEST_IMAGES, data.TEST_LABELS), slice(240, 300))):
        write_idx(folder / images_file.name, images[part])
        write_idx(folder / labels_file.name, labels[part])
    return folder


@pytest.fixture
def idx_folder(tmp_path, idx_files):
    """A test's own copy of the four files."""
    return shutil.copytree(idx_files, tmp_path / "small digits")


@pytest.fixture
def in_tmp(tmp_path, monkeypatch, idx_folder):
    """Run inside an empty folder; `idx_folder` lies beside what the program writes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_DIR", str(idx_folder))
    return tmp_path
