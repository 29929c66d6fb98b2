"""What tests and the programs beside them share: a small network, small data, the program in a forked process.

It imports no package of the tests, so that the benchmarks and stress tests run without them.
"""

import contextlib
import gzip
import io
import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import run_mnist
from vae_graph import training_graph  # noqa: F401  TensorFlow too, before a process is forked
from vae_graph.data import datasets, rendered
from vae_graph.settings import Settings

ROOT = Path(__file__).parent.parent
ORACLE_DIR = Path(__file__).parent / "legacy-oracle" / "tf-1.4.0"

# A small network, in code and as flags. One tower: its graph is built in half the time.
SETTINGS = Settings(n_hidden_encoder=16, n_z=2, n_hidden_decoder=12, num_epoch=4, batch_size=50, learning_rate=1e-2,
                    seed=7, checkpoint_every=2)
SMALL = ("--n_hidden_encoder", "16", "--n_hidden_decoder", "12", "--batch_size", "50", "--towers", "1", "--num_epoch",
         "2")


def tiny_png(gray):
    """A PNG file of one pixel."""
    content = io.BytesIO()
    Image.new("L", (1, 1), gray).save(content, "PNG")
    return content.getvalue()


def write_idx(path, items):
    """Write uint8 items, [n, 28, 28] or [n], as a gzipped IDX file."""
    header = np.array([0x0800 + items.ndim, *items.shape], ">u4").tobytes()
    path.write_bytes(gzip.compress(header + items.tobytes(), mtime=0))


def write_small_idx(folder):
    """Write 240 rendered training digits and 60 test digits as four IDX files."""
    folder.mkdir(exist_ok=True)
    images, labels = rendered.draw_digits(300, seed=1)
    images = images.reshape(-1, 28, 28)
    for (images_file, labels_file), part in (((datasets.TRAIN_IMAGES, datasets.TRAIN_LABELS), slice(0, 240)),
                                             ((datasets.TEST_IMAGES, datasets.TEST_LABELS), slice(240, 300))):
        write_idx(folder / images_file.name, images[part])
        write_idx(folder / labels_file.name, labels[part])
    return folder


def start_program(folder, flags, environment, log):
    """Start the program in a forked process, in which TensorFlow is already imported.

    Args:
        folder: its working directory.
        flags: its arguments.
        environment: variables to set.
        log: a file for its output.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.small"])
    process = context.Process(target=_run_program, args=(folder, flags, environment, log))
    process.start()
    return process


def _run_program(folder, flags, environment, log):
    os.chdir(folder)
    os.environ |= environment
    with open(log, "a", buffering=1) as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        sys.exit(run_mnist.main([*flags]))
