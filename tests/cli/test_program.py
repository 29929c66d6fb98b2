"""`run_mnist.py` as its users run it: its folders, its output, its errors."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

import run_mnist
from tests.helpers import closed_output, command, files_of_at_most, one_line_error, posix_only
from tests.small import ORACLE_DIR, SMALL
from vae_graph import checkpoints, data, devices, plot
from vae_graph.cli import outputs
from vae_graph.data import datasets
from vae_graph.runs import recorder
from vae_graph.settings import Settings

PICTURES = ("result1_reconstruction.png", "result2_latent.png", "result3_manifold.png", "training_curve.png")
FLAGS = ["--dataset", "other", *SMALL]


@posix_only
def test_the_whole_program_in_an_unusual_environment(tmp_path, idx_files):
    """In a new process: no display, no home directory, an ASCII locale, a path with spaces and non-ASCII letters."""
    place = tmp_path / "Größe und 図"
    place.mkdir()
    shutil.copytree(idx_files, place / "données")
    run = command("--dataset", "other", "--data_dir", "données", *SMALL, "--num_epoch", "1")
    environment = {name: value for name, value in run["env"].items()
                   if name not in ("DISPLAY", "HOME", "LANG", "LC_ALL", "PYTHONUTF8", "PYTHONIOENCODING")}
    environment |= {"HOME": "/dev/null", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(**run | {"env": environment}, cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    name = lines[0].partition(" (not MNIST)")[0]
    assert name.startswith("donn")
    assert name.isascii()
    assert lines[0] == f"{name} (not MNIST): 220 training images, 60 test images"
    assert re.fullmatch("training on .* in 1 tower", lines[1])
    assert lines[2].split()[:2] == ["Epoch:", "0"]
    assert lines[3] == (f"Test set of {name} (not MNIST), mean of 10 noise draws, nats per image (a lower ELBO is "
                        "better):")
    assert not set(done.stdout) & set("\r\b\x1b")          # no progress bar in a log

    results = place / "figures" / "other"
    for picture in PICTURES:
        Image.open(results / picture).verify()
    record = json.loads((results / "run.json").read_text())
    assert record["flags"]["n_hidden_encoder"] == 16
    assert record["data"]["name"].startswith("donn")
    assert set(record["data"]["sha256"]) == {file.name for file in data.FILES}
    assert set(record["versions"]) == {"vae_graph", "python", "tensorflow", "numpy", "matplotlib", "pillow"}
    assert record["seed"] == 0
    assert record["host"]["threads"] == os.cpu_count()
    assert "processor" in record["host"]
    assert lines[1] == f"training on {record['devices']} in {record['towers']} tower"
    assert record["training"]["epoch"] == [0]
    test = record["test"]
    assert test["true_negative_ELBO"] == test["ELBO"] - 2
    for line, name in zip(lines[4:7], ("Recon_error", "Regularization_error", "ELBO"), strict=True):
        assert line.split()[:2] == [name, f"{test[name]:.4f}"]
    assert lines[7].split()[:4] == ["true", "negative", "ELBO", f"{test['true_negative_ELBO']:.4f}"]
    assert (place / "checkpoints" / "other" / "parameter0.ckpt.index").exists()


@posix_only
def test_progress_bar_and_ctrl_c_on_a_terminal(in_tmp, without_pictures, monkeypatch, capsys):
    """The progress bar is for terminals; Ctrl-C saves a checkpoint, from which the run resumes."""
    def print_and_stop(epoch, errors, print_epoch=recorder._print_epoch):
        print_epoch(epoch, errors)
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(recorder, "_print_epoch", print_and_stop)
    terminal, program_end = os.openpty()
    # A shell that runs the tests in the background may have SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with open(program_end, "w") as output, contextlib.redirect_stdout(output):
            assert run_mnist.main([*FLAGS, "--num_epoch", "100"]) == 128 + signal.SIGINT
            printed = os.read(terminal, 2**16)
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(terminal)
    assert b"/400" in printed                               # steps of all epochs
    assert b"\r\x1b[KEpoch:  1 " in printed
    stopped = re.fullmatch(
        r"\nstopped by SIGINT; all steps so far are saved in (.*/stopped-\d+/parameter\d+\.ckpt); rerun the same "
        r"command, without --restart, to resume from the latest checkpoint\n", capsys.readouterr().err)
    assert run_mnist.main([*FLAGS, "--num_epoch", "3"]) == 0
    assert stopped[1] in capsys.readouterr().out


def test_in_another_thread(in_tmp, without_pictures):
    """Which cannot set handlers of signals."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert pool.submit(run_mnist.main, FLAGS).result() == 0
    assert (in_tmp / "figures" / "other" / "run.json").exists()


