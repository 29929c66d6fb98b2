"""The documentation matches the program and the committed results."""

import json
import re
import statistics

import numpy as np
import tensorflow

from run_mnist import COMMANDS
from tests.benchmarks.study import ENDPOINTS
from tests.helpers import parse_flags
from tests.small import ROOT
from vae_graph import data
from vae_graph.training_graph import ERROR_NAMES

FOLDERS = ("", "figures", "tests", "tests/benchmarks", "tests/stress", "vae_graph")
PAGES = {folder: (ROOT / folder / "README.md").read_text(encoding="utf-8") for folder in FOLDERS}
PORTING = (ROOT / "vae_graph" / "PORTING.md").read_text(encoding="utf-8")
README, OF_FIGURES, OF_BENCHMARKS = PAGES[""], PAGES["figures"], PAGES["tests/benchmarks"]
REFERENCE, STUDY = ROOT / "figures" / "reference", ROOT / "figures" / "study"
# A number with a fraction, an exponent or one of these units is measured, unless it is a setting.
MEASURED = r"(?<![\w.])\d[\d,]*(?:(?:\.\d+|e-\d+)+|(?= (?:ms|s|MB|minutes|kills|of \d+)\b))"
SETTINGS = ("0.5", "0.6", "1.0", "1e-8")
PYTHON = r"```python\n(.*?)```"


def unwrapped(text):
    """A page with single spaces in place of its line breaks."""
    return " ".join(text.split())


def test_the_ten_lines_run(tmp_path, monkeypatch, idx_folder):
    """With a small data set in place of MNIST, and without the original's checkpoint."""
    [script] = re.findall(PYTHON, README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "mnist", lambda folder: data.other(idx_folder))
    names = {}
    exec(script, names)
    assert names["images"].shape == (3, 784)
    assert np.isfinite(names["loss"])


def test_the_commands_functions_are_called_as_documented(tmp_path, monkeypatch, idx_folder):
    """On a small data set in place of MNIST. What it exports loads as documented, without this package."""
    [script] = (block for block in re.findall(PYTHON, OF_FIGURES, re.DOTALL) if "comparison.compare" in block)
    [load] = re.findall(r"`(tf\.saved_model\.load.*?)`", README)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "figures").symlink_to(ROOT / "figures")
    monkeypatch.setattr(data, "mnist", lambda folder: data.other(idx_folder))
    exec(script, {})
    assert eval(load, {"tf": tensorflow}).shape == (1, 784)


def test_every_command_is_documented():
    rows = re.findall(r"^\| `python run_mnist.py (\w+) ", README, re.MULTILINE)
    assert {*rows, "train"} == set(COMMANDS)


def test_the_originals_flags_and_others_are_documented_with_their_defaults(monkeypatch):
    monkeypatch.delenv("MNIST_DIR", raising=False)
    defaults = vars(parse_flags([]))
    documented = []
    for flags, cell in re.findall(r"^\| (`--\w+`(?:, `--\w+`)*) \| ([^|]*?) ?\|", README, re.MULTILINE):
        names, values = re.findall(r"--(\w+)", flags), cell.split(", ")
        documented += names
        for name, value in zip(names, values if len(values) == len(names) else [cell] * len(names), strict=True):
            if defaults[name] not in (None, False):
                number = isinstance(defaults[name], float | int)
                assert float(value) == defaults[name] if number else value == str(defaults[name]), name
    assert {*documented[:9]} == {"n_hidden_encoder", "n_hidden_decoder", "n_z", "num_epoch", "batch_size",
                                 "learning_rate", "decay_rate", "decay_step", "keep_prob"}


