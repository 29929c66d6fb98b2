"""Downloads from mirrors that work, lie, stall or do not answer."""

import contextlib
import dataclasses
import functools
import http.server
import socket
import threading
import time

import numpy as np
import pytest

from tests.helpers import NO_PROCESS, files_of_at_most
from vae_graph import data
from vae_graph.data import datasets, download


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(handler):
    """A web server on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def mirror(folder):
    """A web server on this machine for the files of `folder`."""
    return serve(functools.partial(QuietHandler, directory=str(folder)))


@pytest.mark.parametrize(("data_dir", "name"), [("http://example.org/mnist", "--data_dir"), (None, "MNIST_DIR")])
def test_a_url_is_no_folder(monkeypatch, data_dir, name):
    monkeypatch.setenv("MNIST_DIR", "http://example.org/mnist")
    with pytest.raises(data.DataError, match=f"^{name}: expected the name of a folder, found the URL http://example"):
        data.data_folder(data_dir)


class TestDownload:
    def test_what_a_killed_download_left_is_removed(self, small_mnist, tmp_path):
        staging = tmp_path / f".saving-{NO_PROCESS}-abcdefgh.incomplete"
        staging.mkdir()
        with mirror(small_mnist) as url:
            data.mnist(tmp_path, mirrors=[url])
        assert {path.name for path in tmp_path.iterdir()} == {file.name for file in data.FILES} | {"small digits"}

    def test_a_mirror_that_returns_html_is_skipped(self, small_mnist, tmp_path, capsys):
        portal = tmp_path / "portal"
        portal.mkdir()
        for file in data.FILES:
            (portal / file.name).write_text("<!doctype html><title>log in</title>")
        folder = tmp_path / "new" / "data"
        with mirror(portal) as bad, mirror(small_mnist) as good:
            data_set = data.mnist(folder, mirrors=[bad, good])
        np.testing.assert_array_equal(data_set.test.images, data.other(small_mnist).test.images)
        assert (data_set.name, data_set.results_subdir, data_set.title) == ("MNIST", "", "")
        assert data_set.sha256 == {file.name: file.sha256 for file in datasets.FILES}
        assert sorted(path.name for path in folder.iterdir()) == sorted(file.name for file in data.FILES)
        assert "\b" not in capsys.readouterr().out

    def test_only_what_is_missing_is_fetched(self, small_mnist, tmp_path):
        folder = tmp_path / "data"
        with mirror(small_mnist) as good:
            data.mnist(folder, mirrors=[good])
            (folder / datasets.TEST_LABELS.name).unlink()
            before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
            data.mnist(folder, mirrors=[good])
        assert {path: path.stat().st_mtime_ns for path in before} == before

    def test_files_from_one_mirror_are_not_requested_from_the_next(self, small_mnist, tmp_path):
        first, second, folder = tmp_path / "first", tmp_path / "second", tmp_path / "data"
        for mirror_folder, files in ((first, data.FILES[:2]), (second, data.FILES[2:])):
            mirror_folder.mkdir()
            for file in files:
                (mirror_folder / file.name).write_bytes((small_mnist / file.name).read_bytes())
        with mirror(first) as gives_two, mirror(second) as gives_the_others:
            data.mnist(folder, mirrors=[gives_two, gives_the_others])
        assert len(list(folder.iterdir())) == 4

    def test_another_data_set_from_a_mirror_is_refused(self, small_mnist, tmp_path, monkeypatch):
        others = [dataclasses.replace(file, sha256="0" * 64) for file in datasets.FILES]
        monkeypatch.setattr(datasets, "FILES", tuple(others))
        with mirror(small_mnist) as wrong, pytest.raises(data.MnistUnavailable, match="which is not MNIST's"):
            data.mnist(tmp_path / "data", mirrors=[wrong])
        assert list((tmp_path / "data").iterdir()) == []

    def test_no_mirror_has_it(self, small_mnist, tmp_path):
        with mirror(tmp_path / "nothing") as empty, pytest.raises(data.MnistUnavailable, match="404"):
            data.mnist(tmp_path / "data", mirrors=[empty])
        assert not (tmp_path / "data").exists()

    def test_a_mirror_that_does_not_answer_times_out(self, small_mnist, tmp_path, monkeypatch):
        monkeypatch.setattr(download, "ANSWER_TIMEOUT", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent, \
                pytest.raises(data.MnistUnavailable, match=r"no answer for 0.3 s"):
            data.mnist(tmp_path / "data", mirrors=[f"http://127.0.0.1:{silent.getsockname()[1]}/"])

    def test_a_name_lookup_that_hangs_times_out(self, small_mnist, tmp_path, monkeypatch):
        def hang(*args, **kwargs):
            threads.append(threading.current_thread())
            released.wait(30)

        released, threads = threading.Event(), []
        monkeypatch.setattr(download, "ANSWER_TIMEOUT", 0.3)
        monkeypatch.setattr(download.urllib.request, "urlopen", hang)
        with pytest.raises(data.MnistUnavailable, match=r"no answer for 0\.3 s"):
            data.mnist(tmp_path / "data", mirrors=["http://localhost/"])
        assert [thread.daemon for thread in threads] == [True]           # it does not keep the program from ending
        released.set()

    def test_a_mirror_that_stalls_times_out(self, small_mnist, tmp_path, monkeypatch):
        class Stalling(QuietHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"x")
                released.wait()

        released = threading.Event()
        monkeypatch.setattr(download, "STALL_TIMEOUT", 0.3)
        with serve(Stalling) as stalled:
            with pytest.raises(data.MnistUnavailable, match=r"no answer for 0\.3 s|timed out"):
                data.mnist(tmp_path / "data", mirrors=[stalled])
            released.set()

    def test_a_mirror_that_trickles_times_out(self, small_mnist, tmp_path, monkeypatch):
        """No wait for the next byte is long, but the file is not complete in time."""
        class Trickling(QuietHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    for _ in range(100):
                        self.wfile.write(b"x")
                        time.sleep(0.05)

        monkeypatch.setattr(download, "FILE_TIMEOUT", 0.3)
        with serve(Trickling) as slow, pytest.raises(data.MnistUnavailable, match=r"not complete after 0\.3 s"):
            data.mnist(tmp_path / "data", mirrors=[slow])

    def test_a_file_that_is_too_large_is_refused(self, small_mnist, tmp_path, monkeypatch):
        monkeypatch.setattr(download, "MAX_SIZE", 1000)
        with mirror(small_mnist) as large, pytest.raises(data.MnistUnavailable, match="more than 1000 bytes"):
            data.mnist(tmp_path / "data", mirrors=[large])
        assert list((tmp_path / "data").iterdir()) == []

    def test_a_truncated_file_is_refused(self, small_mnist, tmp_path):
        class Truncating(QuietHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(bytes(900))

        with serve(Truncating) as bad, pytest.raises(data.MnistUnavailable, match="100 bytes missing at the end"):
            data.mnist(tmp_path / "data", mirrors=[bad])

    def test_progress_is_shown_on_a_terminal(self, small_mnist, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        with mirror(small_mnist) as good:
            data.mnist(tmp_path / "data", mirrors=[good])
        output = capsys.readouterr().out
        for file in data.FILES:
            assert f"\r\x1b[K{file.name}: 0.0 MB" in output
        assert output.endswith("\r\x1b[K")

    def test_failing_mirrors_time_out_within_15_seconds(self):
        assert download.ANSWER_TIMEOUT + download.STALL_TIMEOUT <= 15

    def test_a_folder_that_cannot_be_created(self, tmp_path):
        """It is refused before a mirror is asked."""
        (tmp_path / "file").touch()
        with pytest.raises(data.MnistUnavailable, match=r"found no folder to download into: .*file is not a writable"):
            data.mnist(tmp_path / "file" / "data")

    def test_a_limit_of_file_sizes(self, small_mnist, tmp_path):
        folder = tmp_path / "data"
        with mirror(small_mnist) as good, files_of_at_most(100), \
                pytest.raises(data.MnistUnavailable, match=f"found {folder}: no file can be written: File too large$"):
            data.mnist(folder, mirrors=[good])
        assert list(folder.iterdir()) == []
