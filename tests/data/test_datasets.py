"""Data files are read correctly, or refused with one line that names the file, what was expected and found."""

import gzip
import hashlib
import os
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import assert_one_line, damaged, many, posix_only
from tests.small import write_idx
from vae_graph import data
from vae_graph.data import datasets, rendered


class TestReadIdx:
    def test_items_and_digest(self, tmp_path, monkeypatch):
        monkeypatch.setattr(datasets, "MAX_ITEMS", 3)
        images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
        write_idx(tmp_path / "images.gz", images)
        items, digest = data.read_idx(tmp_path / "images.gz", (28, 28))
        np.testing.assert_array_equal(items, images.reshape(3, 784))
        assert digest == hashlib.sha256(gzip.decompress((tmp_path / "images.gz").read_bytes())).hexdigest()
        write_idx(tmp_path / "labels.gz", np.uint8([7, 0, 9]))
        assert data.read_idx(tmp_path / "labels.gz", ())[0].tolist() == [7, 0, 9]

    @pytest.mark.parametrize(("content", "expected"), [
        pytest.param(b"<!doctype html><title>moved</title>", "expected an IDX file, found an HTML page", id="HTML"),
        pytest.param(b"", "expected an IDX header of 8 bytes, found 0", id="empty"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0"), "expected an IDX header of 8 bytes, found 5", id="half a header"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0\0\0\2\7\7")[:-9], "expected a complete gzip file",
                     id="truncated gzip"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0\0\0\2\7\7")[:-8] + bytes(8), "expected a gzip file, found CRC",
                     id="flipped bytes"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0\0\0\2\7"), "expected 2 items of 1 bytes .*, found only 1 bytes",
                     id="fewer items than announced"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0\0\0\2\7\7\7"), "expected 2 items of 1 bytes .*, found more",
                     id="more items than announced"),
        pytest.param(gzip.compress(b"\0\0\x08\3\0\0\0\2\7\7"), "magic number 0x00000801, found 0x00000803",
                     id="images for labels"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0\0\0\0"), "1 to 250000 items, found .* 0", id="no items"),
        pytest.param(gzip.compress(b"\0\0\x08\1\xff\xff\xff\xff"), "1 to 250000 items, found .* 4294967295",
                     id="too many items"),
    ])
    def test_refuses(self, tmp_path, content, expected):
        path = tmp_path / "labels.gz"
        path.write_bytes(content)
        with pytest.raises(data.DataError, match=expected) as error:
            data.read_idx(path, ())
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)

    def test_uncompressed_under_any_name(self, tmp_path):
        write_idx(tmp_path / "labels.gz", np.uint8([7, 0, 9]))
        content = gzip.decompress((tmp_path / "labels.gz").read_bytes())
        (tmp_path / "plain.gz").write_bytes(content)
        items, digest = data.read_idx(str(tmp_path / "plain.gz"), ())
        assert (items.tolist(), digest) == ([7, 0, 9], hashlib.sha256(content).hexdigest())

    def test_refuses_images_of_another_shape(self, tmp_path):
        write_idx(tmp_path / "images.gz", np.zeros((3, 32, 32), np.uint8))
        with pytest.raises(data.DataError, match=r"expected items of shape \(28, 28\), found \(32, 32\)"):
            data.read_idx(tmp_path / "images.gz", (28, 28))

    @posix_only
    def test_a_pipe_is_not_opened(self, tmp_path):
        os.mkfifo(tmp_path / "labels.gz")
        with pytest.raises(data.DataError, match="found no regular file"):
            data.read_idx(tmp_path / "labels.gz", ())

    def test_refuses_a_folder_and_a_missing_file(self, tmp_path):
        with pytest.raises(data.DataError, match=f"^{tmp_path}: expected a readable file, found Is a dir"):
            data.read_idx(tmp_path, ())
        with pytest.raises(data.DataError, match="found no such file"):
            data.read_idx(tmp_path / "labels.gz", ())


