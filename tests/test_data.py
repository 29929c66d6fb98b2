"""Data are read right or refused in one line that names the file, what was expected and what was found."""

import contextlib
import dataclasses
import functools
import gzip
import hashlib
import http.server
import socket
import threading
import time

import numpy as np
import pytest

from tests.conftest import write_idx
from vae_graph import data


class TestReadIdx:
    def test_items_and_digest(self, tmp_path):
        images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
        write_idx(tmp_path / "images.gz", images)
        items, digest = data.read_idx(tmp_path / "images.gz", (28, 28))
        np.testing.assert_array_equal(items, images.reshape(3, 784))
        assert digest == hashlib.sha256(gzip.decompress((tmp_path / "images.gz").read_bytes())).hexdigest()

    @pytest.mark.parametrize(("content", "expected"), [
        pytest.param(b"<!doctype html><title>moved</title>", "expected a gzip file, found .*<!", id="HTML"),
        pytest.param(b"", "expected an IDX header of 8 bytes, found 0", id="empty"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0"), "expected an IDX header of 8 bytes, found 5", id="half a header"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0\0\0\2\7\7")[:-9], "expected a whole gzip file", id="truncated gzip"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0\0\0\2\7\7")[:-8] + bytes(8), "expected a gzip file, found CRC",
                     id="flipped bytes"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0\0\0\2\7"), "expected 2 items of 1 bytes .*, found only 1 bytes",
                     id="fewer items than announced"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0\0\0\2\7\7\7"), "expected 2 items of 1 bytes .*, found more",
                     id="more items than announced"),
        pytest.param(gzip.compress(b"\0\0\x08\3\0\0\0\2\7\7"), "magic number 0x00000801, found 0x00000803",
                     id="images for labels"),
        pytest.param(gzip.compress(b"\0\0\x08\1\0\0\0\0"), f"1 to {data.MAX_ITEMS} items, found .* 0", id="no items"),
        pytest.param(gzip.compress(b"\0\0\x08\1\xff\xff\xff\xff"), f"1 to {data.MAX_ITEMS} items, found .* 4294967295",
                     id="too many items"),
    ])
    def test_refuses(self, tmp_path, content, expected):
        path = tmp_path / "labels.gz"
        path.write_bytes(content)
        with pytest.raises(data.DataError, match=expected) as error:
            data.read_idx(path, ())
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)

    def test_refuses_images_of_another_shape(self, tmp_path):
        write_idx(tmp_path / "images.gz", np.zeros((3, 32, 32), np.uint8))
        with pytest.raises(data.DataError, match=r"expected items of shape \(28, 28\), found \(32, 32\)"):
            data.read_idx(tmp_path / "images.gz", (28, 28))

    def test_refuses_a_folder_and_what_is_not_there(self, tmp_path):
        with pytest.raises(data.DataError, match=r"found Is a directory|found Permission denied"):
            data.read_idx(tmp_path, ())
        with pytest.raises(data.DataError, match="found no such file"):
            data.read_idx(tmp_path / "labels.gz", ())


class TestOther:
    def test_is_split_as_the_original_splits(self, idx_folder):
        data_set = data.other(idx_folder)
        assert data_set.name == "small digits"
        assert (len(data_set.train.digits), len(data_set.validation.digits), len(data_set.test.digits)) == (220, 20, 60)
        images, _ = data.read_idx(idx_folder / data.TRAIN_IMAGES.name, (28, 28))
        labels, _ = data.read_idx(idx_folder / data.TRAIN_LABELS.name, ())
        assert data_set.train.images.dtype == data_set.train.labels.dtype == np.float32
        np.testing.assert_array_equal(data_set.validation.images, images[:20].astype(np.float32) / np.float32(255))
        np.testing.assert_array_equal(data_set.train.images, images[20:].astype(np.float32) / np.float32(255))
        np.testing.assert_array_equal(data_set.train.labels, np.eye(10)[labels[20:]])

    def test_refuses_a_label_beyond_nine(self, idx_folder):
        write_idx(idx_folder / data.TEST_LABELS.name, np.full(60, 10, np.uint8))
        with pytest.raises(data.DataError, match=r"t10k-labels.* expected labels from 0 to 9, found 10"):
            data.other(idx_folder)

    def test_refuses_more_labels_than_images(self, idx_folder):
        write_idx(idx_folder / data.TRAIN_LABELS.name, np.zeros(241, np.uint8))
        with pytest.raises(data.DataError, match=r"train-labels.* expected 240 labels, .*, found 241"):
            data.other(idx_folder)


def test_a_set_in_mnists_format_is_not_taken_for_mnist(idx_folder):
    before = {path.name: path.read_bytes() for path in idx_folder.iterdir()}
    with pytest.raises(data.DataError, match=r"train-images.* expected MNIST's content \(SHA-256 ba89.*other"):
        data.mnist(idx_folder)
    assert {path.name: path.read_bytes() for path in idx_folder.iterdir()} == before


@pytest.mark.parametrize(("data_dir", "environment", "folder"), [
    ("given", "set", "given"), (None, "set", "set"), (None, None, "data"), (None, "", "data")])
def test_where_the_data_are_looked_for(monkeypatch, data_dir, environment, folder):
    monkeypatch.delenv("MNIST_DIR", raising=False)
    if environment is not None:
        monkeypatch.setenv("MNIST_DIR", environment)
    assert str(data.data_folder(data_dir)) == folder


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def mirror(folder):
    """A web server on this machine that offers the files of `folder`."""
    with http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def small_mnist(idx_folder, monkeypatch):
    """`idx_folder` with its own digests in MNIST's place, so that it is what a mirror should give."""
    names = ("TRAIN_IMAGES", "TRAIN_LABELS", "TEST_IMAGES", "TEST_LABELS")
    for name in names:
        file = getattr(data, name)
        _, digest = data.read_idx(idx_folder / file.name, file.item_shape)
        monkeypatch.setattr(data, name, dataclasses.replace(file, sha256=digest))
    monkeypatch.setattr(data, "FILES", tuple(getattr(data, name) for name in names))
    return idx_folder


