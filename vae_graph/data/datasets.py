"""MNIST as the original used it: found or downloaded, validated, decoded and split.

The four files are IDX (http://yann.lecun.com/exdb/mnist/), gzipped or not; Keras' `mnist.npz` has the same arrays. A
file is identified by the SHA-256 of its UNCOMPRESSED content, since the same images recompressed are the same data.
"""

import gzip
import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vae_graph.data.download import DownloadError, download
from vae_graph.errors import UserError

N_CLASSES = 10
IMAGE_SHAPE = (28, 28)
MAX_ITEMS = 250_000          # more digits than EMNIST has; bounds the memory that a header can claim


@dataclass(frozen=True)
class IdxFile:
    """One of MNIST's four files: its name, the shape of an item, and its uncompressed content's SHA-256."""

    name: str
    item_shape: tuple[int, ...]
    sha256: str


TRAIN_IMAGES = IdxFile("train-images-idx3-ubyte.gz", IMAGE_SHAPE,
                       "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db")
TRAIN_LABELS = IdxFile("train-labels-idx1-ubyte.gz", (),
                       "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5")
TEST_IMAGES = IdxFile("t10k-images-idx3-ubyte.gz", IMAGE_SHAPE,
                      "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7")
TEST_LABELS = IdxFile("t10k-labels-idx1-ubyte.gz", (),
                      "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2")
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
MNIST_SHA256 = {file.name: file.sha256 for file in FILES}

KERAS_FILE = "mnist.npz"
KERAS_ARRAYS = dict(zip(MNIST_SHA256, ("x_train", "y_train", "x_test", "y_test"), strict=True))
LIKE_MNIST = re.compile(r"mnist|(train|t10k)-(images|labels)", re.IGNORECASE)     # in a file's name

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)


class DataError(UserError):
    """A data file is invalid. The message names it, what was expected and what was found."""


class MnistUnavailable(DataError):
    """MNIST is not on this machine and cannot be downloaded."""


@dataclass(frozen=True)
class Split:
    """Images and labels as in the files, as bytes."""

    pixels: np.ndarray           # uint8 [n, 784]
    digits: np.ndarray           # uint8 [n]

    @property
    def images(self) -> np.ndarray:
        """The network's input, float32 [n, 784] in [0, 1]; computed on access, at four times the memory."""
        return np.divide(self.pixels, 255, dtype=np.float32)

    @property
    def labels(self) -> np.ndarray:
        """The labels as the original has them: one-hot, float32 [n, 10]."""
        return np.eye(N_CLASSES, dtype=np.float32)[self.digits]

    def first(self, n: int | None) -> "Split":
        """The first n images, or all of them."""
        return Split(self.pixels[:n], self.digits[:n])


@dataclass(frozen=True)
class DataSet:
    """A data set in the original's three parts. `sha256` has one digest for each of the four files."""

    name: str
    results_subdir: str      # of its results: empty for MNIST, else "rendered" or "other"
    train: Split
    validation: Split
    test: Split
    sha256: dict[str, str]

    @property
    def title(self) -> str:
        """The title of its pictures and summaries; empty for MNIST."""
        return f"{self.name} (not MNIST)" if self.results_subdir else ""


def data_folder(data_dir: str | Path | None = None) -> Path:
    """The folder of the four files: `data_dir`, else $MNIST_DIR, else `data`. Raises DataError if that is a URL."""
    folder = data_dir or os.environ.get("MNIST_DIR") or "data"
    if "://" in str(folder):
        raise DataError(f"{'--data_dir' if data_dir else 'MNIST_DIR'}: expected the name of a folder, found the URL "
                        f"{folder}")
    return Path(os.path.expanduser(folder))