class TestOther:
    def test_is_split_as_the_original_splits(self, idx_folder):
        data_set = data.other(idx_folder)
        assert data_set.name == "small digits"
        assert (len(data_set.train.digits), len(data_set.validation.digits), len(data_set.test.digits)) == (220, 20, 60)
        images, _ = data.read_idx(idx_folder / datasets.TRAIN_IMAGES.name, (28, 28))
        labels, _ = data.read_idx(idx_folder / datasets.TRAIN_LABELS.name, ())
        assert data_set.train.images.dtype == data_set.train.labels.dtype == np.float32
        np.testing.assert_array_equal(data_set.validation.images, images[:20].astype(np.float32) / np.float32(255))
        np.testing.assert_array_equal(data_set.train.images, images[20:].astype(np.float32) / np.float32(255))
        np.testing.assert_array_equal(data_set.train.labels, np.eye(10)[labels[20:]])
        for n, length in ((3, 3), (None, 60), (99, 60)):
            first = data_set.test.first(n)
            assert (first.pixels.shape, first.digits.shape) == ((length, 784), (length,))

    def test_refuses_a_label_beyond_nine(self, idx_folder):
        write_idx(idx_folder / datasets.TEST_LABELS.name, np.full(60, 10, np.uint8))
        with pytest.raises(data.DataError, match=f"^{idx_folder}/t10k-labels.*: expected labels from 0 to 9, found 10"):
            data.other(idx_folder)

    def test_refuses_more_labels_than_images(self, idx_folder):
        write_idx(idx_folder / datasets.TRAIN_LABELS.name, np.zeros(241, np.uint8))
        with pytest.raises(data.DataError, match=r"train-labels.* expected 240 labels, .*, found 241"):
            data.other(idx_folder)


