"""MNIST as the original used it: found or downloaded, verified, decoded and split.

The four files are gzipped IDX (http://yann.lecun.com/exdb/mnist/). A file is known by the SHA-256 of
its UNCOMPRESSED content, since the same images recompressed are the same data.
"""

import contextlib
import gzip
import hashlib
import io
import os
import queue
import socket
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_graph import rendered

N_CLASSES = 10
IMAGE_SHAPE = (28, 28)
MAX_ITEMS = 250_000          # more than EMNIST has of digits; bounds the memory that a header can make us take


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

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
# Together these give a failing mirror up within 15 seconds.
ANSWER_TIMEOUT = 5.0         # seconds until the first byte, name look-up and all the addresses tried included
STALL_TIMEOUT = 10.0         # seconds without a further byte


class DataError(ValueError):
    """A data file is not what it should be. The message names the file, what was expected, what was found."""


class MnistUnavailable(DataError):
    """MNIST is not on this machine and no mirror gave it."""


@dataclass(frozen=True)
class Split:
    """Images with their labels, as the files have them: bytes."""

    pixels: np.ndarray           # uint8 [n, 784]
    digits: np.ndarray           # uint8 [n]

    @property
    def images(self) -> np.ndarray:
        """What the network is fed, float32 [n, 784] in [0, 1]; made when it is asked for, at four times the memory."""
        return np.divide(self.pixels, 255, dtype=np.float32)

    @property
    def labels(self) -> np.ndarray:
        """The labels as the original has them: one-hot, float32 [n, 10]."""
        return np.eye(N_CLASSES, dtype=np.float32)[self.digits]

    def first(self, n: int | None) -> "Split":
        """The first n images, or all there are."""
        return Split(self.pixels[:n], self.digits[:n])


@dataclass(frozen=True)
class DataSet:
    """A data set in the original's three parts. `sha256` has one digest for each of the four files."""

    name: str
    stand_in: str            # empty for MNIST, else "rendered" or "other": a folder to keep its results apart in
    train: Split
    validation: Split
    test: Split
    sha256: dict[str, str]

    @property
    def title(self) -> str:
        """What stands above its pictures and in its summaries; empty for MNIST."""
        return f"{self.name} (not MNIST)" if self.stand_in else ""


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Where the four files are looked for: `data_dir`, else $MNIST_DIR, else `data`."""
    return Path(data_dir or os.environ.get("MNIST_DIR") or "data")


def mnist(folder: Path, mirrors: Sequence[str] = MIRRORS) -> DataSet:
    """MNIST from `folder`; files that are not there are downloaded into it first.

    Args:
        folder: where the four gzipped files are, or shall be.
        mirrors: URLs, each ending in a slash, tried in turn.

    Returns:
        55,000 training, 5,000 validation and 10,000 test images: the original's split.

    Raises:
        MnistUnavailable: a file is not there and cannot be downloaded.
        DataError: a file that is there is not MNIST's. It is left as it is.
    """
    missing = [file for file in FILES if not (folder / file.name).exists()]
    if missing:
        _download(missing, folder, mirrors)
    contents = {file: read_idx(folder / file.name, file.item_shape) for file in FILES}
    for file, (_, digest) in contents.items():
        if digest != file.sha256:
            raise DataError(f"{folder / file.name}: expected MNIST's content (SHA-256 {file.sha256}), found {digest}; "
                            "delete the file to download it anew, or pass --dataset other if another set is meant")
    return _data_set("MNIST", "", contents)


def other(folder: Path) -> DataSet:
    """Another data set in MNIST's format and under its file names, Fashion-MNIST for one; called by its folder's name.

    Raises:
        DataError: a file is missing or malformed, images and labels differ in number, or a label exceeds 9.
    """
    contents = {file: read_idx(folder / file.name, file.item_shape) for file in FILES}
    for images, labels in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
        n_images, n_labels = len(contents[images][0]), len(contents[labels][0])
        if n_images != n_labels:
            raise DataError(f"{folder / labels.name}: expected {n_images} labels, one for each image of "
                            f"{images.name}, found {n_labels}")
        largest = contents[labels][0].max()
        if largest >= N_CLASSES:
            raise DataError(f"{folder / labels.name}: expected labels from 0 to {N_CLASSES - 1}, found {largest}")
    # What the locale cannot decode, pictures could not show.
    return _data_set(os.fsencode(folder.resolve().name).decode(errors="replace"), "other", contents)


def rendered_digits(seed: int = 0, n_train: int = 12_000, n_test: int = 2_000) -> DataSet:
    """The offline stand-in, drawn from fonts: see `rendered`. The same seed gives the same bytes."""
    images, labels = rendered.draw_digits(n_train + n_test, seed)
    parts = {TRAIN_IMAGES: images[:n_train], TRAIN_LABELS: labels[:n_train],
             TEST_IMAGES: images[n_train:], TEST_LABELS: labels[n_train:]}
    return _data_set("rendered digits", "rendered", {file: (part, hashlib.sha256(part.tobytes()).hexdigest())
                                                     for file, part in parts.items()})


def read_idx(path: Path, item_shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """The items of one gzipped IDX file of unsigned bytes, and the SHA-256 of its uncompressed content.

    Args:
        path: the file.
        item_shape: shape of one item: (28, 28) for images, () for labels.

    Returns:
        uint8 [count, product of item_shape], or [count] for labels; the digest in hexadecimal.

    Raises:
        DataError: no such file, not gzip, truncated, or not the IDX file that was expected.
    """
    item_size = int(np.prod(item_shape))
    try:
        with gzip.open(path) as file:
            header, count = _read_header(path, file, item_shape)
            # One byte more than announced is asked for, to see a file that is too long.
            body = file.read(count * item_size + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: expected a gzipped IDX file, found no such file") from None
    except gzip.BadGzipFile as error:
        raise DataError(f"{path}: expected a gzip file, found {error}") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a whole gzip file, found a damaged one ({error})") from None
    except OSError as error:
        raise DataError(f"{path}: expected a file that can be read, found {error.strerror or error}") from None

    if len(body) != count * item_size:
        found = "more" if len(body) > count * item_size else f"only {len(body)} bytes"
        raise DataError(f"{path}: expected {count} items of {item_size} bytes as its header says, found {found}")
    digest = hashlib.sha256(header)
    digest.update(body)
    items = np.frombuffer(body, np.uint8)
    return items.reshape(count, item_size) if item_shape else items, digest.hexdigest()


def _read_header(path: Path, file: gzip.GzipFile, item_shape: tuple[int, ...]) -> tuple[bytes, int]:
    """An IDX header and the number of items that it announces, once everything else in it is as expected."""
    n_dimensions = 1 + len(item_shape)
    size = 4 + 4 * n_dimensions
    header = file.read(size)
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


def _data_set(name: str, stand_in: str, contents: dict[IdxFile, tuple[np.ndarray, str]]) -> DataSet:
    """The four files' items as the original's three parts: the first twelfth, MNIST's 5,000, is for validation."""
    pixels, digits = contents[TRAIN_IMAGES][0], contents[TRAIN_LABELS][0]
    n_validation = len(pixels) // 12
    return DataSet(
        name=name,
        stand_in=stand_in,
        train=Split(pixels[n_validation:], digits[n_validation:]),
        validation=Split(pixels[:n_validation], digits[:n_validation]),
        test=Split(contents[TEST_IMAGES][0], contents[TEST_LABELS][0]),
        sha256={file.name: digest for file, (_, digest) in contents.items()})


