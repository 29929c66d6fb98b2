"""The commands of `run_mnist.py` that take a checkpoint: their output, their files, their errors."""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

import run_mnist
from tests.helpers import one_line_error, write_checkpoint
from tests.small import ORACLE_DIR, ROOT, SMALL
from vae_graph import checkpoints, comparison, data, evaluation, plot
from vae_graph.checkpoints import inspection
from vae_graph.cli import outputs, report
from vae_graph.runs.record import RunRecord
from vae_graph.settings import Settings

PICTURES = ("result1_reconstruction.png", "result2_latent.png", "result3_manifold.png")
OTHER = ("--dataset", "other")


@pytest.fixture
def old(in_tmp):
    """A folder with TensorFlow 1.4.0's checkpoints, in the working directory."""
    return shutil.copytree(ORACLE_DIR, in_tmp / "old").relative_to(in_tmp)


def run(capsys, *flags):
    """The output of a successful run."""
    assert run_mnist.main([str(flag) for flag in flags]) == 0
    captured = capsys.readouterr()
    return captured.out


def test_inspect_prints_format_origin_and_variables(old, capsys):
    lines = run(capsys, "inspect", old).splitlines()
    assert lines[0] == str(old / "parameter20.ckpt")
    facts = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[1:6]}
    assert facts == {
        "format": "V2", "names": "MINGUKKANG/VAE_tensorflow, the original's and this program's",
        "network": "n_input 784, n_hidden_encoder 16, n_z 2, n_hidden_decoder 12, 24 of Adam's 24 slots",
        "step": "20, 0.04662 epochs of MNIST at 429 steps per epoch", "numbers": "all finite"}
    rows = [line.split() for line in lines[7:]]
    assert rows[0] == ["variable", "shape", "dtype", "norm", "NaN", "inf"]
    assert len(rows) == 40
    values = checkpoints.read_variables(str(old / "parameter20.ckpt"))
    norm = np.linalg.norm(values["decoder_hidden_1/w4"])
    assert ["decoder_hidden_1/w4", "2", "x", "12", "float32", f"{norm:.4g}", "0", "0"] in rows
    assert ["Variable", "scalar", "int32", "20", "0", "0"] in rows


def test_inspect_reads_other_programs_checkpoints(in_tmp, capsys):
    write_checkpoint("x.ckpt", {"enc_fc1/weights": np.full((2, 2), np.nan, np.float32)})
    output = run(capsys, "inspect", "x.ckpt")
    assert "shaohua0116/VAE-Tensorflow" in output
    assert "not this program's: x.ckpt: expected the variable encoder_hidden_1/w1, found none of that name; " in output
    assert "step      unknown" in output
    assert "NaN or infinity in enc_fc1/weights" in output
    assert json.loads(run(capsys, "inspect", "x.ckpt", "--json"))["inspection"]["variables"][0]["n_nan"] == 4


def test_inspect_reads_a_folder_of_another_program(in_tmp, capsys):
    Path("models").mkdir()
    write_checkpoint("models/m-7", {"dense/kernel": np.ones((2, 2), np.float32), "global_step": np.int64(7)})
    output = run(capsys, "inspect", "models")
    assert output.startswith(f"{Path('models', 'm-7')}\n")
    assert "\n  step      7\n" in output
    assert run_mnist.main(["evaluate", "models", *OTHER]) == 2
    assert "m-7: expected the variable encoder_hidden_1/w1" in one_line_error(capsys)


def test_arrays_of_another_program_are_exported(in_tmp, capsys):
    Path("models").mkdir()
    write_checkpoint("models/m-7", {"dense/kernel": np.ones((2, 2), np.float32)})
    run(capsys, "export", "models", "--npz", "x.npz")
    assert [*np.load("x.npz")] == ["dense/kernel"]
    assert run_mnist.main(["export", "models", "model", "--npz", "x.npz"]) == 2
    assert "expected the variable encoder_hidden_1/w1" in one_line_error(capsys)