def test_a_run_without_epochs_of_its_own_has_no_curve(in_tmp, without_pictures):
    """The original's last checkpoint, which has no record: nothing is left to train, and there is nothing to plot."""
    folder = in_tmp / "checkpoints" / "other"
    shutil.copytree(ORACLE_DIR, folder)
    assert run_mnist.main([*FLAGS, "--num_epoch", "21"]) == 0
    results = in_tmp / "figures" / "other"
    assert {path.name for path in results.iterdir()} == {"model.png", "run.json"}
    assert json.loads((results / "run.json").read_text())["training"]["epoch"] == []
    assert not (folder / "resume.json").exists()


def test_a_folder_named_mnist_is_still_not_mnist(in_tmp, without_pictures, idx_folder, capsys):
    idx_folder.rename(in_tmp / "MNIST")
    assert run_mnist.main(["--dataset", "other", "--data_dir", "MNIST", *SMALL]) == 0
    assert "Test set of MNIST (not MNIST), " in capsys.readouterr().out


@pytest.mark.slow
def test_same_seed_same_pictures(in_tmp):
    flags = [*FLAGS, "--num_epoch", "1"]
    for run in ("a", "b"):
        assert run_mnist.main([*flags, "--checkpoint_dir", run, "--figures_dir", run]) == 0
    for name in PICTURES:
        assert (in_tmp / "a" / "other" / name).read_bytes() == (in_tmp / "b" / "other" / name).read_bytes()


def test_the_titles_name_the_data_and_the_plane(in_tmp, monkeypatch):
    titles = []
    monkeypatch.setattr(plot, "png", lambda figure, note="": titles.append(figure.get_suptitle()) or b"")
    assert run_mnist.main([*FLAGS, "--num_epoch", "1", "--n_z", "3"]) == 0
    data_set, plane = "small digits (not MNIST)", "the plane of the first two principal components of z, n_z = 3: "
    assert [title.partition("\n")[0] for title in titles] == 5 * [data_set]
    assert [f"{data_set}\n{plane}" in title for title in titles] == [False, True, True, False, False]


def test_checkpoints_and_pictures_may_share_a_folder(in_tmp, without_pictures):
    """The training curve, the schematic and run.json are beside the checkpoints when the run is resumed."""
    flags = [*FLAGS, "--checkpoint_dir", "one", "--figures_dir", "one"]
    assert [run_mnist.main(flags), run_mnist.main([*flags, "--num_epoch", "3"])] == [0, 0]
    assert json.loads((in_tmp / "one" / "other" / "run.json").read_text())["training"]["epoch"] == [0, 1, 2]


def test_run_json_is_about_the_run_not_about_the_last_command(in_tmp, without_pictures):
    for n_epochs in ("3", "2"):                  # the second one has nothing left to train
        assert run_mnist.main([*FLAGS, "--num_epoch", n_epochs]) == 0
    record = json.loads((in_tmp / "figures" / "other" / "run.json").read_text())
    assert record["flags"]["num_epoch"] == 2
    assert record["training"]["epoch"] == [0, 1, 2]
    assert record["settings"] == dataclasses.asdict(Settings(
        n_hidden_encoder=16, n_hidden_decoder=12, batch_size=50, num_epoch=3))
    assert (Path(record["checkpoint"]), record["step"]) == (Path("checkpoints", "other", "parameter2.ckpt"), 12)
    assert (record["towers"], record["processors"]) == (1, devices.n_processors())


