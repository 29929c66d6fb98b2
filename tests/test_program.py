"""`run_mnist.py` as a person meets it: its flags, its folders, its output, its errors."""

import contextlib
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image

import run_mnist
from tests.conftest import command, one_line_error
from vae_graph import checkpoints, data

PICTURES = ("result1_reconstruction.png", "result2_latent.png", "result3_manifold.png", "training_curve.png")
SMALL = ("--n_hidden_encoder", "16", "--n_hidden_decoder", "12", "--batch_size", "50", "--num_epoch", "2")


def test_the_whole_job_in_its_own_process(in_tmp):
    done = subprocess.run(**command("--dataset", "other", *SMALL))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "small digits (not MNIST): 220 images to train on, 60 to test on"
    assert [line.split()[:2] for line in lines[1:3]] == [["Epoch:", "0"], ["Epoch:", "1"]]
    assert lines[3] == "Test set of small digits (not MNIST), mean of 10 noise draws, nats an image:"
    assert not set(done.stdout) & set("\r\b\x1b")          # no progress bar in a log

    results = in_tmp / "figures" / "other"
    for name in PICTURES:
        Image.open(results / name).verify()
    run = json.loads((results / "run.json").read_text())
    assert run["flags"]["n_hidden_encoder"] == 16
    assert run["data"]["name"] == "small digits"
    assert set(run["data"]["sha256"]) == {file.name for file in data.FILES}
    assert set(run["versions"]) == {"vae_graph", "python", "tensorflow", "numpy", "matplotlib", "pillow"}
    assert run["seed"] == 0
    assert run["host"]["threads"] == os.cpu_count()
    assert run["training"]["epoch"] == [0, 1]
    test = run["test"]
    assert test["true_negative_ELBO"] == test["ELBO"] - 2
    for line, name in zip(lines[4:7], ("Recon_error", "Regularization_error", "ELBO"), strict=True):
        assert line.split()[:2] == [name, f"{test[name]:.4f}"]
    assert lines[7].split()[:4] == ["true", "negative", "ELBO", f"{test['true_negative_ELBO']:.4f}"]
    assert {path.name for path in (in_tmp / "checkpoints" / "other").glob("*.index")} == {
        "parameter0.ckpt.index", "parameter1.ckpt.index"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_and_on_again(in_tmp, without_pictures, capsys):
    flags = ("--dataset", "other", *SMALL[:-1], "100000", "--checkpoint_every", "100000")
    # Who starts the tests in the background may have had SIGINT ignored.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(**command(*flags), **heard) as process:
        while not process.stdout.readline().startswith("Epoch:  1"):
            assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGINT)
        stopped = re.fullmatch(
            r"\nstopped by SIGINT; (.*/stopped-\d+/parameter\d+\.ckpt) has all the work so far; "
            r"the same command, without --restart, goes on from the last checkpoint\n", process.communicate()[1])
        assert process.returncode == 130
    assert run_mnist.main(["--dataset", "other", *SMALL]) == 0
    assert stopped[1] in capsys.readouterr().out


def test_the_bar_is_for_terminals(in_tmp):
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")
    terminal, program_end = pty.openpty()
    with subprocess.Popen(**command("--dataset", "other", *SMALL) | {"stdout": program_end}) as process:
        os.close(program_end)
        output = bytearray()
        with contextlib.suppress(OSError):                  # how Linux says that the other end was closed
            while chunk := os.read(terminal, 4096):
                output += chunk
        assert process.wait() == 0, process.stderr.read()
    os.close(terminal)
    text = output.decode()
    assert "8/8" in text                                    # steps done of steps in all
    assert "\r\x1b[KEpoch:  1 " in text


def test_a_folder_called_mnist_makes_no_mnist(in_tmp, idx_folder, capsys):
    idx_folder.rename(in_tmp / "MNIST")
    assert run_mnist.main(["--dataset", "other", "--data_dir", "MNIST", *SMALL]) == 0
    assert "Test set of MNIST (not MNIST), " in capsys.readouterr().out


def test_same_seed_same_pictures(in_tmp):
    for run in ("a", "b"):
        assert run_mnist.main(["--dataset", "other", *SMALL, "--checkpoint_dir", run, "--figures_dir", run]) == 0
    for name in PICTURES:
        assert (in_tmp / "a" / "other" / name).read_bytes() == (in_tmp / "b" / "other" / name).read_bytes()