def test_inspect_lists_an_index_without_values(old, capsys):
    (old / "parameter20.ckpt.data-00000-of-00001").unlink()
    output = run(capsys, "inspect", old / "parameter20.ckpt")
    assert "\n  numbers   missing: no file parameter20.ckpt.data-00000-of-00001\n" in output
    assert ["decoder_hidden_1/w4", "2", "x", "12", "float32", "-", "-", "-"] in [
        line.split() for line in output.splitlines()]


def test_evaluate_prints_the_functions_results(old, capsys, idx_folder):
    flags = ("--draws", "3", "--iwae_samples", "2", "--n_images", "40", "--seed", "5")
    lines = run(capsys, "evaluate", old / "parameter20.ckpt.index", *OTHER, *flags).splitlines()
    test = data.other(idx_folder).test.first(40)
    found = evaluation.evaluate(str(old / "parameter20.ckpt"), test.images, test.digits, 5, 3, 2)
    assert lines[0] == str(old / "parameter20.ckpt")
    assert lines[1] == ("First 40 test images of small digits (not MNIST), mean of 3 noise draws, nats per image "
                        "(a lower ELBO is better):")
    assert [line.split("  (")[0].split() for line in lines[2:9]] == [
        ["Recon_error", f"{found.Recon_error:.4f}"],
        ["Regularization_error", f"{found.Regularization_error:.4f}"],
        ["ELBO", f"{found.ELBO:.4f}"],
        ["true", "negative", "ELBO", f"{found.true_negative_ELBO:.4f}"],
        ["KL", f"{found.KL:.4f}"],
        ["negative", "IWAE", "bound", f"{found.negative_IWAE_bound:.4f}"],
        ["active", "units", str(found.active_units), "of", "2"]]
    assert f"over draws {found.ELBO_sd:.4f})" in lines[4]
    assert "2 samples per image" in lines[7]
    assert lines[10].split()[:2] == ["digit", "images"]
    for line, (digit, means) in zip(lines[11:], found.per_digit.items(), strict=True):
        assert line.split() == [str(digit), str(means.pop("images")), *(f"{mean:.4f}" for mean in means.values())]


def test_evaluate_needs_no_flags_for_sizes_and_gives_the_errors_of_the_run(in_tmp, without_pictures, capsys):
    assert run_mnist.main([*OTHER, *SMALL, "--n_z", "3", "--num_epoch", "1"]) == 0
    summary = capsys.readouterr().out.split("Test set")[1].splitlines()[:6]
    evaluation = run(capsys, "evaluate", Path("checkpoints", "other"), *OTHER)
    assert evaluation.split("Test set")[1].splitlines()[:6] == summary


def test_figures_draws_an_old_checkpoint(old, capsys):
    assert "figures/old-parameter20/other" in run(capsys, "figures", old, *OTHER).replace("\\", "/")
    folder = Path("figures", "old-parameter20", "other")
    assert {path.name for path in folder.iterdir()} == {*PICTURES, "figures.json"}
    for name in PICTURES:
        Image.open(folder / name).verify()
    record = json.loads((folder / "figures.json").read_text())
    assert record["checkpoint"] == str(old / "parameter20.ckpt")
    assert (record["data"]["name"], record["seed"]) == ("small digits", 0)
    assert not Path("figures", "run.json").exists()


def test_figures_draws_more_on_request(old, without_drawing, capsys):
    run(capsys, "figures", old, *OTHER, "--manifold_grid", "gaussian", "--add_noise")
    folder = Path("figures", "old-parameter20", "other")
    assert {path.name for path in folder.iterdir()} == {*PICTURES, "figures.json", "manifold_gaussian.png",
                                                        "denoising.png"}
    assert json.loads((folder / "figures.json").read_text())["flags"]["add_noise"] is True


