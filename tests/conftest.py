import gzip
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")      # before TensorFlow is imported

import numpy as np
import pytest

from vae_graph import data


def write_idx(path, items):
    """Write uint8 items, [n, 28, 28] or [n], as a gzipped IDX file."""
    header = np.array([0x0800 + items.ndim, *items.shape], ">u4").tobytes()
    path.write_bytes(gzip.compress(header + items.tobytes(), mtime=0))


@pytest.fixture(scope="session")
def digits():
    """A small data set: 220 training, 20 validation and 60 test images."""
    return data.rendered_digits(seed=1, n_train=240, n_test=60)


@pytest.fixture
def idx_folder(tmp_path):
    """A folder with four small IDX files in MNIST's format, which are not MNIST's."""
    folder = tmp_path / "small digits"
    folder.mkdir()
    images, labels = data.rendered.draw_digits(300, seed=1)
    images = images.reshape(-1, 28, 28)
    for (images_file, labels_file), part in (((data.TRAIN_IMAGES, data.TRAIN_LABELS), slice(0, 240)),
                                             ((data.TEST_IMAGES, data.TEST_LABELS), slice(240, 300))):
        write_idx(folder / images_file.name, images[part])
        write_idx(folder / labels_file.name, labels[part])
    return folder