def test_pictures_are_redrawn_at_each_checkpoint(in_tmp, without_drawing, monkeypatch):
    drawn = []
    monkeypatch.setattr(outputs, "draw_results", lambda prefix, *rest: drawn.append(Path(prefix).name) or {})
    run_mnist.main([*FLAGS, "--num_epoch", "6", "--checkpoint_every", "2"])
    assert drawn == [f"parameter{epoch}.ckpt" for epoch in (0, 2, 4, 5)]


def test_restart_archives_the_earlier_run(in_tmp, without_pictures, capsys):
    run_mnist.main(FLAGS)
    before = (in_tmp / "checkpoints" / "other" / "parameter1.ckpt.index").read_bytes()
    capsys.readouterr()
    assert run_mnist.main([*FLAGS, "--n_z", "3"]) == 2
    assert "--restart" in capsys.readouterr().err
    assert run_mnist.main([*FLAGS, "--n_z", "3", "--restart"]) == 0
    earlier = in_tmp / "checkpoints" / "other" / "earlier-1"
    assert f"the earlier run is now in {earlier.relative_to(in_tmp)}" in capsys.readouterr().out
    assert (earlier / "parameter1.ckpt.index").read_bytes() == before
    assert checkpoints.latest_valid(earlier.parent)[0].sizes.n_z == 3


@pytest.fixture
def few_rendered_digits(monkeypatch):
    make = data.rendered_digits
    monkeypatch.setattr(data, "rendered_digits", lambda: make(n_train=240, n_test=60))