def test_the_study_matches_study_json():
    """The means and deviations, calculated here from the runs; the intervals, from the comparisons."""
    found = json.loads((STUDY / "study.json").read_text())
    arms = {"original": json.loads((STUDY / "original.json").read_text())["runs"], **found["runs"]}
    finite = {arm: [run for run in runs if None not in run["test"].get("200", [None])] for arm, runs in arms.items()}
    columns = {"Recon_error": 0, "Regularization_error": 1, "ELBO": 2}

    def cells(errors):
        values = {arm: [errors(run) for run in runs] for arm, runs in finite.items()}
        return [f"{statistics.mean(arm):.2f} ± {statistics.stdev(arm):.2f}" for arm in values.values()]

    def table(page, heading):
        found = page.split(f"| | {heading} |\n|---|---|---|---|\n")[1].split("\n\n")[0]
        return {name: cells for name, *cells in (row.strip("| ").split(" | ") for row in found.splitlines())}

    rows = table(OF_FIGURES, "original | ours | control")
    answer = table(README, "original, TensorFlow 1.15.5 | ours, TensorFlow 2.21 | control")
    assert len(answer) == 3
    assert answer.items() <= rows.items()
    test_elbo = rows["`ELBO`, test set, after 200 epochs"]
    assert (f"the test `ELBO` is {test_elbo[1]} nats per image here and {test_elbo[0]} in the original (mean and "
            f"standard deviation of {len(finite['ours'])} and {len(finite['original'])} runs)") in unwrapped(README)
    assert rows.pop("runs that ended finite") == [f"{len(finite[arm])} of {len(arms[arm])}" for arm in arms]
    assert rows.pop("`ELBO`, training, epoch 199") == cells(lambda run: run["training"][199][2])
    for name, row in rows.items():
        column, epochs = re.fullmatch(r"`(\w+)`, test set, after (\d+) epochs", name).groups()
        assert row == cells(lambda run, at=(epochs, columns[column]): run["test"][at[0]][at[1]])
    text = unwrapped(OF_FIGURES)
    ours, control = ([found["comparisons"][arm][endpoint] for endpoint in ENDPOINTS] for arm in ("ours", "control"))
    shown = [[f"[{low:+.2f}, {high:+.2f}]" for low, high in (endpoint["interval"] for endpoint in arm)]
             for arm in (ours, control)]
    training, test = (endpoint["margin"] for endpoint in ours)
    assert f"{training:.2f} for the `ELBO` of the last epoch and {test:.2f} for the final test `ELBO`" in text
    assert f"90 % intervals (Welch) {shown[0][0]} and {shown[0][1]}" in text
    assert f"with `--keep_prob 0.5` the intervals are {shown[1][0]} and {shown[1][1]}" in text
    # What the text says of them.
    assert [endpoint["equivalent"] for endpoint in ours] == [True, True]
    assert [endpoint["equivalent"] for endpoint in control] == [False, False]


def test_the_reference_run_is_the_studys_seed_0():
    run = json.loads((REFERENCE / "run.json").read_text())
    seed0 = json.loads((STUDY / "study.json").read_text())["runs"]["ours"][0]
    assert seed0["seed"] == 0
    assert seed0["training"] == [list(errors) for errors in zip(*(run["training"][name] for name in ERROR_NAMES),
                                                                strict=True)]
    assert seed0["test"]["200"] == [run["test"][name] for name in ERROR_NAMES]
    assert f"reference run, seed 0, ends with a test `ELBO` of {run['test']['ELBO']:.2f}" in unwrapped(OF_FIGURES)


def test_the_constraints_are_the_versions_of_the_reference_run():
    lines = (ROOT / "figures" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    versions = json.loads((REFERENCE / "run.json").read_text())["versions"]
    assert {name: pinned[name] for name in ("tensorflow", "numpy", "matplotlib", "pillow")}.items() <= versions.items()


def test_the_nan_of_quirk_3_is_in_the_originals_runs():
    runs = json.loads((STUDY / "original.json").read_text())["runs"]
    diverged = [run for run in runs if run["test"]["200"] == [None] * 3]
    assert len(diverged) == 1
    first = diverged[0]["training"].index([None] * 3)
    assert (f"Seed {diverged[0]['seed']} of [ten runs](figures/study/original.json) under TensorFlow 1.15.5 became NaN "
            f"in epoch {first}.") in README


def test_every_number_has_a_command_and_a_file():
    """Every measured number of the README follows, in its paragraph, a phrase of the table in figures/README.md."""
    table = OF_FIGURES.split("| file that holds the result |\n|---|---|---|\n")[1].split("\n\n")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()]
    phrases = [re.sub(r"^\[(.*)\]\(.*\)$", r"\1", phrase) for phrase, _, _ in rows]
    used = set()
    for paragraph in re.split(r"\n\n", re.sub("```.*?```", "", README, flags=re.DOTALL)):
        if paragraph.startswith("| flag"):
            continue
        text = re.sub(r"\]\([^)]*\)|<[^>]*>|(TensorFlow|[Pp]ython|arXiv) [\d.]+\w*(?: (?:to|and) [\d.]+)?", "",
                      unwrapped(paragraph))
        places = [(text.find(phrase), phrase) for phrase in phrases if phrase in text]
        for number in re.finditer(MEASURED, text):
            if number[0] in SETTINGS:
                continue
            before = [place for place in places if place[0] < number.start()]
            assert before, (number[0], text)
            used.add(max(before)[1])
    assert used == set(phrases)
    for _, command, files in rows:
        for name in re.findall(r"`(.*?)`", command):
            assert re.match(r"python (-m tests\.\w+\.\w+|-m pytest|run_mnist\.py)", name), name
            for module in re.findall(r"-m (tests\.\S+)", name):
                assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists()
        assert re.findall(r"\]\(([^)#]+)", files)        # whose targets another test looks for