def mnist(folder: str | Path, mirrors: Sequence[str] = MIRRORS) -> DataSet:
    """MNIST from `folder`; missing files are downloaded into it first.

    Args:
        folder: of the four files, see `find_file`; or of Keras' `mnist.npz`.
        mirrors: URLs, each ending in a slash, tried in turn.

    Returns:
        55,000 training, 5,000 validation and 10,000 test images: the original's split.

    Raises:
        MnistUnavailable: a file is missing and cannot be downloaded.
        DataError: a file that is there is not MNIST's. It is not changed.
    """
    folder = Path(folder)
    missing = [file for file in FILES if not find_file(folder, file).exists()]
    is_keras = bool(missing) and (folder / KERAS_FILE).is_file()
    if missing and not is_keras:
        _download(missing, folder, mirrors)
    contents = {}
    for file in FILES:
        path = folder / KERAS_FILE if is_keras else find_file(folder, file)
        try:
            contents[file] = _read_keras(path, file) if is_keras else read_idx(path, file.item_shape)
        except DataError as error:
            hint = "; delete the file to download it again" if path.is_file() and os.access(path, os.R_OK) else ""
            raise DataError(f"{error}{hint}") from None
        if (digest := contents[file][1]) != file.sha256:
            raise DataError(f"{path}: expected MNIST's content (SHA-256 {file.sha256}), found {digest}; "
                            "delete the file to download it again, or pass --dataset other for another data set")
    return _data_set("MNIST", "", contents)


def find_file(folder: Path, file: IdxFile) -> Path:
    """Where one of the four files is: gzipped or not, in the folder or where torchvision puts it below its root.

    If it is nowhere, where it would be downloaded to.
    """
    plain = file.name.removesuffix(".gz")
    places = [below / name for below in (folder, folder / "raw", folder / "MNIST" / "raw")
              for name in (file.name, plain, plain.replace("-idx", ".idx"))]
    return next((path for path in places if path.exists()), places[0])


def like_mnist(folder: Path) -> list[str]:
    """The names in a folder that look like MNIST's, in whatever format."""
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted(name for name in names if LIKE_MNIST.search(name))


def other(folder: str | Path) -> DataSet:
    """Another data set in MNIST's format and under its file names, such as Fashion-MNIST; named after its folder.

    Raises:
        DataError: a file is missing or malformed, images and labels differ in number, or a label exceeds 9.
    """
    folder = Path(folder)
    contents = {file: read_idx(find_file(folder, file), file.item_shape) for file in FILES}
    for images, labels in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
        n_images, n_labels = len(contents[images][0]), len(contents[labels][0])
        if n_images != n_labels:
            raise DataError(f"{folder / labels.name}: expected {n_images} labels, one for each image of "
                            f"{images.name}, found {n_labels}")
        largest = contents[labels][0].max()
        if largest >= N_CLASSES:
            raise DataError(f"{folder / labels.name}: expected labels from 0 to {N_CLASSES - 1}, found {largest}")
    # Bytes that the locale cannot decode could not be drawn.
    return _data_set(os.fsencode(folder.resolve().name).decode(errors="replace"), "other", contents)


def rendered_digits(seed: int = 0, n_train: int = 12_000, n_test: int = 2_000) -> DataSet:
    """The offline substitute for MNIST, drawn from fonts: see `rendered`. The same seed gives the same bytes."""
    from vae_graph.data import rendered  # matplotlib and Pillow are needed for nothing else here

    images, labels = rendered.draw_digits(n_train + n_test, seed)
    parts = {TRAIN_IMAGES: images[:n_train], TRAIN_LABELS: labels[:n_train],
             TEST_IMAGES: images[n_train:], TEST_LABELS: labels[n_train:]}
    return _data_set("rendered digits", "rendered", {file: (part, hashlib.sha256(part.tobytes()).hexdigest())
                                                     for file, part in parts.items()})


