"""Kill a run at random moments, resume it each time, and compare all its bytes with those of an uninterrupted one.

    python -m tests.stress.kills [--kills N] [--seed N]

The kills cycle through a random moment, a moment while a checkpoint is being saved, and SIGTERM, after which the run
saves a checkpoint before it exits. The data are a few rendered digits; a run that ends before it is killed is followed
by a new one. Exit status 1 if a byte differs.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.small import start_program, write_small_idx

FLAGS = ("--dataset", "other", "--n_hidden_encoder", "16", "--n_hidden_decoder", "12", "--batch_size", "10",
         "--num_epoch", "240", "--checkpoint_every", "80")
SAVING_S = 0.01              # about what saving a checkpoint takes
LOG = "log.txt"


def start(folder: Path, data: Path) -> BaseProcess:
    return start_program(folder, FLAGS, {"MNIST_DIR": str(data)}, LOG)


def results(folder: Path) -> dict[str, bytes]:
    """The files of a run, except logs and pictures that were never finished."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in (LOG, ".lock") and not path.name.startswith("events.")
            and not (path.name.startswith(".saving-") and "figures" in path.parts)}


def uninterrupted(folder: Path, data: Path) -> tuple[dict[str, bytes], float]:
    """The files of an uninterrupted run, and its duration in seconds."""
    folder.mkdir()
    begin = time.perf_counter()
    process = start(folder, data)
    process.join()
    assert process.exitcode == 0, log(folder)
    return results(folder), time.perf_counter() - begin


def log(folder: Path) -> str:
    """What the program has printed, in all its processes."""
    return (folder / LOG).read_text()


def is_saving(folder: Path) -> bool:
    """Whether a checkpoint, or another file beside it, is incomplete."""
    return any(folder.glob("checkpoints/*/.saving-*"))


def wait_for_saving(folder: Path, process: BaseProcess) -> None:
    while process.is_alive() and not is_saving(folder):
        time.sleep(0.002)


def killed(folder: Path, data: Path, kills: int, seconds: float, moments: random.Random, report: Counter[str]
           ) -> dict[str, bytes]:
    """The files of a run that is killed `kills` times, or as often as possible before it ends."""
    folder.mkdir()
    for number in range(kills + 1):
        process = start(folder, data)
        if number < kills:
            if number % 3 == 1:
                wait_for_saving(folder, process)
                process.join(moments.uniform(0, SAVING_S))
            else:
                process.join(moments.uniform(0, seconds / 6))
            process.terminate() if number % 3 == 2 else process.kill()
        process.join()
        if process.exitcode == 0:
            return results(folder)
        assert process.exitcode in (-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM), log(folder)
        report["kills"] += 1
        report["SIGTERM that saved a checkpoint"] += process.exitcode > 0
        report["while a checkpoint was being saved"] += is_saving(folder)
    raise AssertionError(log(folder))


def differences(ours: dict[str, bytes], theirs: dict[str, bytes]) -> list[str]:
    """The names of the files that differ."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="default: 200")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default: 0")
    flags = parser.parse_args()
    moments, report, bad = random.Random(flags.seed), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        data = write_small_idx(Path(folder, "small digits"))
        expected, seconds = uninterrupted(Path(folder, "uninterrupted"), data)
        while report["kills"] < flags.kills:
            report["runs"] += 1
            run = Path(folder, str(report["runs"]))
            found = killed(run, data, flags.kills - report["kills"], seconds, moments, report)
            bad += [f"run {report['runs']}: {name}" for name in differences(found, expected)]
            print(dict(report), file=sys.stderr)
    print(f"{dict(report)}: {len(bad)} files differ from the uninterrupted run's {len(expected)}")
    print(*bad, sep="\n", end="")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
