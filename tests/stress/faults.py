"""Let every file operation of a run and of the commands fail, be cut short or kill the process, one at a time.

    python -m tests.stress.faults [--every N] [COMMAND ...]

`faults.c`, compiled with `cc` and loaded before the C library, counts the operations that change files and injects the
fault into the Nth: it fails; or, if it is a write, it is cut short on a disk that stays full; or it kills the process.
After each fault, a run or command must have ended with status 0, 2 or by the kill, without a traceback, and with the
checkpoint that was there or a later one; of an export, each target must be complete or absent. Run again without a
fault, it must end with the bytes of an undisturbed one and leave nothing incomplete.
Pictures are not drawn. Linux only; exit status 1 if anything differs.
"""

import argparse
import contextlib
import ctypes
import json
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

KINDS = {"fails": 1, "is cut": 2, "kills": 3}
LIBRARY = "faults.so"
LOG, OPERATIONS = "log.txt", "operations.txt"
OTHER = ("--dataset", "other")
RUN = (*OTHER, "--n_hidden_encoder", "16", "--n_hidden_decoder", "12", "--batch_size", "50", "--towers", "1",
       "--checkpoint_every", "1", "--num_epoch")
# Each is the arguments that prepare a folder, and those of the command.
COMMANDS: dict[str, tuple[tuple[str, ...] | None, tuple[str, ...]]] = {
    "a run": (None, (*RUN, "2")),
    "a resumed run": ((*RUN, "5"), (*RUN, "6")),
    "--restart": ((*RUN, "2"), (*RUN, "1", "--seed", "1", "--restart")),
    "export": ((*RUN, "1"), ("export", "checkpoints/other", "figures/model", "--npz", "figures/weights.npz")),
    "figures": ((*RUN, "1"), ("figures", "checkpoints/other", *OTHER)),
    "compare": ((*RUN, "1"), ("compare", *["checkpoints/other"] * 2, *OTHER, "--draws", "1")),
    **{name: ((*RUN, "1"), (name, "checkpoints/other", *OTHER)) for name in ("walk", "explore", "trace")},
    "sample": ((*RUN, "1"), ("sample", "checkpoints/other")),
    "sweep": (None, ("sweep", "--n_z", "1", "2", *RUN, "1")),
}


def run_program(folder: Path, flags: tuple[str, ...], data: Path, kind: int, number: int) -> None:
    """In the child process: the program, with a fault in its Nth operation below `folder`; count the operations."""
    import run_mnist
    from tests.small import tiny_png
    from vae_graph import plot
    from vae_graph.cli import outputs

    os.chdir(folder)
    os.environ["MNIST_DIR"] = str(data)
    logging.getLogger("tensorflow").setLevel("ERROR")
    plot.png = lambda figure, note="": tiny_png(0)
    outputs.draw_results = lambda *args: {"result1_reconstruction.png": tiny_png(0)}
    library = ctypes.CDLL(None)
    with open(folder.parent / LOG, "w", buffering=1) as log, contextlib.redirect_stdout(log), \
            contextlib.redirect_stderr(log):
        library.arm(os.fsencode(folder), kind, ctypes.c_long(number))
        status = run_mnist.main([*flags])
    library.operations.restype = ctypes.c_long
    are_writes = [bool(library.is_a_write(ctypes.c_long(at))) for at in range(1, library.operations() + 1)]
    library.arm(b"", 0, ctypes.c_long(0))
    (folder.parent / OPERATIONS).write_text(json.dumps(are_writes))
    sys.exit(status)


def run(folder: Path, flags: tuple[str, ...], data: Path, kind: int = 0, number: int = 0) -> int:
    """The exit status of the program in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.small"])
    process = context.Process(target=run_program, args=(folder, flags, data, kind, number))
    process.start()
    process.join()
    return process.exitcode


def results(folder: Path) -> dict[str, object]:
    """The files and folders in a folder, except locks and TensorBoard's events; of run.json, the training."""
    found: dict[str, object] = {
        str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in sorted(folder.rglob("*"))
        if path.name != ".lock" and not path.name.startswith("events.")}
    for name in found.keys() & {"figures/other/run.json"}:
        found[name] = json.loads((folder / name).read_text())["training"]
    return found