def test_the_titles_name_the_data_and_the_plane(in_tmp, monkeypatch):
    titles = []
    png = run_mnist.plot.png
    monkeypatch.setattr(run_mnist.plot, "png", lambda figure: titles.append(figure.get_suptitle()) or png(figure))
    assert run_mnist.main(["--dataset", "other", *SMALL, "--num_epoch", "1", "--n_z", "3"]) == 0
    data_set, plane = "small digits (not MNIST)", "the plane of the first two principal components of z, n_z = 3"
    assert titles == [data_set, f"{data_set}\n{plane}", f"{data_set}\n{plane}", data_set, data_set]


def test_checkpoints_and_pictures_may_share_a_folder(in_tmp, capsys):
    flags = ["--dataset", "other", *SMALL, "--checkpoint_dir", "one", "--figures_dir", "one"]
    assert [run_mnist.main(flags), run_mnist.main([*flags, "--num_epoch", "3"])] == [0, 0]
    assert json.loads((in_tmp / "one" / "other" / "run.json").read_text())["training"]["epoch"] == [0, 1, 2]


def test_pictures_can_be_watched_as_they_come(in_tmp, monkeypatch):
    drawn = []
    monkeypatch.setattr(run_mnist, "draw_results", lambda prefix, *rest: drawn.append(Path(prefix).name))
    run_mnist.main(["--dataset", "other", *SMALL, "--num_epoch", "6", "--checkpoint_every", "2"])
    assert drawn == [f"parameter{epoch}.ckpt" for epoch in (0, 2, 4, 5)]


def test_restart_begins_anew_and_keeps_the_earlier_run(in_tmp, without_pictures, capsys):
    run_mnist.main(["--dataset", "other", *SMALL])
    before = (in_tmp / "checkpoints" / "other" / "parameter1.ckpt.index").read_bytes()
    capsys.readouterr()
    assert run_mnist.main(["--dataset", "other", *SMALL, "--n_z", "3"]) == 2
    assert "--restart" in capsys.readouterr().err
    assert run_mnist.main(["--dataset", "other", *SMALL, "--n_z", "3", "--restart"]) == 0
    earlier = in_tmp / "checkpoints" / "other" / "earlier-1"
    assert f"the earlier run is now in {earlier.relative_to(in_tmp)}" in capsys.readouterr().out
    assert (earlier / "parameter1.ckpt.index").read_bytes() == before
    assert checkpoints.newest_whole(earlier.parent)[0].sizes.n_z == 3


@pytest.fixture
def few_rendered_digits(monkeypatch):
    make = data.rendered_digits
    monkeypatch.setattr(data, "rendered_digits", lambda: make(n_train=240, n_test=60))


