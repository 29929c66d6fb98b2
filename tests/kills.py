"""Kill a run at random moments, start it again each time, and compare all its bytes with those of an unbroken one.

    python -m tests.kills [--kills N] [--seed N]

Of three kills one comes at any moment, one waits until a checkpoint is being written, and one asks by SIGTERM, which
leaves the run time to keep its last step. The data are a few rendered digits; a run that ends before it is killed
makes way for a new one. Exit status 1 if a byte differs.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

FLAGS = ("--dataset", "other", "--n_hidden_encoder", "16", "--n_hidden_decoder", "12", "--batch_size", "10",
         "--num_epoch", "240", "--checkpoint_every", "80")
SECONDS_TO_WRITE = 0.01      # about what a checkpoint takes


def program(folder: Path, data: Path, flags: tuple[str, ...]) -> None:
    """In a process of its own: the program in `folder`."""
    import run_mnist

    os.chdir(folder)
    os.environ["MNIST_DIR"] = str(data)
    with open("log.txt", "a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        sys.exit(run_mnist.main(list(flags)))


def start(folder: Path, data: Path, flags: tuple[str, ...] = FLAGS) -> BaseProcess:
    """Start the program in a process that can be killed; TensorFlow is imported once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["run_mnist"])
    process = context.Process(target=program, args=(folder, data, flags))
    process.start()
    return process


def results(folder: Path) -> dict[str, bytes]:
    """All that a run leaves, but for what it says of the way there and a picture that was never finished."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in ("log.txt", ".lock") and not path.name.startswith("events.")
            and not (path.name.startswith(".saving-") and "figures" in path.parts)}


def unbroken(folder: Path, data: Path) -> tuple[dict[str, bytes], float]:
    """What a run leaves that nobody kills, and the seconds that it takes."""
    folder.mkdir()
    begin = time.perf_counter()
    process = start(folder, data)
    process.join()
    assert process.exitcode == 0, log(folder)
    return results(folder), time.perf_counter() - begin


def log(folder: Path) -> str:
    """What the program has printed, in all its processes."""
    return (folder / "log.txt").read_text()


def writing(folder: Path) -> bool:
    """Whether a checkpoint, or something that belongs to it, is not yet whole."""
    return any(folder.glob("checkpoints/*/.saving-*"))


def wait_for_a_checkpoint(folder: Path, process: BaseProcess) -> None:
    while process.is_alive() and not writing(folder):
        time.sleep(0.002)


def killed(folder: Path, data: Path, kills: int, seconds: float, moments: random.Random, report: Counter[str]
           ) -> dict[str, bytes]:
    """What a run leaves that is killed `kills` times, or as often as it can be before it ends."""
    folder.mkdir()
    for number in range(kills + 1):
        process = start(folder, data)
        if number < kills:
            if number % 3 == 1:
                wait_for_a_checkpoint(folder, process)
                process.join(moments.uniform(0, SECONDS_TO_WRITE))
            else:
                process.join(moments.uniform(0, seconds / 6))
            process.terminate() if number % 3 == 2 else process.kill()
        process.join()
        if process.exitcode == 0:
            return results(folder)
        assert process.exitcode in (-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM), log(folder)
        report["kills"] += 1
        report["SIGTERM that left a checkpoint"] += process.exitcode > 0
        report["while a checkpoint was written"] += writing(folder)
    raise AssertionError(log(folder))


def differences(ours: dict[str, bytes], theirs: dict[str, bytes]) -> list[str]:
    """The names of the files that are not the same in both."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="default: 200")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default: 0")
    flags = parser.parse_args()
    moments, report, bad = random.Random(flags.seed), Counter[str](), []
    with tempfile.TemporaryDirectory() as place:
        data = small_data(Path(place, "small digits"))
        expected, seconds = unbroken(Path(place, "unbroken"), data)
        while report["kills"] < flags.kills:
            report["runs"] += 1
            folder = Path(place, str(report["runs"]))
            found = killed(folder, data, flags.kills - report["kills"], seconds, moments, report)
            bad += [f"run {report['runs']}: {name}" for name in differences(found, expected)]
            print(dict(report), file=sys.stderr)
    print(f"{dict(report)}: {len(bad)} files differ from the unbroken run's {len(expected)}")
    print(*bad, sep="\n", end="")
    return bool(bad)


def small_data(folder: Path) -> Path:
    """A folder with four small IDX files in MNIST's format."""
    from tests.conftest import write_small_idx

    folder.mkdir()
    write_small_idx(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
