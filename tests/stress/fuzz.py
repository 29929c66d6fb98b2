"""A fuzzer for the two readers of files: for any bytes, a correct result or the documented error.

    pip install -e ".[fuzz]"
    python -m tests.stress.fuzz idx [--runs N]            1,000,000 inputs for `data.read_idx`
    python -m tests.stress.fuzz checkpoint [--runs N]     1,000,000 for `inspection.inspect`

Atheris, which is libFuzzer for Python, mutates its inputs for coverage. Half of them are made into files with valid
checksums, since otherwise nearly all would be refused for these. A traceback, a wrong result, an input that takes more
than a second or 200 MB above the memory at the start end the run; the input is then saved to a file.
"""

import argparse
import atexit
import contextlib
import gzip
import hashlib
import os
import re
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

RUNS = 1_000_000
SECONDS, MEGABYTES = 1, 200


def idx(folder: Path, seen: Counter[str]) -> Callable[[bytes], None]:
    """The reader of IDX files, images and labels, raw and inside a gzip file."""
    import atheris  # in the functions, so that --help needs no extra

    with atheris.instrument_imports(include=["vae_graph"]):
        from vae_graph import data
    path = folder / "file.gz"

    def test(content: bytes) -> None:
        shape = (28, 28) if content[:1] < b"\x80" else ()
        inner = content[2:]
        path.write_bytes(gzip.compress(inner, 1) if content[1:2] < b"\x80" else inner)
        try:
            items, digest = data.read_idx(path, shape)
        except data.DataError as error:
            refused(str(error), str(path), seen)
            return
        with contextlib.suppress(OSError):
            inner = gzip.decompress(path.read_bytes())
        assert digest == hashlib.sha256(inner).hexdigest()
        assert items.tobytes() == inner[4 + 4 * (1 + len(shape)):]
        assert items.shape == (struct.unpack(">I", inner[4:8])[0], *([784] if shape else []))
        seen["read"] += 1

    for magic, tail in ((0x0803, struct.pack(">II", 28, 28) + bytes(784)), (0x0801, b"\7")):
        for raw in (b"\0", b"\xff"):
            inner = struct.pack(">II", magic, 1) + tail
            seed = b"\0" if magic == 0x0803 else b"\xff"
            (folder / "corpus" / f"{magic}{raw[0]}").write_bytes(
                seed + raw + (inner if raw == b"\0" else gzip.compress(inner)))
    return test


def refused(message: str, name: str, seen: Counter[str]) -> None:
    """Count an error, which must be one line that names the file."""
    assert name in message
    assert "\n" not in message
    seen["refused"] += 1


def checkpoint(folder: Path, seen: Counter[str]) -> Callable[[bytes], None]:
    """The inspector of checkpoints: an index, an entry of one, a block of one, a data file, both formats."""
    import atheris

    with atheris.instrument_imports(include=["vae_graph"]):
        from vae_graph import checkpoints
        from vae_graph.checkpoints import inspection, variables
    from tests import crafted

    values = np.arange(16, dtype=np.float32).tobytes()
    entry = crafted.entry(data=values)
    good = {b"\0": crafted.table([(b"", crafted.header()), (b"w", entry)]),
            b"\1": crafted.entry(data=values, slices=[[(0, 8)], [(8, 8)]]),
            b"\2": crafted.block([(b"", crafted.header()), (b"w", entry)]), b"\3": values, b"\4": crafted.header(),
            b"\6": crafted.saved_slices("w", [16], [[(0, 16)]]), b"\7": crafted.saved_part("w", [(0, 16)], values)}
    halves = [(variables.part_key(b"w", ((start, 8),)),
               crafted.entry([8], data=values[4 * start:4 * start + 32], offset=4 * start)) for start in (0, 8)]
    for kind, content in good.items():
        (folder / "corpus" / str(kind[0])).write_bytes(kind + content)
    V1 = folder / "single.ckpt"

    def test(content: bytes) -> None:
        kind, part = content[:1], content[1:]
        index = {b"\0": lambda: part,
                 b"\1": lambda: crafted.table([(b"", crafted.header()), *halves, (b"w", part)]),
                 b"\2": lambda: crafted.sealed([part]),
                 b"\4": lambda: crafted.table([(b"", part), (b"w", entry)]),
                 b"\5": lambda: crafted.sealed([good[b"\2"]], index=part)}.get(kind, lambda: good[b"\0"])()
        prefix = crafted.write(folder, index, part if kind == b"\3" else values)
        is_v1 = kind in (b"\6", b"\7")
        if is_v1:
            single = good | {kind: part}
            V1.write_bytes(crafted.table([(b"", single[b"\6"]), (b"w", single[b"\7"])]))
            prefix = str(V1)
        try:
            found = inspection.inspect(prefix)
        except checkpoints.CheckpointError as error:
            refused(str(error), prefix, seen)
            return
        for variable in found.variables:
            if (variable.name, variable.shape, variable.dtype) == ("w", (16,), "float32") and not (
                    is_v1 or found.missing):
                assert variable.norm == np.linalg.norm(np.arange(16))
        seen["read"] += 1

    return test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=("idx", "checkpoint"))
    parser.add_argument("--runs", type=int, default=RUNS, help="default: 1,000,000")
    flags = parser.parse_args()
    import atheris

    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:
        (Path(place) / "corpus").mkdir()
        test = {"idx": idx, "checkpoint": checkpoint}[flags.target](Path(place), seen)
        memory, begin, longest = megabytes(), time.monotonic(), 0.0

        def timed(content: bytes) -> None:
            nonlocal longest
            start = time.monotonic()
            try:
                test(content)
            except Exception:
                Path("fuzz-found.bin").write_bytes(content)
                raise
            longest = max(longest, time.monotonic() - start)

        @atexit.register         # the fuzzer does not return
        def report() -> None:
            print(f"{flags.target}: {sum(seen.values()):,} inputs in {time.monotonic() - begin:.0f} s: "
                  f"{seen['read']:,} read, {seen['refused']:,} refused; the longest took {1000 * longest:.0f} ms; "
                  f"memory {megabytes() - memory} MB above the start", flush=True)

        atheris.Setup([sys.argv[0], f"{place}/corpus", f"-atheris_runs={flags.runs}",
                       f"-timeout={SECONDS}", f"-rss_limit_mb={memory + MEGABYTES}", "-max_len=4096", "-seed=1",
                       "-verbosity=0"], timed)
        atheris.Fuzz()


def megabytes() -> int:
    """The peak memory of this process."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


if __name__ == "__main__":
    main()