def n_steps(folder: Path) -> int:
    """The steps of the latest valid checkpoint of a run; 0 without one."""
    from vae_graph import checkpoints

    latest, _ = checkpoints.latest_valid(folder / "checkpoints" / "other", checkpoints.training_shapes)
    return latest.step if latest else 0


def incomplete_targets(folder: Path, flags: tuple[str, ...], expected: dict[str, object]) -> set[str]:
    """The targets of an export that are there and are not as they should be."""
    found = results(folder)
    targets = {flag for flag in flags if flag.startswith("figures/")} & found.keys()
    return {target for target in targets for name in expected.keys() | found.keys()
            if name.startswith(target) and found.get(name) != expected.get(name)}


def run_again(folder: Path, flags: tuple[str, ...], data: Path) -> int:
    """What a user does after an error or a kill, without a fault."""
    if flags[0] == "export":                     # refuses to replace the folder of an earlier one
        shutil.rmtree(folder / flags[2], ignore_errors=True)
    if "--restart" in flags and ([*folder.rglob("earlier-1")] or [*folder.rglob(".archiving")]):
        flags = flags[:-1]                       # the earlier run is being archived; the new one is resumed
    return run(folder, flags, data)


def sweep(name: str, place: Path, data: Path, every: int) -> tuple[Counter[str], list[str]]:
    """Inject each fault into each operation of a command; count how it ended, and describe what differed."""
    before, flags = COMMANDS[name]
    report, bad = Counter[str](), list[str]()
    prepared, folder = place / "prepared", place / "run"
    prepared.mkdir(parents=True)
    if before:
        assert run(prepared, before, data) == 0, (place / LOG).read_text()
    shutil.copytree(prepared, folder)
    assert run(folder, flags, data) == 0, (place / LOG).read_text()
    expected, are_writes = results(folder), json.loads((place / OPERATIONS).read_text())
    for kind, code in KINDS.items():
        numbers = [at for at, is_write in enumerate(are_writes, 1) if is_write or kind != "is cut"]
        for number in numbers[::every]:
            shutil.rmtree(folder)
            shutil.copytree(prepared, folder)
            (place / OPERATIONS).unlink(missing_ok=True)
            status, log = run(folder, flags, data, code, number), (place / LOG).read_text()
            report[f"{kind}: status {status}"] += 1
            what = f"{name}, operation {number} of {len(are_writes)} {kind}"
            # TensorFlow's threads may make it a few operations fewer, so that the last ones never come.
            n_done = len(json.loads((place / OPERATIONS).read_text())) if status in (0, 2) else number
            allowed = (-signal.SIGKILL,) if kind == "kills" and n_done >= number else (0, 2)
            if status not in allowed or "Traceback" in log:
                bad.append(f"{what}: status {status}: {log[-300:]}")
            if flags[0] == "export" and (incomplete := incomplete_targets(folder, flags, expected)):
                bad.append(f"{what}: status {status}: incomplete or other: {incomplete}")
            if (n_before := n_steps(prepared)) > n_steps(folder) and "--restart" not in flags:
                bad.append(f"{what}: expected {n_before} steps or more in a checkpoint, found {n_steps(folder)}")
            if run_again(folder, flags, data) != 0:
                bad.append(f"{what}: run again: {(place / LOG).read_text()[-300:]}")
            found = results(folder)
            differing = {path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path)}
            if differing:
                bad.append(f"{what}: {sorted(differing)[:5]}")
    return report, bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth operation; default: 1")
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"default: all, {', '.join(COMMANDS)}")
    flags = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory).resolve()
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", place / LIBRARY, Path(__file__).with_name("faults.c"),
                        "-ldl"], check=True)
        # Of the process from which all others are forked.
        os.environ |= {"LD_PRELOAD": str(place / LIBRARY), "TF_CPP_MIN_LOG_LEVEL": "3"}
        from tests.small import write_small_idx

        data = write_small_idx(place / "small digits")
        for name in flags.commands or COMMANDS:
            report, bad = sweep(name, place / name, data, flags.every)
            print(f"{name}: {dict(report)}: {len(bad)} bad", *bad, sep="\n", flush=True)
            failed |= bool(bad)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