class TestWithoutMnist:
    """The data folder's parent is a file, so that nothing can be read from it or downloaded into it."""

    @pytest.fixture
    def no_mnist(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").touch()
        return str(tmp_path / "file" / "data")

    def test_auto_takes_rendered_digits(self, no_mnist, few_rendered_digits, without_drawing, capsys, monkeypatch):
        titles = set()
        picture = plot.reconstruction
        monkeypatch.setattr(plot, "reconstruction",
                            lambda *arrays_and_title: titles.add(arrays_and_title[-1]) or picture(*arrays_and_title))
        assert run_mnist.main(["--data_dir", no_mnist, *SMALL, "--num_epoch", "1"]) == 0
        output = capsys.readouterr().out
        assert "THIS IS NOT MNIST" in output
        assert "put its four .gz files into" in output
        assert "Test set of rendered digits (not MNIST)" in output
        assert titles == {"rendered digits (not MNIST)"}
        assert {path.name for path in Path("figures").iterdir()} == {"rendered"}
        assert {path.name for path in Path("checkpoints").iterdir()} == {"rendered"}

    def test_auto_takes_none_beside_what_looks_like_mnist(self, no_mnist, few_rendered_digits, tmp_path, monkeypatch,
                                                          capsys):
        def unreachable(*args):
            raise datasets.DownloadError("no mirror answers")

        monkeypatch.setattr(datasets, "download", unreachable)
        (tmp_path / "mnist.pkl.gz").touch()
        assert run_mnist.main(["--data_dir", str(tmp_path), *SMALL]) == 2
        assert one_line_error(capsys).endswith("found mnist.pkl.gz in it, and no mirror answers; --dataset rendered "
                                               "runs without MNIST")

    def test_mnist_is_mnist_or_an_error(self, no_mnist, capsys):
        assert run_mnist.main(["--dataset", "mnist", "--data_dir", no_mnist]) == 2
        assert one_line_error(capsys).startswith(f"{no_mnist}: expected train-images-idx3-ubyte.gz, ")

    def test_rendered_needs_no_mnist(self, no_mnist, few_rendered_digits, without_pictures, capsys):
        assert run_mnist.main(["--dataset", "rendered", *SMALL]) == 0
        assert "THIS IS NOT MNIST" not in capsys.readouterr().out
        assert {path.name for path in Path("figures").iterdir()} == {"rendered"}
        assert {path.name for path in Path("checkpoints").iterdir()} == {"rendered"}


def test_a_checkpoint_or_a_file_in_place_of_a_folder(in_tmp, capsys):
    Path("old").mkdir()
    Path("old", "parameter199.ckpt.index").touch()
    assert run_mnist.main(["--dataset", "other", *SMALL, "--checkpoint_dir", "old/parameter199.ckpt"]) == 2
    assert one_line_error(capsys) == (f"--checkpoint_dir: expected a folder, found the checkpoint "
                                      f"{Path('old', 'parameter199.ckpt')}; its folder is old")
    assert [path.name for path in Path("old").iterdir()] == ["parameter199.ckpt.index"]
    assert run_mnist.main([*SMALL, "--data_dir", "old/parameter199.ckpt.index"]) == 2
    assert one_line_error(capsys).endswith(": expected the folder of MNIST's files, found a file; its folder is old")


@pytest.mark.parametrize("flag", ["--checkpoint_dir", "--figures_dir"])
def test_an_unwritable_folder_is_refused_before_training(in_tmp, flag, capsys):
    (in_tmp / "file").touch()
    assert run_mnist.main([*FLAGS, flag, "file"]) == 2
    assert one_line_error(capsys).startswith(f"{flag}: expected a writable folder, found ")


def test_a_read_only_folder_is_refused_before_training(in_tmp, monkeypatch, capsys):
    def read_only(dir):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(outputs.tempfile, "TemporaryFile", read_only)
    assert run_mnist.main(FLAGS) == 2
    folder = Path("checkpoints", "other")
    assert one_line_error(capsys) == (
        f"--checkpoint_dir: expected a writable folder, found {folder}: Read-only file system")


def test_a_batch_too_large_is_one_line(in_tmp, capsys):
    assert run_mnist.main([*FLAGS, "--batch_size", "221"]) == 2
    assert one_line_error(capsys) == "--batch_size: expected at most 220, the number of training images, found 221"


def test_an_invalid_data_file_is_one_line(in_tmp, idx_folder, capsys):
    (idx_folder / datasets.TEST_IMAGES.name).write_text("<!doctype html>")
    assert run_mnist.main(FLAGS) == 2
    assert one_line_error(capsys) == (f"{idx_folder / datasets.TEST_IMAGES.name}: expected an IDX file, found an HTML "
                                      "page")


class TestFullDisk:
    FLAGS = (*FLAGS, "--checkpoint_every", "1")

    @pytest.mark.parametrize(("n_bytes", "expected"), [
        (50_000, "checkpoints/other/parameter1.ckpt: expected to write a checkpoint, found: "),
        (100, "checkpoints/other/resume.json'"),
    ])
    def test_the_latest_checkpoint_is_kept(self, in_tmp, without_pictures, capsys, n_bytes, expected):
        assert run_mnist.main([*self.FLAGS, "--num_epoch", "1"]) == 0
        folder = in_tmp / "checkpoints" / "other"
        before = {path.name: path.read_bytes() for path in folder.glob("parameter*")}
        capsys.readouterr()
        with files_of_at_most(n_bytes):
            assert run_mnist.main([*self.FLAGS, "--num_epoch", "2"]) == 2
        *events_end, message = capsys.readouterr().err.splitlines()
        assert all(line.startswith("TensorBoard events end here: ") for line in events_end)
        assert expected in message
        assert "File too large" in message
        assert {path.name: path.read_bytes() for path in folder.glob("parameter*")} == before
        assert not [*folder.glob(".saving-*")]
        assert run_mnist.main([*self.FLAGS, "--num_epoch", "2"]) == 0
        assert checkpoints.latest_valid(folder)[0].epoch == 1

    def test_pictures_that_do_not_fit_cost_a_line_each(self, in_tmp, without_drawing, monkeypatch, capsys):
        """The run goes on; its exit status says that results are missing, and a rerun writes them."""
        flags = [*self.FLAGS, "--n_hidden_encoder", "1", "--n_hidden_decoder", "1", "--num_epoch", "2"]
        with monkeypatch.context() as patched, files_of_at_most(40_000):
            patched.setattr(plot, "png", lambda figure, note="": bytes(50_000))
            assert run_mnist.main(flags) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("TensorBoard events end")]
        place = Path("figures", "other")
        missing = sorted(str(place / name) for name in (*PICTURES, "model.png"))
        assert {line.partition(": not written: ")[0] for line in lines[:-1]} == {*missing}
        assert lines[-1].startswith(f"run_mnist.py: error: expected to write {', '.join(missing)}, found the errors ")
        assert lines[-1].endswith("; rerun the same command to write them again")
        assert {path.name for path in place.iterdir()} == {"run.json"}
        assert checkpoints.latest_valid(in_tmp / "checkpoints" / "other")[0].epoch == 1
        assert run_mnist.main(flags) == 0
        assert all((place / name).exists() for name in PICTURES)

    def test_a_record_of_the_results_that_cannot_be_written_costs_a_line(self, in_tmp, without_pictures, capsys):
        place = Path("figures", "other", "run.json")
        place.mkdir(parents=True)
        assert run_mnist.main([*self.FLAGS, "--num_epoch", "1"]) == 2
        line, last = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{place}: not written: ")
        assert last.startswith(f"run_mnist.py: error: expected to write {place}, found the errors above; ")
        assert place.with_name("training_curve.png").exists()
        place.rmdir()
        assert run_mnist.main([*self.FLAGS, "--num_epoch", "1"]) == 0
        assert place.is_file()

    def test_results_that_are_written_in_the_end_are_not_missing(self, in_tmp, without_drawing, monkeypatch, capsys):
        write, failed = outputs.write_atomic, []

        def fail_once(path, content):
            if path.name == PICTURES[1] and not failed:
                failed.append(path)
                raise PermissionError(13, "Permission denied", str(path))
            write(path, content)

        monkeypatch.setattr(outputs, "write_atomic", fail_once)
        assert run_mnist.main([*self.FLAGS, "--num_epoch", "2"]) == 0
        assert capsys.readouterr().err == (f"{failed[0]}: not written: [Errno 13] Permission denied: '{failed[0]}'\n")

    def test_a_picture_that_cannot_be_drawn_costs_a_line(self, in_tmp, without_drawing, monkeypatch, capsys):
        def fail(*args):
            raise checkpoints.CheckpointError("expected latent codes below 1e+18")

        monkeypatch.setattr(outputs, "draw_results", fail)
        assert run_mnist.main([*self.FLAGS, "--num_epoch", "1"]) == 2
        assert capsys.readouterr().err.splitlines()[0] == (
            "pictures in figures/other: not written: expected latent codes below 1e+18")
        assert Path("figures", "other", "run.json").exists()