class TestResultsFolder:
    """Results of different checkpoints do not replace each other, unless they are told to share a folder."""

    def test_another_checkpoint_of_the_same_name_has_another_folder(self, old, without_drawing, capsys):
        copies = [shutil.copytree(old, Path(place, "old")) for place in ("a", "b")]
        for prefix, number in ((copies[0], ""), (copies[1], "-2"), (copies[0].absolute(), ""), (copies[1], "-2")):
            folder = Path("figures", f"old-parameter20{number}")
            assert run(capsys, "sample", prefix).endswith(f" are in {folder / 'samples.png'}\n")
            assert json.loads((folder / "samples.json").read_text())["checkpoint"] == str(prefix / "parameter20.ckpt")

    def test_the_others_in_a_named_folder_are_printed(self, old, without_drawing, capsys):
        a, b = (old / f"parameter{epoch}.ckpt" for epoch in (0, 20))
        assert len(run(capsys, "sample", a, "--figures_dir", "x").splitlines()) == 1
        Path("x", "others.json").write_text("[]")
        lines = run(capsys, "explore", b, "--figures_dir", "x", "--dataset", "rendered").splitlines()
        assert len(lines) == 1                           # rendered digits have a folder of their own
        lines = run(capsys, "sample", b, "--figures_dir", "x").splitlines()
        assert lines[0] == (f"x also has results of {a}, recorded in samples.json; files of the same name are replaced")
        assert len(run(capsys, "sample", b, "--figures_dir", "x").splitlines()) == 1

    @pytest.mark.parametrize(("prefix", "name"), [
        ("parameter1.ckpt", "parameter1"), ("a/b/model-1000", "b-model-1000"), ("../x.ckpt", "x"),
        ("run[1]: *?<>|/x y.ckpt", "run-1-x-y"), ("Größe/1.ckpt", "Größe-1"), ("a\udcff/b.ckpt", "a-b"),
        (f"{'a' * 200}/{'b' * 99}", "b" * 60)])
    def test_its_name_is_short_and_legal_everywhere(self, in_tmp, prefix, name):
        flags = argparse.Namespace(figures_dir=None)
        assert outputs.results_folder(flags, [prefix]) == Path("figures", name)


def test_evaluate_with_noise(old, capsys):
    clean, noisy = (json.loads(run(capsys, "evaluate", old, *OTHER, "--json", *more))["evaluation"]
                    for more in ((), ("--add_noise",)))
    assert clean["Regularization_error"] != noisy["Regularization_error"]
    assert ("Test set of small digits (not MNIST), seen with noise, mean of"
            in run(capsys, "evaluate", old, *OTHER, "--add_noise"))


def test_a_denoising_run_is_evaluated_with_noise(in_tmp, without_drawing, capsys):
    assert "seen with noise" in run(capsys, *OTHER, *SMALL, "--num_epoch", "1", "--add_noise")
    Image.open(Path("figures", "other", "denoising.png")).verify()
    errors = json.loads(Path("figures", "other", "run.json").read_text())["test"]
    again = run(capsys, "evaluate", Path("checkpoints", "other"), *OTHER, "--add_noise", "--json")
    assert json.loads(again)["evaluation"] == errors


def test_sample_draws_the_requested_number(old, capsys):
    output = run(capsys, "sample", old, "--n", "9", "--seed", "3")
    path = Path("figures", "old-parameter20", "samples.png")
    assert output == f"9 samples of {old / 'parameter20.ckpt'} are in {path}\n"
    first = path.read_bytes()
    for seed, same in (("3", True), ("4", False)):
        run(capsys, "sample", old, "--n", "9", "--seed", seed)
        assert (path.read_bytes() == first) == same
    assert json.loads(path.with_suffix(".json").read_text())["flags"]["n"] == 9


def test_walk_interpolates_between_images(old, capsys):
    run(capsys, "walk", old, *OTHER, "--images", "3", "8", "--n", "5")
    folder = Path("figures", "old-parameter20", "other")
    Image.open(folder / "walk.png").verify()
    assert Image.open(folder / "walk.gif").n_frames == 8
    assert json.loads((folder / "walk.json").read_text())["flags"]["images"] == [3, 8]
    assert run_mnist.main(["walk", str(old), *OTHER, "--images", "3", "60"]) == 2
    assert one_line_error(capsys) == "--images: expected numbers below 60, the number of test images, found 60"


def test_explore_writes_a_page(old, capsys):
    path = Path("figures", "old-parameter20", "other", "explorer.html")
    assert run(capsys, "explore", old, *OTHER) == f"Open {path} in a browser: it needs no server and no network\n"
    assert '"data": "small digits (not MNIST)"' in path.read_text(encoding="utf-8")
    assert json.loads(path.with_suffix(".json").read_text())["checkpoints"] == [str(old / "parameter20.ckpt")]