def test_the_comparison_matches_comparison_json():
    found = json.loads((REFERENCE / "comparison" / "comparison.json").read_text())["comparison"]
    rows = {"_".join(name.split()): [float(cell) for cell in cells] for name, *cells in re.findall(
        r"^(\w[\w ]+?)  +([\d.]+)  +([\d.]+)  +([+-][\d.]+)  +([\d.]+)$", OF_FIGURES, re.MULTILINE)}
    assert rows == {name: [round(found["evaluation_a"][name], 4), round(found["evaluation_b"][name], 4),
                           round(number["difference"], 4), float(f"{number['standard_error_over_images']:.4g}")]
                    for name, number in found["numbers"].items()}
    elbo = found["numbers"]["ELBO"]
    n_errors = abs(elbo["difference"]) / elbo["standard_error_over_images"]
    assert f"by {abs(elbo['difference']):.4f}: {n_errors:.1f} standard errors over images" in OF_FIGURES
    assert f"agreement of the latent spaces: {found['latent_agreement']:.4f} " in OF_FIGURES


def test_the_speeds_match_bench_training_json():
    found = json.loads((ROOT / "figures" / "bench_training.json").read_text())
    medians = {name: statistics.median(times) for name, times in found["ms per step, round by round"].items()}
    shown = {name: (f"{median:.2f}", f"{median / medians['ours']:.2f}") for name, median in medians.items()}
    table = OF_BENCHMARKS.split("time relative to ours |")[1].split("\n\n")[0]
    assert re.findall(r"\| ([\d.]+) \| ([\d.]+) \|$", table, re.MULTILINE) == list(shown.values())
    section = README.split("## Speed")[1].split("## ")[0]
    two_cores = re.findall(r"^\| [^|]+ \| ([\d.]+)(?: \(([\d.]+)\))? \|", section, re.MULTILINE)
    assert two_cores == [(shown["ours"][0], ""), *(shown[name] for name in ("port", "jax", "pytorch"))]
    checkpoint = statistics.median(found["ms per checkpoint, round by round"])
    assert f"A checkpoint takes {checkpoint:.0f} ms, which is {checkpoint / 429 / 20:.3f} ms per step" in OF_BENCHMARKS


def test_the_starts_match_bench_start_json():
    found = json.loads((ROOT / "figures" / "bench_start.json").read_text())["graphs"]
    rows = [(str(one["towers"]), str(one["steps"]), str(one["operations"]), f"{one['building, s']:.2f}",
             f"{one['first run, s']:.2f}", f"{one['building, s'] + one['first run, s']:.2f}") for one in found]
    table = OF_BENCHMARKS.split("| first run, s | sum, s |\n")[1].split("\n\n")[0]
    assert [tuple(row.strip("| ").split(" | ")) for row in table.splitlines()[1:]] == rows