class TestWithoutMnist:
    """The folder for the data lies under a file, so nothing can be read from it or downloaded into it."""

    @pytest.fixture
    def no_mnist(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").touch()
        return str(tmp_path / "file" / "data")

    def test_auto_takes_rendered_digits_and_says_so(self, no_mnist, few_rendered_digits, capsys, monkeypatch):
        titles = set()
        picture = run_mnist.plot.reconstruction
        monkeypatch.setattr(run_mnist.plot, "reconstruction",
                            lambda *arrays_and_title: titles.add(arrays_and_title[-1]) or picture(*arrays_and_title))
        assert run_mnist.main(["--data_dir", no_mnist, *SMALL]) == 0
        output = capsys.readouterr().out
        assert "THIS IS NOT MNIST" in output
        assert "put its four .gz files into" in output
        assert "Test set of rendered digits (not MNIST)" in output
        assert titles == {"rendered digits (not MNIST)"}
        assert {path.name for path in Path("figures").iterdir()} == {"rendered"}
        assert {path.name for path in Path("checkpoints").iterdir()} == {"rendered"}

    def test_mnist_is_mnist_or_an_error(self, no_mnist, capsys):
        assert run_mnist.main(["--dataset", "mnist", "--data_dir", no_mnist]) == 2
        assert one_line_error(capsys).startswith(f"{no_mnist}: expected train-images-idx3-ubyte.gz, ")

    def test_rendered_needs_no_mnist(self, no_mnist, few_rendered_digits, capsys):
        assert run_mnist.main(["--dataset", "rendered", *SMALL]) == 0
        assert "THIS IS NOT MNIST" not in capsys.readouterr().out
        assert {path.name for path in Path("figures").iterdir()} == {"rendered"}
        assert {path.name for path in Path("checkpoints").iterdir()} == {"rendered"}


WHOLE_NUMBERS = ("n_hidden_encoder", "n_z", "n_hidden_decoder", "num_epoch", "batch_size", "decay_step",
                 "checkpoint_every", "seed", "towers", "cluster_timeout")
FRACTIONS = ("learning_rate", "decay_rate", "keep_prob")


@pytest.mark.parametrize(("flag", "value"), [
    *((flag, value) for flag in WHOLE_NUMBERS for value in ("-1", "1.5", "ten", "", "nan", "1" + 30 * "0")
      ), *((flag, "0") for flag in WHOLE_NUMBERS if flag != "seed"),
    *((flag, value) for flag in FRACTIONS for value in ("0", "-0.1", "1.01", "ten", "", "nan", "inf", "1e400"))])
def test_a_flag_out_of_range_is_one_line(flag, value, capsys):
    with pytest.raises(SystemExit) as exit:
        run_mnist.parse_flags([f"--{flag}", value])
    assert exit.value.code == 2
    error = one_line_error(capsys)
    assert error.startswith(f"argument --{flag}: expected a ")
    assert f"found '{value}'" in error


@pytest.mark.parametrize(("flags", "expected"), [
    (["--dataset", "cifar"], "argument --dataset: invalid choice: 'cifar'"),
    (["--n_zz", "3"], "unrecognized arguments: --n_zz 3"),
    (["--num_ep", "3"], "unrecognized arguments: --num_ep 3"),
    (["--seed"], "argument --seed: expected one argument"),
    (["--data_dir", ""], "argument --data_dir: expected the name of a folder, found ''"),
    (["--checkpoint_dir="], "argument --checkpoint_dir: expected the name of a folder, found ''"),
    (["--figures_dir", ""], "argument --figures_dir: expected the name of a folder, found ''"),
    *((["--local_cluster", roles], f"argument --local_cluster: expected roles and numbers such as ps=1,worker=2, found "
                                   f"{roles!r}")
      for roles in ("", "2", "ps=1", "worker=2", "ps=0,worker=1", "ps=1,worker=x", "ps=1,cook=1", "ps=1,chief=2",
                    "ps=1,ps=1,worker=1", "ps=1,worker=101", "ps=1,,worker=1")),
    (["surplus"], "unrecognized arguments: surplus"),
])
def test_a_wrong_flag_is_one_line(flags, expected, capsys):
    with pytest.raises(SystemExit) as exit:
        run_mnist.parse_flags(flags)
    assert exit.value.code == 2
    assert one_line_error(capsys).startswith(expected)


@pytest.mark.parametrize("flag", ["--checkpoint_dir", "--figures_dir"])
def test_a_folder_that_cannot_be_written_is_known_before_training(in_tmp, flag, capsys):
    (in_tmp / "file").touch()
    assert run_mnist.main(["--dataset", "other", *SMALL, flag, "file"]) == 2
    assert one_line_error(capsys).startswith(f"{flag}: expected a folder that can be written, found ")


def test_a_read_only_folder_is_known_before_training(in_tmp, monkeypatch, capsys):
    def read_only(dir):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(run_mnist.commands.tempfile, "TemporaryFile", read_only)
    assert run_mnist.main(["--dataset", "other", *SMALL]) == 2
    folder = Path("checkpoints", "other")
    assert one_line_error(capsys) == (
        f"--checkpoint_dir: expected a folder that can be written, found {folder}: Read-only file system")


def test_a_batch_too_large_is_one_line(in_tmp, capsys):
    assert run_mnist.main(["--dataset", "other", *SMALL, "--batch_size", "221"]) == 2
    assert one_line_error(capsys) == "--batch_size: expected at most 220, the number of training images, found 221"


def test_a_spoiled_data_file_is_one_line(in_tmp, idx_folder, capsys):
    (idx_folder / data.TEST_IMAGES.name).write_text("<!doctype html>")
    assert run_mnist.main(["--dataset", "other", *SMALL]) == 2
    assert one_line_error(capsys).startswith(f"{idx_folder / data.TEST_IMAGES.name}: expected a gzip file, found ")


def test_help_names_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as exit:
        run_mnist.parse_flags(["--help"])
    assert exit.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for flag, default in (("--keep_prob X", "0.6"), ("--num_epoch N", "200"), ("--learning_rate X", "0.0001"),
                          ("--data_dir DIR", "$MNIST_DIR, else data"), ("--restart", None), ("--seed N", "0"),
                          ("--dataset {auto,mnist,rendered,other}", "auto"), ("--checkpoint_every N", "20")):
        assert flag in text
        assert default is None or f"(default: {default})" in text
    assert "(default: None)" not in text
    assert "(default: False)" not in text