class TestDownload:
    def test_a_mirror_that_gives_html_is_passed_over(self, small_mnist, tmp_path, capsys):
        portal = tmp_path / "portal"
        portal.mkdir()
        for file in data.FILES:
            (portal / file.name).write_text("<!doctype html><title>log in</title>")
        folder = tmp_path / "new" / "data"
        with mirror(portal) as bad, mirror(small_mnist) as good:
            data_set = data.mnist(folder, mirrors=[bad, good])
        np.testing.assert_array_equal(data_set.test.images, data.other(small_mnist).test.images)
        assert sorted(path.name for path in folder.iterdir()) == sorted(file.name for file in data.FILES)
        assert "\b" not in capsys.readouterr().out

    def test_only_what_is_missing_is_fetched(self, small_mnist, tmp_path):
        folder = tmp_path / "data"
        with mirror(small_mnist) as good:
            data.mnist(folder, mirrors=[good])
            (folder / data.TEST_LABELS.name).unlink()
            before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
            data.mnist(folder, mirrors=[good])
        assert {path: path.stat().st_mtime_ns for path in before} == before

    def test_what_one_mirror_gave_is_not_asked_of_the_next(self, small_mnist, tmp_path):
        first, second, folder = tmp_path / "first", tmp_path / "second", tmp_path / "data"
        for mirror_folder, files in ((first, data.FILES[:2]), (second, data.FILES[2:])):
            mirror_folder.mkdir()
            for file in files:
                (mirror_folder / file.name).write_bytes((small_mnist / file.name).read_bytes())
        with mirror(first) as gives_two, mirror(second) as gives_the_others:
            data.mnist(folder, mirrors=[gives_two, gives_the_others])
        assert len(list(folder.iterdir())) == 4

    def test_another_data_set_is_not_taken_from_a_mirror(self, small_mnist, tmp_path, monkeypatch):
        monkeypatch.setattr(data, "FILES", tuple(dataclasses.replace(file, sha256="0" * 64) for file in data.FILES))
        with mirror(small_mnist) as wrong, pytest.raises(data.MnistUnavailable, match="which is not MNIST's"):
            data.mnist(tmp_path / "data", mirrors=[wrong])
        assert list((tmp_path / "data").iterdir()) == []

    def test_no_mirror_gives_it(self, small_mnist, tmp_path):
        with mirror(tmp_path / "nothing") as empty, pytest.raises(data.MnistUnavailable, match="404"):
            data.mnist(tmp_path / "data", mirrors=[empty])
        assert list((tmp_path / "data").iterdir()) == []

    def test_a_silent_mirror_is_given_up(self, small_mnist, tmp_path, monkeypatch):
        monkeypatch.setattr(data, "ANSWER_TIMEOUT", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            start = time.monotonic()
            with pytest.raises(data.MnistUnavailable, match=r"no answer in 0.3 s|timed out"):
                data.mnist(tmp_path / "data", mirrors=[f"http://127.0.0.1:{silent.getsockname()[1]}/"])
            assert time.monotonic() - start < 3

    def test_a_mirror_whose_name_is_looked_up_for_ever_is_given_up(self, small_mnist, tmp_path, monkeypatch):
        released = threading.Event()
        monkeypatch.setattr(data, "ANSWER_TIMEOUT", 0.3)
        monkeypatch.setattr(data.urllib.request, "urlopen", lambda *args, **kwargs: released.wait(30))
        start = time.monotonic()
        with pytest.raises(data.MnistUnavailable, match=r"no answer in 0\.3 s"):
            data.mnist(tmp_path / "data", mirrors=["http://localhost/"])
        assert time.monotonic() - start < 3
        released.set()

    def test_a_mirror_that_stalls_is_given_up(self, small_mnist, tmp_path, monkeypatch):
        class Stalling(QuietHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"x")
                released.wait()

        released = threading.Event()
        monkeypatch.setattr(data, "STALL_TIMEOUT", 0.3)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalling) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            start = time.monotonic()
            with pytest.raises(data.MnistUnavailable, match="timed out"):
                data.mnist(tmp_path / "data", mirrors=[f"http://127.0.0.1:{server.server_port}/"])
            assert time.monotonic() - start < 5
            released.set()
            server.shutdown()
        assert socket.getdefaulttimeout() is None

    def test_failing_mirrors_are_given_up_within_15_seconds(self):
        assert data.ANSWER_TIMEOUT + data.STALL_TIMEOUT <= 15

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(data.MnistUnavailable, match="found no folder to download into: Not a directory"):
            data.mnist(tmp_path / "file" / "data")


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

    def test_every_face_draws_every_digit_its_own_way(self):
        glyphs = data.rendered.draw_glyphs()
        assert len(glyphs) == len(data.rendered.FACES) == 20
        assert len({glyph.tobytes() for face in glyphs for glyph in face}) == 200

    def test_a_nearest_neighbour_tells_the_digits_apart(self, digits):
        distances = ((digits.test.images[:, None] - digits.train.images[None]) ** 2).sum(2)
        nearest = digits.train.labels[distances.argmin(1)]
        assert (nearest.argmax(1) == digits.test.labels.argmax(1)).mean() > 0.7

    def test_made_in_under_five_seconds(self):
        start = time.process_time()
        data_set = data.rendered_digits()
        assert time.process_time() - start < 5
        assert len(data_set.train.images) + len(data_set.validation.images) == 12_000
        assert len(data_set.test.images) == 2_000