def test_the_files_of_mnist():
    """Their names, and the SHA-256 of their uncompressed content, as they have been since 1998."""
    assert data.MNIST_SHA256 == {
        "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}
    assert [file.item_shape for file in data.FILES] == [(28, 28), (), (28, 28), ()]
    assert all(re.fullmatch(r"https?://[\w./-]+/mnist/", mirror) for mirror in data.MIRRORS)


def test_another_set_in_mnists_format_is_not_mnist(idx_folder):
    before = {path.name: path.read_bytes() for path in idx_folder.iterdir()}
    with pytest.raises(data.DataError, match=r"train-images.* expected MNIST's content \(SHA-256 ba89.*other"):
        data.mnist(idx_folder)
    assert {path.name: path.read_bytes() for path in idx_folder.iterdir()} == before


class TestForms:
    """MNIST as other programs store it; `small_mnist` stands for it."""

    @staticmethod
    def check(folder, small_mnist):
        found, expected = data.mnist(folder, mirrors=[]), data.other(small_mnist)
        np.testing.assert_array_equal(found.train.pixels, expected.train.pixels)
        np.testing.assert_array_equal(found.test.digits, expected.test.digits)
        assert found.sha256 == expected.sha256

    @pytest.mark.parametrize("name", [
        pytest.param(lambda name: name, id="mirror"),
        pytest.param(lambda name: name.removesuffix(".gz"), id="uncompressed"),
        pytest.param(lambda name: name.removesuffix(".gz").replace("-idx", ".idx"), id="with a dot"),
        pytest.param(lambda name: f"raw/{name}", id="torchvision, MNIST"),
        pytest.param(lambda name: f"MNIST/raw/{name.removesuffix('.gz')}", id="torchvision, root")])
    def test_idx_files(self, small_mnist, tmp_path, name):
        for file in datasets.FILES:
            path = tmp_path / name(file.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            content = (small_mnist / file.name).read_bytes()
            path.write_bytes(content if path.suffix == ".gz" else gzip.decompress(content))
        self.check(str(tmp_path), small_mnist)
        assert data.other(tmp_path).sha256 == data.other(small_mnist).sha256

    @staticmethod
    def write_keras(folder, small_mnist, **changes):
        arrays = {name: data.read_idx(small_mnist / file.name, file.item_shape)[0].reshape(-1, *file.item_shape)
                  for name, file in zip(datasets.KERAS_ARRAYS.values(), datasets.FILES, strict=True)}
        np.savez(folder / "mnist.npz", **arrays | changes)

    def test_keras(self, small_mnist, tmp_path):
        self.write_keras(tmp_path, small_mnist)
        self.check(tmp_path, small_mnist)

    @pytest.mark.parametrize(("changes", "found"), [
        ({"y_test": np.zeros(60, np.uint8)}, r"MNIST's content \(SHA-256 .*delete the file"),
        ({"x_train": np.zeros((3, 784), np.uint8)}, r"x_train of type uint8 and shape \('n', 28, 28\), found .* 784"),
        ({"y_train": np.uint8(1)}, "y_train of type uint8"), ({"x_train": np.zeros((0, 28, 28), np.uint8)}, "content"),
        ({"y_train": np.array([None])}, "the array y_train, found Object arrays cannot be loaded .*; delete the file")])
    def test_another_file_of_keras_name(self, small_mnist, tmp_path, changes, found):
        self.write_keras(tmp_path, small_mnist, **changes)
        with pytest.raises(data.DataError, match=f"^{tmp_path / 'mnist.npz'}: expected .*{found}") as error:
            data.mnist(tmp_path, mirrors=[])
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"x" * 99])
    def test_any_bytes_under_keras_name(self, tmp_path, content):
        (tmp_path / "mnist.npz").write_bytes(content)
        with pytest.raises(data.DataError, match="npz: expected a NumPy archive with the array x_train, found File is"):
            data.mnist(tmp_path, mirrors=[])

    @pytest.mark.parametrize("content", [b"", b"<html>", b"\x1f\x8b\x08\0"])
    def test_a_file_to_delete(self, small_mnist, content):
        path = small_mnist / datasets.TRAIN_LABELS.name
        path.write_bytes(content)
        with pytest.raises(data.DataError, match=f"^{path}: expected .*; delete the file to download it again$"):
            data.mnist(small_mnist)
        path.unlink()
        path.mkdir()
        with pytest.raises(data.DataError, match=r": expected a readable file, found [^;]*$"):
            data.mnist(small_mnist)

    @pytest.mark.parametrize("name", ["mnist.pkl.gz", "MNIST_train.csv", "t10k-images-idx3-ubyte.gz"])
    def test_a_near_miss_is_named(self, tmp_path, name):
        (tmp_path / name).touch()
        with pytest.raises(data.MnistUnavailable, match=f"found {name} in it, and "):
            data.mnist(tmp_path, mirrors=[])
        assert data.like_mnist(tmp_path) == [name]


@pytest.mark.parametrize(("data_dir", "environment", "folder"), [
    ("given", "set", "given"), (None, "set", "set"), (None, None, "data"), (None, "", "data")])
def test_the_data_folder(monkeypatch, data_dir, environment, folder):
    monkeypatch.delenv("MNIST_DIR", raising=False)
    if environment is not None:
        monkeypatch.setenv("MNIST_DIR", environment)
    assert str(data.data_folder(data_dir)) == folder


def test_the_home_in_the_data_folder(monkeypatch):
    home = os.path.expanduser("~")
    monkeypatch.setenv("MNIST_DIR", "~/set")
    assert data.data_folder() == Path(home, "set")
    assert data.data_folder("~/given") == Path(home, "given")