def test_explore_takes_two_checkpoints_or_none(old, capsys):
    run(capsys, "explore")                                    # needs no data
    assert '"models": []' in Path("figures", "explorer.html").read_text(encoding="utf-8")
    run(capsys, "explore", old, old / "parameter0.ckpt", *OTHER)
    page = Path("figures", "old-parameter20-and-old-parameter0", "other", "explorer.html").read_text(encoding="utf-8")
    assert page.index('"name": "old/parameter20.ckpt"') < page.index('"name": "old/parameter0.ckpt"')
    assert run_mnist.main(["explore", *3 * [str(old)]]) == 2
    assert one_line_error(capsys) == "CHECKPOINT: expected at most 2, found 3"


def test_explore_shows_the_training_of_a_folder(old, capsys):
    path = Path("figures", "old-parameter20", "other", "explorer.html")
    for given, epochs in ((old, "[0, 20]"), (old / "parameter20.ckpt", None)):
        run(capsys, "explore", given, *OTHER)
        page = path.read_text(encoding="utf-8")
        assert (f'"film": {{"epochs": {epochs}, ' if epochs else '"film": null') in page


def test_trace_writes_a_page(old, capsys):
    path = Path("figures", "old-parameter20", "other", "graph.html")
    assert run(capsys, "trace", old, *OTHER) == f"Open {path} in a browser: it needs no server and no network\n"
    assert '"name": "old/parameter20.ckpt"' in path.read_text(encoding="utf-8")
    assert json.loads((path.parent / "trace.json").read_text())["checkpoint"] == str(old / "parameter20.ckpt")


class TestSweep:
    FLAGS = ("sweep", *OTHER, "--n_z", "1", "3", "--n_hidden_encoder", "8", "--n_hidden_decoder", "8", "--batch_size",
             "50", "--towers", "1", "--num_epoch", "1")

    def test_it_trains_each_network_once_and_draws_them_together(self, in_tmp, without_pictures, capsys):
        output = run(capsys, *self.FLAGS)
        sheet = Path("figures", "sweep", "other")
        Image.open(sheet / "sweep.png").verify()
        found = json.loads((sheet / "sweep.json").read_text())["sweep"]
        assert [*found] == ["1", "3"]
        for n_z, errors in found.items():
            prefix = Path("checkpoints", "sweep", f"n_z-{n_z}", "other", "parameter0.ckpt")
            assert inspection.inspect(str(prefix)).sizes.n_z == int(n_z)
            alone = json.loads(run(capsys, "evaluate", prefix, *OTHER, "--json"))["evaluation"]
            assert alone == errors
            row = next(line.split() for line in output.splitlines() if line.startswith(f"{n_z} "))
            assert row[1:4] == [f"{errors[name]:.4f}" for name in ("Recon_error", "Regularization_error", "ELBO")]

        again = run(capsys, *self.FLAGS)
        assert again.count("nothing left to train for --num_epoch 1") == 2
        assert "Epoch:" not in again


def test_compare_prints_and_writes_the_functions_results(old, capsys, idx_folder):
    a, b = old / "parameter0.ckpt", old / "parameter20.ckpt"
    output = run(capsys, "compare", a, b, *OTHER)
    test = data.other(idx_folder).test
    found = comparison.compare(str(a), str(b), test.images, test.digits)
    for name, prefix, step in (("A", a, "0, 0"), ("B", b, "20, 0.04662")):
        assert output.startswith("B's ELBO is lower, that is better, by ")
        sizes = "n_input 784, n_hidden_encoder 16, n_z 2, n_hidden_decoder 12"
        assert f"{name}: {prefix}\n   V2, {sizes}, step {step} epochs" in output
    rows = [line.split() for line in output.splitlines()]
    elbo = found.numbers["ELBO"]
    assert ["ELBO", f"{found.evaluation_a.ELBO:.4f}", f"{found.evaluation_b.ELBO:.4f}", f"{elbo.difference:+.4f}",
            f"{elbo.standard_error_over_images:.4g}"] in rows
    assert f"agreement of the latent spaces: {found.latent_agreement:.4f} " in output
    weights = next(variable for variable in found.variables if variable.name == "encoder_z/w3")
    assert ["encoder_z/w3", "16", "x", "4", f"{weights.maximum:.4g}", f"{weights.rms:.4g}", f"{weights.cosine:.4g}"] \
        in rows
    folder = Path("figures", "old-parameter0-and-old-parameter20", "other")
    Image.open(folder / "comparison.png").verify()
    record = json.loads((folder / "comparison.json").read_text())
    assert record["comparison"]["numbers"]["ELBO"]["difference"] == elbo.difference
    assert record["flags"]["a"] == a.as_posix()