def read_idx(path: str | Path, item_shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """The items of one IDX file of unsigned bytes, gzipped or not, and the SHA-256 of its uncompressed content.

    Args:
        path: the file.
        item_shape: shape of one item: (28, 28) for images, () for labels.

    Returns:
        uint8 [count, product of item_shape], or [count] for labels; the digest in hexadecimal.

    Raises:
        DataError: no such file, truncated, or not the expected IDX file.
    """
    path = Path(path)
    item_size = int(np.prod(item_shape))
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{path}: expected an IDX file, found no regular file")
    try:
        with open(path, "rb") as raw, gzip.open(raw) if raw.read(2) == b"\x1f\x8b" else raw as file:
            raw.seek(0)
            header, count = _read_header(path, file, item_shape)
            # One byte more than announced, to detect a file that is too long.
            body = file.read(count * item_size + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: expected an IDX file, found no such file") from None
    except gzip.BadGzipFile as error:
        raise DataError(f"{path}: expected a gzip file, found {error}") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a complete gzip file, found a damaged one ({error})") from None
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, found {error.strerror or error}") from None

    if len(body) != count * item_size:
        found = "more" if len(body) > count * item_size else f"only {len(body)} bytes"
        raise DataError(f"{path}: expected {count} items of {item_size} bytes as its header says, found {found}")
    digest = hashlib.sha256(header)
    digest.update(body)
    items = np.frombuffer(body, np.uint8)
    return items.reshape(count, item_size) if item_shape else items, digest.hexdigest()


def _read_keras(path: Path, file: IdxFile) -> tuple[np.ndarray, str]:
    """What `read_idx` gives of one of the four files, from Keras' archive of them all."""
    name = KERAS_ARRAYS[file.name]
    try:
        with open(path, "rb") as raw, np.lib.npyio.NpzFile(raw) as archive:
            items = archive[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: expected a NumPy archive with the array {name}, found {error}") from None
    if items.dtype != np.uint8 or items.ndim != 1 + len(file.item_shape) or items.shape[1:] != file.item_shape:
        raise DataError(f"{path}: expected {name} of type uint8 and shape {('n', *file.item_shape)}, found "
                        f"{items.dtype} {items.shape}")
    header = np.array([0x0800 + items.ndim, *items.shape], ">u4").tobytes()
    digest = hashlib.sha256(header + items.tobytes()).hexdigest()
    return items.reshape(len(items), int(np.prod(file.item_shape))) if file.item_shape else items, digest


def _read_header(path: Path, file: BinaryIO | gzip.GzipFile, item_shape: tuple[int, ...]) -> tuple[bytes, int]:
    """A validated IDX header and the number of items that it announces."""
    n_dimensions = 1 + len(item_shape)
    size = 4 + 4 * n_dimensions
    header = file.read(size)
    if header.lstrip().startswith(b"<"):
        raise DataError(f"{path}: expected an IDX file, found an HTML page")
    if len(header) < size:
        raise DataError(f"{path}: expected an IDX header of {size} bytes, found {len(header)} bytes")
    magic, count, *shape = np.frombuffer(header, ">u4").tolist()
    expected_magic = 0x0800 + n_dimensions               # 08: unsigned bytes
    if magic != expected_magic:
        raise DataError(f"{path}: expected the IDX magic number {expected_magic:#010x}, found {magic:#010x}")
    if tuple(shape) != item_shape:
        raise DataError(f"{path}: expected items of shape {item_shape}, found {tuple(shape)}")
    if not 1 <= count <= MAX_ITEMS:
        raise DataError(f"{path}: expected 1 to {MAX_ITEMS} items, found a header that announces {count}")
    return header, count


def _data_set(name: str, results_subdir: str, contents: dict[IdxFile, tuple[np.ndarray, str]]) -> DataSet:
    """The four files' items as the original's three parts: the first twelfth, MNIST's 5,000, is for validation."""
    pixels, digits = contents[TRAIN_IMAGES][0], contents[TRAIN_LABELS][0]
    n_validation = len(pixels) // 12
    return DataSet(
        name=name,
        results_subdir=results_subdir,
        train=Split(pixels[n_validation:], digits[n_validation:]),
        validation=Split(pixels[:n_validation], digits[:n_validation]),
        test=Split(contents[TEST_IMAGES][0], contents[TEST_LABELS][0]),
        sha256={file.name: digest for file, (_, digest) in contents.items()})


def _download(files: Sequence[IdxFile], folder: Path, mirrors: Sequence[str]) -> None:
    def validate(path: Path, url: str) -> None:
        file = next(file for file in files if file.name == path.name)
        try:
            _, digest = read_idx(path, file.item_shape)
        except DataError as error:
            raise DownloadError(str(error).replace(str(path), url)) from None
        if digest != file.sha256:
            raise DownloadError(f"{url}: SHA-256 {digest}, which is not MNIST's")

    names = [file.name for file in files]
    similar = like_mnist(folder)
    try:
        download(names, folder, mirrors, validate)
    except DownloadError as error:
        found = f"{', '.join(similar)} in it, and {error}" if similar else error
        raise MnistUnavailable(f"{folder}: expected {', '.join(names)}, or a mirror that has what is missing, found "
                               f"{found}") from None
