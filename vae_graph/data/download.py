"""Downloads of data files: bounded in time, and validated before they get their names. Needs no TensorFlow."""

import contextlib
import itertools
import os
import queue
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vae_graph import files

# A failing mirror is given up within the sum of these two.
ANSWER_TIMEOUT = 5.0         # seconds until the first byte, including name lookup and all addresses tried
STALL_TIMEOUT = 10.0         # seconds without a further byte
FILE_TIMEOUT = 600.0         # seconds for the whole file, however steadily it arrives
CHUNK_SIZE = 1 << 16           # bytes
MAX_SIZE = 50_000_000        # bytes per file


class DownloadError(ValueError):
    """A file cannot be downloaded. The message names the host or URL and says why."""


def download(names: Sequence[str], folder: Path, mirrors: Sequence[str], validate: Callable[[Path, str], None]) -> None:
    """Download files into `folder`, from the first mirrors that have valid ones.

    Args:
        names: the files' names, on the mirrors and in the folder; those already there are skipped.
        folder: created, if missing, with the first bytes.
        mirrors: URLs, each ending in a slash, tried in turn.
        validate: called with a downloaded file and its URL before it gets its name; raises ValueError if it is invalid.

    Raises:
        DownloadError: a file cannot be downloaded; the message has the reason for each mirror.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise DownloadError(f"no folder to download into: {place} is not a writable folder")
    failures = []
    for mirror in mirrors:
        try:
            for name in names:
                if not (folder / name).exists():
                    _download_file(mirror + name, folder / name, validate)
            return
        except ValueError as error:
            failures.append(str(error))
        except OSError as error:
            raise DownloadError(f"{folder}: no file can be written: {error.strerror or error}") from None
    raise DownloadError("; ".join(failures))


def _download_file(url: str, path: Path, validate: Callable[[Path, str], None]) -> None:
    chunks = _chunks(url)
    first = next(chunks, b"")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.remove_stale(path.parent)
    with files.staging_dir(path.parent) as staging:
        temporary = staging / path.name
        with open(temporary, "wb") as file:
            for chunk in itertools.chain([first], chunks):
                file.write(chunk)
                if file.tell() > MAX_SIZE:
                    raise DownloadError(f"{url}: more than {MAX_SIZE} bytes")
                _show_progress(f"{path.name}: {file.tell() / 1e6:.1f} MB")
        _show_progress("")
        validate(temporary, url)
        files.commit(temporary, path)


def _chunks(url: str) -> Iterator[bytes]:
    """The content of a URL, received in a thread.

    A socket's own timeout starts again for each of a host's addresses and does not include the name lookup, so behind
    a firewall that drops packets it can take minutes; waiting for a thread cannot.
    """
    received: queue.Queue[bytes | Exception] = queue.Queue()
    given_up = threading.Event()

    def receive() -> None:
        try:
            with urllib.request.urlopen(url, timeout=STALL_TIMEOUT) as response:
                while not given_up.is_set():
                    # As soon as there is any: the first byte shows that the mirror answers.
                    chunk = response.read1(CHUNK_SIZE)
                    if not chunk and (missing := getattr(response, "length", None)):
                        raise EOFError(f"{missing} bytes missing at the end")
                    received.put(chunk)
                    if not chunk:
                        return
        except Exception as error:
            received.put(error)

    threading.Thread(target=receive, daemon=True).start()
    deadline, timeout = time.monotonic() + FILE_TIMEOUT, ANSWER_TIMEOUT
    try:
        while True:
            try:
                chunk = received.get(timeout=timeout)
            except queue.Empty:
                chunk = TimeoutError(f"no answer for {timeout:g} s")
            if not isinstance(chunk, Exception) and time.monotonic() > deadline:
                chunk = TimeoutError(f"not complete after {FILE_TIMEOUT:g} s")
            if isinstance(chunk, Exception):
                raise DownloadError(f"{urllib.parse.urlsplit(url).hostname}: {chunk}")
            if not chunk:
                return
            yield chunk
            timeout = STALL_TIMEOUT
    finally:
        given_up.set()


def _show_progress(text: str) -> None:
    """Replace the terminal's current line; print nothing to a log file."""
    if sys.stdout.isatty():
        with contextlib.suppress(OSError):       # a closed terminal is no reason to end a download
            print(f"\r\x1b[K{text}", end="", flush=True)
