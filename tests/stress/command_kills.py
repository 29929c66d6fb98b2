"""Kill commands at random moments: what stood there before is whole, what appears is whole, nothing is left over.

    python -m tests.stress.command_kills [--kills N] [--seed N]

Each command works in turn on two checkpoints, so that it replaces the results of one by those of the other. After each
SIGKILL every file must be one of the two; then the command is run again, must write its results whole, and must remove
what the killed process has left. Exit status 1 if anything differs.
"""

import argparse
import random
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.small import ORACLE_DIR, SMALL, start_program, write_small_idx

OTHER = ("--dataset", "other")
COMMANDS = {
    "export": lambda prefix: ("export", prefix, "figures/model", "--npz", "figures/weights.npz"),
    "figures": lambda prefix: ("figures", prefix, *OTHER, "--figures_dir", "figures"),
    "explore": lambda prefix: ("explore", prefix, *OTHER, "--figures_dir", "figures"),
    "walk": lambda prefix: ("walk", prefix, *OTHER, "--figures_dir", "figures"),
    # Of networks that differ in their seed; of one epoch, since the pictures are drawn at each checkpoint.
    "sweep": lambda prefix: ("sweep", *OTHER, *SMALL, "--num_epoch", "1", "--n_z", "1", "2", "--seed",
                             re.findall(r"\d+", prefix)[0], "--checkpoint_dir", f"runs-{prefix}"),
}
LOG = "log.txt"
Files = dict[str, bytes]


def results(folder: Path) -> Files:
    """The files that a command has written, except incomplete ones."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted((folder / "figures").rglob("*"))
            if path.is_file() and ".saving-" not in str(path)}


def run(folder: Path, data: Path, command: str, prefix: str, kill_after: float | None = None) -> int:
    """Run a command, or kill it after some seconds; return its exit status."""
    process = start_program(folder, COMMANDS[command](prefix), {"MNIST_DIR": str(data)}, LOG)
    process.join(kill_after)
    process.kill()
    process.join()
    return process.exitcode


def prefixes(folder: Path) -> list[str]:
    for name in ("parameter0.ckpt", "parameter20.ckpt"):
        for path in ORACLE_DIR.glob(f"{name}.*"):
            shutil.copy(path, folder)
    return ["parameter0.ckpt", "parameter20.ckpt"]


def expected_results(folder: Path, data: Path, command: str, prefix: str) -> tuple[Files, float]:
    """The results of an undisturbed command, which are then removed, and its duration in seconds."""
    begin = time.perf_counter()
    assert run(folder, data, command, prefix) == 0, (folder / LOG).read_text()
    seconds = time.perf_counter() - begin
    found = results(folder)
    shutil.rmtree(folder / "figures")
    shutil.rmtree(folder / f"runs-{prefix}", ignore_errors=True)
    return found, seconds


def mixed_up(found: Files, before: Files, after: Files) -> list[str]:
    """The names of files that are neither of one moment nor of the other."""
    return [name for name, content in found.items() if content not in (before.get(name), after.get(name))]


def kill(folder: Path, data: Path, command: str, kills: int, moments: random.Random) -> tuple[int, list[str]]:
    """Kill a command `kills` times; return how often it was killed in time, and what was found damaged."""
    folder.mkdir()
    both = prefixes(folder)
    (after, _), (before, seconds) = (expected_results(folder, data, command, prefix) for prefix in both)
    n_killed, bad = 0, []
    for number in range(kills):
        both.reverse()
        before, after = after, before
        if command == "export":          # it replaces no folder
            shutil.rmtree(folder / "figures" / "model", ignore_errors=True)
        n_killed += run(folder, data, command, both[0], moments.uniform(0, seconds)) != 0
        bad += [f"{command}, kill {number}: {name}" for name in mixed_up(results(folder), before, after)]
        if command == "export":
            shutil.rmtree(folder / "figures" / "model", ignore_errors=True)
        if run(folder, data, command, both[0]) or results(folder) != after:
            bad.append(f"{command}, after kill {number}: other results\n{(folder / LOG).read_text()}")
        bad += [f"{command}, after kill {number}: {path.name}" for path in folder.rglob(".saving-*")]
    return n_killed, bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each command; default: 20")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default: 0")
    flags = parser.parse_args()
    moments, failed = random.Random(flags.seed), False
    with tempfile.TemporaryDirectory() as place:
        data = write_small_idx(Path(place, "small digits"))
        for command in COMMANDS:
            n_killed, bad = kill(Path(place, command), data, command, flags.kills, moments)
            print(f"{command}: killed {n_killed} times before its end, {len(bad)} files damaged or left over")
            print(*bad, sep="\n", end="", flush=True)
            failed |= bool(bad)
    return failed


if __name__ == "__main__":
    sys.exit(main())