def test_a_removed_folder_is_one_line(in_tmp, monkeypatch, capsys):
    monkeypatch.setattr(outputs, "draw_results", lambda *args: shutil.rmtree(in_tmp / "checkpoints") or {})
    assert run_mnist.main(FLAGS) == 2
    assert one_line_error(capsys).startswith("checkpoints/other: expected the folder in which this run began, found ")


@posix_only
def test_a_closed_output_is_one_line(in_tmp, capsys):
    with closed_output():
        assert run_mnist.main(FLAGS) == 2
    assert one_line_error(capsys) == (
        "expected an output that stays open, found it closed; rerun the same command, without --restart, to resume "
        "from the latest checkpoint")


@posix_only
@pytest.mark.slow
def test_a_sleep_of_ten_seconds_changes_no_byte(in_tmp):
    """As when a laptop is closed; in an interpreter that skips assertions."""
    found = []
    for name, seconds in (("awake", 0), ("asleep", 10)):
        run = command(*FLAGS, "--num_epoch", "400", "--checkpoint_every", "400",
                      "--checkpoint_dir", name, "--figures_dir", name)
        run["args"].insert(1, "-O")
        with subprocess.Popen(**run) as process:
            for line in process.stdout:
                if line.startswith("Epoch:  100 "):
                    process.send_signal(signal.SIGSTOP)
                    time.sleep(seconds)
                    process.send_signal(signal.SIGCONT)
        assert process.returncode == 0
        # The record of the results names the folders.
        found.append({path.name: path.read_bytes() for path in Path(name, "other").iterdir()
                      if not path.name.startswith("events.") and path.name not in ("run.json", ".lock")})
    assert found[0] == found[1]
    assert len(found[0]) > 10