def _download(files: Sequence[IdxFile], folder: Path, mirrors: Sequence[str]) -> None:
    """Bring `files` into `folder` from the first mirrors that give them whole."""
    failures = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for mirror in mirrors:
            try:
                for file in files:
                    if not (folder / file.name).exists():
                        _fetch(mirror + file.name, file, folder)
                return
            except DataError as error:
                failures.append(str(error))
    except OSError as error:
        failures.append(f"no folder to download into: {error.strerror or error}")
    names = ", ".join(file.name for file in files)
    raise MnistUnavailable(f"{folder}: expected {names}, or a mirror that gives what is missing, found "
                           + "; ".join(failures))


def _fetch(url: str, file: IdxFile, folder: Path) -> None:
    """Download one file beside its place, verify it, and only then give it its name."""
    import tensorflow as tf  # only Keras' download is used of it

    _await_first_byte(url, ANSWER_TIMEOUT)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as holding:
        try:
            with _socket_timeout(STALL_TIMEOUT), _progress_for_terminals_only():
                path = Path(tf.keras.utils.get_file(file.name, url, cache_dir=holding, cache_subdir=""))
        except Exception as error:       # Keras raises no narrower class
            raise DataError(f"{url}: {error}") from None
        try:
            _, digest = read_idx(path, file.item_shape)
        except DataError as error:
            raise DataError(str(error).replace(str(path), url)) from None
        if digest != file.sha256:
            raise DataError(f"{url}: SHA-256 {digest}, which is not MNIST's")
        os.replace(path, folder / file.name)


def _await_first_byte(url: str, timeout: float) -> None:
    """Raise DataError unless the server answers within `timeout` seconds.

    A socket's own timeout starts again for each of a name's addresses and does not count the name's
    look-up, so behind a silent firewall it can take minutes; waiting for a thread cannot.
    """
    outcome: queue.Queue[Exception | None] = queue.Queue()

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response:
                response.read(1)
            outcome.put(None)
        except Exception as error:
            outcome.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        error = outcome.get(timeout=timeout)
    except queue.Empty:
        error = TimeoutError(f"no answer in {timeout:g} s")
    if error is not None:
        raise DataError(f"{urllib.parse.urlsplit(url).hostname}: {error}")


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Keras' download has no timeout of its own and takes the process's default."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _progress_for_terminals_only() -> contextlib.AbstractContextManager:
    """Keras draws its progress bar into log files as well; there it is left out."""
    return contextlib.nullcontext() if sys.stdout.isatty() else contextlib.redirect_stdout(io.StringIO())