def test_the_verdict_of_a_comparison_names_the_better_and_the_scale(old):
    """In nats, in standard errors, and where it applies in standard deviations over seeds, those of the study."""
    study = json.loads((ROOT / "figures" / "study" / "study.json").read_text())
    _, deviation = study["means and standard deviations"]["original"]["test, 200 epochs"]["ELBO"]
    prefix = str(old / "parameter20.ckpt")
    sizes = checkpoints.LayerSizes(784, 500, 2, 500)
    side = dataclasses.replace(inspection.inspect(prefix), sizes=sizes)
    small = dataclasses.replace(side, sizes=dataclasses.replace(sizes, n_hidden_encoder=16))

    def verdict(difference, error, b=side, on_mnist=True):
        number = comparison.NumberDifference(difference, error)
        evaluations = 2 * [SimpleNamespace(n_z=2)]
        found = comparison.Comparison(side, b, (), (), (), (), *evaluations, {"ELBO": number}, None)
        return report._verdict(found, on_mnist).removeprefix("A's ELBO is lower, that is better, by ")

    seeds = f"; the original's runs of 200 epochs differ by {deviation:.2f} (standard deviation over seeds)."
    assert verdict(-0.06, 0.04).startswith("B's ELBO is lower, that is better, by 0.0600: 1.5 standard errors over ")
    assert verdict(0.06, 0.02) == f"0.0600: 3.0 standard errors over images{seeds}"
    for without in (verdict(0.06, 0.02, small), verdict(0.06, 0.02, on_mnist=False)):
        assert without == "0.0600: 3.0 standard errors over images."
    assert verdict(0.06, None, on_mnist=False) == "0.0600."          # of one image
    assert verdict(0.0, 0.0) == "A and B have the same ELBO."


def test_compare_accepts_other_sizes_and_few_images(old, without_drawing, capsys):
    shapes = checkpoints.model_shapes(checkpoints.LayerSizes(784, 8, 3, 8))
    write_checkpoint("x.ckpt", {name: np.full(shape, 0.1, np.float32) for name, shape in shapes.items()})
    for n_images in ("1", "2"):
        output = run(capsys, "compare", old, "x.ckpt", *OTHER, "--n_images", n_images)
        assert "only in A: the step, Adam's 24 slots, Adam's 2 powers\n" in output
        assert "of another shape or type: encoder_hidden_1/w1, encoder_hidden_1/b1, encoder_hidden_2/w2" in output
        assert "'s true negative ELBO is lower, that is better, by " in output.splitlines()[0]     # n_z differs
    assert "active units: " in output