def test_the_default_run_matches_bench_default_run_json():
    """Its time is compared with that of its steps and its start, as the other benchmarks measured them."""
    figures = ROOT / "figures"
    run = json.loads((figures / "bench_default_run.json").read_text())["default run"]
    steps = json.loads((figures / "bench_training.json").read_text())["ms per step, round by round"]["ours"]
    start = json.loads((figures / "bench_program.json").read_text())["rounds"]["start to first step, s"]
    expected = run["steps"] * statistics.median(steps) / 1000 + statistics.median(start)
    assert (f"The default command took {run['seconds']:.1f} s, {run['seconds'] / expected:.3f} x the time of its "
            f"{run['steps']:,} steps and its start") in unwrapped(OF_BENCHMARKS)
    assert f"with evaluation and pictures, takes {run['seconds'] / 60:.1f} minutes" in unwrapped(README)


def test_the_operations_match_bench_operations_json():
    found = json.loads((ROOT / "figures" / "bench_operations.json").read_text())["operations of a step"]
    products = sum(row["core-ms"] for op, row in found.items() if "MatMul" in op)
    total = sum(row["core-ms"] for row in found.values())
    text = unwrapped(OF_BENCHMARKS)
    assert f"of the {total:.1f} core-milliseconds of a step's operations, {products:.1f} are" in text
    assert f"a step could take no less than {products / 2:.1f} ms" in text
    table = OF_BENCHMARKS.split("core-ms per step |\n")[1].split("\n\n")[0]
    rows = re.findall(r"\| `(\w+)` \| (\d+) \| ([\d.]+) \|$", table, re.MULTILINE)
    assert rows == [(op, f"{row['per step']:.0f}", f"{row['core-ms']:.2f}") for op, row in list(found.items())[:8]]


def test_the_whole_processes_match_bench_program_json():
    found = json.loads((ROOT / "figures" / "bench_program.json").read_text())["rounds"]
    start, whole, whole_memory, *alone, manifold, decoders = (statistics.median(times) for times in found.values())
    section = unwrapped(OF_BENCHMARKS).split("to its first step: ")[1].split("Three epochs with")[0]
    shown = re.findall(r"([\d.]+) (?:s|MB)\b", section)
    expected = [start, *alone, manifold, decoders]
    assert shown == [f"{value:.{digits}f}" for value, digits in zip(expected, (1, 1, 0, 1, 0, 2, 1), strict=True)]
    assert f"Three epochs with evaluation and plots took {whole:.1f} s and {whole_memory:.0f} MB" in OF_BENCHMARKS


def test_the_long_run_matches_bench_long_json():
    found = json.loads((ROOT / "figures" / "bench_long.json").read_text())
    table = OF_BENCHMARKS.split("ms per epoch |\n")[1].split("\n\n")[0]
    rows = [[float(cell) for cell in re.findall(r"[\d.]+", row)] for row in table.splitlines()[1:]]
    assert rows == [[*tenth.values()] for tenth in found["tenths"]]


def test_the_sweep_matches_sweep_json():
    found = json.loads((REFERENCE / "sweep" / "sweep.json").read_text())["sweep"]
    names = ("Recon_error", "Regularization_error", "ELBO", "true_negative_ELBO", "KL")
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| (\d+) \|$", OF_FIGURES,
                      re.MULTILINE)
    assert rows == [(n_z, *(f"{errors[name]:.2f}" for name in names), str(errors["active_units"]))
                    for n_z, errors in found.items()]


def test_the_shuffled_run_matches_its_run_json():
    shuffled, in_order, sweep = (json.loads((REFERENCE / name).read_text())
                                 for name in ("shuffle/run.json", "run.json", "sweep/sweep.json"))
    assert (f"end with a test `ELBO` of {shuffled['test']['ELBO']:.2f}, compared with "
            f"{sweep['sweep']['2']['ELBO']:.2f} in file order" in unwrapped(OF_FIGURES))
    assert (f"the mean training `ELBO` is {shuffled['training']['ELBO'][59]:.2f}, compared with "
            f"{in_order['training']['ELBO'][59]:.2f} in file order." in OF_FIGURES)


def test_every_relative_link_resolves():
    for folder, text in [*PAGES.items(), ("vae_graph", PORTING)]:
        prose = re.sub(r"```.*?```|(?<!\[)`[^`\n]*`", "", text, flags=re.DOTALL)
        for path in re.findall(r'(?:src="|\]\()(?!https?:)([^")#]+)', prose):
            assert (ROOT / folder / path).exists(), (folder, path)