class TestRenderedDigits:
    def test_same_seed_same_bytes(self):
        sets = [data.rendered_digits(seed, n_train=24, n_test=6) for seed in (5, 5, 6)]
        assert sets[0].sha256 == sets[1].sha256 != sets[2].sha256

    def test_every_image_is_a_centred_digit(self, digits):
        images = np.concatenate([digits.train.images, digits.test.images]).reshape(-1, 28, 28)
        ink = images.sum((1, 2))
        assert (ink > 15).all()
        assert (images.max((1, 2)) > 0.9).all()
        for axis in (1, 2):
            profile = images.sum(axis) > 0
            extent = 28 - profile.argmax(1) - profile[:, ::-1].argmax(1)
            assert extent.max() <= 20
            centre = (images.sum(axis) * (np.arange(28) + 0.5)).sum(1) / ink
            np.testing.assert_allclose(centre, 14, atol=0.51)

    def test_every_typeface_draws_every_digit_differently(self):
        glyphs = rendered._draw_glyphs()
        assert len(glyphs) == len(rendered.FACES) == 20
        assert len({glyph.tobytes() for face in glyphs for glyph in face}) == 200

    def test_a_nearest_neighbour_classifies_the_digits(self, digits):
        distances = ((digits.test.images[:, None] - digits.train.images[None]) ** 2).sum(2)
        nearest = digits.train.labels[distances.argmin(1)]
        assert (nearest.argmax(1) == digits.test.labels.argmax(1)).mean() > 0.7

    def test_the_numbers_of_images(self, monkeypatch):
        monkeypatch.setattr(rendered, "draw_digits", lambda n, seed: np.split(np.zeros((n, 785), np.uint8), [784], 1))
        data_set = data.rendered_digits()
        assert [len(part.digits) for part in (data_set.train, data_set.validation, data_set.test)] == [
            11_000, 1_000, 2_000]
        assert (data_set.results_subdir, data_set.title) == ("rendered", "rendered digits (not MNIST)")


IMAGES = np.array([0x0803, 2, 28, 28], ">u4").tobytes() + bytes(range(256)) * 6 + bytes(32)


class TestIdxFiles:
    def check(self, path, content):
        path.write_bytes(content)
        try:
            items, digest = data.read_idx(path, (28, 28))
        except data.DataError as error:
            assert_one_line(error, f"{path}: expected ")
            return
        inner = gzip.decompress(content)
        assert digest == hashlib.sha256(inner).hexdigest()
        assert items.tobytes() == inner[16:]

    @many
    @given(st.binary(max_size=200))
    def test_any_bytes(self, tmp_path, content):
        self.check(tmp_path / "file", content)

    @many
    @given(st.one_of(st.binary(max_size=200), damaged(IMAGES)))
    def test_any_bytes_inside_a_gzip_file(self, tmp_path, content):
        self.check(tmp_path / "file", gzip.compress(content, 1))

    @many
    @given(damaged(gzip.compress(IMAGES)))
    def test_a_damaged_gzip_file(self, tmp_path, content):
        self.check(tmp_path / "file", content)

    @pytest.mark.parametrize("count", [datasets.MAX_ITEMS + 1, 2**32 - 1])
    def test_a_header_with_too_many_items_is_refused_at_once(self, tmp_path, count):
        path = tmp_path / "file"
        path.write_bytes(gzip.compress(np.array([0x0803, count, 28, 28], ">u4").tobytes() + bytes(1000)))
        with pytest.raises(data.DataError, match=f"expected 1 to 250000 items, found a header .* {count}$"):
            data.read_idx(path, (28, 28))

    def test_a_gzip_bomb_takes_no_more_memory_than_its_header_says(self, tmp_path):
        """100 MB of zeros in 100 kB, of which the header announces two images."""
        path = tmp_path / "bomb"
        path.write_bytes(gzip.compress(IMAGES[:16] + bytes(100_000_000), 1))
        tracemalloc.start()
        try:
            with pytest.raises(data.DataError, match=r"expected 2 items of 784 bytes as its header says, found more$"):
                data.read_idx(path, (28, 28))
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()