@pytest.mark.parametrize(("flags", "names"), [
    (("inspect", "old"), {"inspection"}),
    (("evaluate", "old", *OTHER), {"checkpoint", "evaluation"}),
    (("compare", "old", "old", *OTHER), {"checkpoints", "comparison"}),
])
def test_json_is_the_only_output(old, capsys, flags, names):
    (old / "parameter20.ckpt.index").write_bytes(b"")
    assert run_mnist.main([*flags, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("skipped: ") == flags.count("old")
    found = json.loads(captured.out)
    assert set(found) == {"flags", "data", "versions", "host", "seed"} | names
    assert found["flags"]["command"] == flags[0]


def test_the_json_matches_the_function(old, capsys):
    found = json.loads(run(capsys, "inspect", old, "--json"))["inspection"]
    expected = inspection.inspect(str(old / "parameter20.ckpt"))
    assert found["sizes"] == vars(expected.sizes)
    assert [variable["norm"] for variable in found["variables"]] == [v.norm for v in expected.variables]


def test_export_to_both_places(old, capfd):
    assert run_mnist.main(["export", str(old), "model", "--npz", "weights.npz"]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""                               # TensorFlow's messages too
    assert captured.out.splitlines()[:3] == [f"{old / 'parameter20.ckpt'} is exported; to load it:",
                                             '  tf.saved_model.load("model").signatures', '  numpy.load("weights.npz")']
    assert captured.out.count("\n") == 4
    assert Path("model", "saved_model.pb").is_file()
    assert Path("weights.npz").is_file()


def test_export_to_either_place(old, capsys):
    run(capsys, "export", old, "--npz", Path("new", "weights.npz"))
    run(capsys, "export", old, "model")
    run(capsys, "export", old, "--onnx", "graphs", "--safetensors", "weights.safetensors")
    assert sorted(path.name for path in Path("graphs").iterdir()) == ["decode.onnx", "encode.onnx", "reconstruct.onnx"]
    assert Path("new", "weights.npz").is_file()
    assert Path("weights.safetensors").is_file()
    assert run_mnist.main(["export", str(old)]) == 2
    assert one_line_error(capsys) == ("DIR: expected a folder to export to, --onnx DIR, --npz FILE or --safetensors "
                                      "FILE, found none of them")


@pytest.mark.parametrize("command", ["evaluate", "figures", "compare"])
def test_without_mnist_the_substitute_is_named(old, without_drawing, capsys, monkeypatch, command, digits):
    monkeypatch.setattr(data, "rendered_digits", lambda: digits)
    arguments = (command, *["old"] * (2 if command == "compare" else 1), "--data_dir", "old/oracle.npz/no_folder")
    output = run(capsys, *arguments)
    assert "THIS IS NOT MNIST" in output
    assert "rendered" in output.split("*" * 100)[-1]
    assert run_mnist.main([*arguments, "--dataset", "mnist"]) == 2


def test_the_single_file_of_tensorflow_0_is_accepted(old, capsys):
    values = checkpoints.read_variables(str(old / "parameter20.ckpt"))
    write_checkpoint("parameter30.ckpt", values, write_version=tf.train.SaverDef.V1)
    v2 = run(capsys, "evaluate", old, *OTHER).splitlines()[1:]
    assert run(capsys, "evaluate", "parameter30.ckpt", *OTHER).splitlines()[1:] == v2
    run(capsys, "export", ".", "model")


def test_checkpoints_of_other_names_are_found_and_named(old, capsys, in_tmp):
    weights = checkpoints.read_network(str(old / "parameter20.ckpt"))[1]
    Path("models").mkdir()
    for step in (1000, 10000, 2000):
        write_checkpoint(Path("models", f"my_model-{step}"), weights)
    Path("models/checkpoint").write_text('model_checkpoint_path: "/old/my_model-2000"')
    assert run(capsys, "inspect", "models").splitlines()[:2] == [
        "using models/my_model-2000; also found: my_model-10000, my_model-1000", "models/my_model-2000"]
    assert run(capsys, "inspect", "models/checkpoint").splitlines()[0] == "models/my_model-2000"


def test_samples_of_a_network_not_trained_on_mnist_say_so(old, capsys, monkeypatch, digits):
    """According to the record beside the checkpoint; the original's have none."""
    titles = []
    monkeypatch.setattr(plot, "png", lambda figure, note="": titles.append(figure.get_suptitle()) or b"")
    for name, sha256 in (("other", digits.sha256), ("mnist", data.MNIST_SHA256)):
        shutil.copytree(old, name)
        Path(name, "resume.json").write_bytes(RunRecord(Settings(), sha256).as_json())
    for checkpoint in ("other", "mnist", "old"):
        run(capsys, "sample", checkpoint, "--n", "4")
    assert titles == ["from a network not trained on MNIST", "", ""]


def test_inspect_needs_no_tensorflow(old):
    """So it answers within half a second; importing TensorFlow takes several."""
    program = ("import sys; from run_mnist import main\n"
               "for flags in ([], ['--json']): assert main(['inspect', 'old', *flags]) == 0\n"
               "assert main(['inspect', 'nothing']) == 2; assert 'tensorflow' not in sys.modules")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
