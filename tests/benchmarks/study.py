"""Is it the same program? Training runs of this program and of the original, compared as distributions over seeds.

    pip install -e ".[bench]"                                      SciPy, for Student's t
    python -m tests.benchmarks.study FOLDER [--jobs N]          train what FOLDER lacks, then compare
    python -m tests.benchmarks.study FOLDER --compare_only      compare the runs that are finished

MNIST must be in $MNIST_DIR or `data`. Each run has 200 epochs, is resumed where it was stopped, and leaves its result
in FOLDER/<arm>/seed<N>.json. The comparison is written to figures/study/study.json and study.png.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tests.benchmarks.contestants import ROOT, environment
from tests.benchmarks.machine import write_results
from vae_graph import data, evaluation, training
from vae_graph.runs.recorder import Diverged
from vae_graph.settings import Settings

STUDY_DIR = ROOT / "figures" / "study"
MOMENTS = (10, 20, 60, 100, 200)         # epochs after which the test errors are measured, as in the original's runs
COLUMNS = ("Recon_error", "Regularization_error", "ELBO")
# The control must not pass: it shows that the comparison can tell another program.
KEEP_PROB = {"ours": 0.6, "control": 0.5}
SEEDS = {"ours": range(12), "control": range(4)}
# Chosen before our runs: 1.5 standard deviations of the original, as for biosimilars (FDA, "Development of Therapeutic
# Protein Biosimilars: Comparative Analytical Assessment", 2019), and two one-sided tests at 5 % (Schuirmann, 1987).
MARGIN, CONFIDENCE = 1.5, 0.90
ENDPOINTS = {"training ELBO, epoch 199": lambda run: run["training"][-1][-1],
             "test ELBO after 200 epochs": lambda run: run["test"]["200"][-1]}


def train_seed(arm: str, seed: int, folder: Path) -> None:
    """In the child process: train one run, or the rest of it, and write its result."""
    data_set = data.mnist(data.data_folder())
    folder.mkdir(parents=True, exist_ok=True)
    tests_file, tests = folder / "tests.json", {}
    if tests_file.exists():
        tests = json.loads(tests_file.read_text())
    result = {"seed": seed, "keep_prob": KEEP_PROB[arm], "columns": COLUMNS, "test": tests}
    for n_epochs in MOMENTS:
        if str(n_epochs) in tests and n_epochs < MOMENTS[-1]:
            continue
        settings = Settings(seed=seed, keep_prob=KEEP_PROB[arm], num_epoch=n_epochs)
        try:
            prefix, record = training.train(data_set.train.pixels, data_set.sha256, settings, folder, n_towers=2)
        except Diverged as error:
            result["diverged"] = str(error)
            break
        found = evaluation.evaluate(prefix, data_set.test.images, data_set.test.digits, seed)
        tests[str(n_epochs)] = [getattr(found, name) for name in COLUMNS]
        tests_file.write_text(json.dumps(tests))
        result["training"] = list(zip(*(record.errors[name] for name in COLUMNS), strict=True))
    (folder.parent / f"seed{seed}.json").write_text(json.dumps(result))


def train_missing(folder: Path, n_jobs: int) -> None:
    """Train the runs without a result, each in a process of its own."""
    def run(arm: str, seed: int) -> None:
        print(f"{arm}, seed {seed}", flush=True)
        command = [sys.executable, "-m", "tests.benchmarks.study", str(folder), "--train", arm, str(seed)]
        subprocess.run(command, env=environment("ours"), stdout=subprocess.DEVNULL, check=True)

    with ThreadPoolExecutor(n_jobs) as jobs:
        list(jobs.map(lambda missing: run(*missing), [
            (arm, seed) for arm, seeds in SEEDS.items() for seed in seeds
            if not (folder / arm / f"seed{seed}.json").exists()]))


def finite(runs: Sequence[Mapping]) -> list[Mapping]:
    """The runs that ended with finite errors."""
    return [run for run in runs if None not in run["test"].get("200", [None])]


def means(runs: Sequence[Mapping]) -> dict[str, dict[str, list[float]]]:
    """[mean, standard deviation] of each error at the end of training and at each moment, over the finite runs."""
    errors = {"training, epoch 199": [run["training"][-1] for run in finite(runs)]}
    errors |= {f"test, {moment} epochs": [run["test"][str(moment)] for run in finite(runs)] for moment in MOMENTS}
    return {when: {name: [statistics.mean(values), statistics.stdev(values)]
                   for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)}
            for when, rows in errors.items()}


def compare(original: Sequence[Mapping], arm: Sequence[Mapping]) -> dict[str, dict[str, object]]:
    """The difference of the means of two arms, its interval (Welch), and whether the margins enclose it."""
    from scipy import stats

    found = {}
    for name, endpoint in ENDPOINTS.items():
        theirs, ours = ([endpoint(run) for run in finite(runs)] for runs in (original, arm))
        margin = MARGIN * statistics.stdev(theirs)
        low, high = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(CONFIDENCE)
        found[name] = {"difference": statistics.mean(ours) - statistics.mean(theirs), "interval": [low, high],
                       "margin": margin, "equivalent": bool(-margin < low and high < margin)}
    return found


def picture(arms: Mapping[str, Sequence[Mapping]], margin: float) -> Figure:
    """Training curves as bands over the seeds; test errors as points, with each arm's mean and its interval.

    The first arm is the original; the margin is that of its test ELBO.
    """
    from scipy import stats

    figure = Figure(figsize=(11, 5), layout="constrained")
    curves, points = figure.subplots(1, 2, width_ratios=(3, 2))
    for number, (arm, runs) in enumerate(arms.items()):
        curve = np.array([run["training"] for run in finite(runs)])[..., -1]
        epochs = np.arange(curve.shape[1])
        curves.fill_between(epochs, curve.min(0), curve.max(0), color=f"C{number}", alpha=0.3, linewidth=0)
        # Solid below dashed: means that coincide are both seen.
        curves.plot(epochs, curve.mean(0), "--" if number else "-", color=f"C{number}", linewidth=2,
                    label=f"{arm}, {len(curve)} seeds")
        values = [ENDPOINTS["test ELBO after 200 epochs"](run) for run in finite(runs)]
        mean, error = statistics.mean(values), statistics.stdev(values) / len(values)**0.5
        points.plot(np.full(len(values), number) - 0.1, values, ".", color=f"C{number}", alpha=0.6)
        points.errorbar(number + 0.1, mean, error * stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1),
                        color=f"C{number}", fmt="o", capsize=4)
        if number == 0:
            points.axhspan(mean - margin, mean + margin, color="gray", alpha=0.15,
                           label="the original's mean ± the margin")
    curves.set(xlabel="epoch", ylabel="training ELBO (negative, plus n_z), nats per image", ylim=(163, 190))
    points.set(ylabel="test ELBO after 200 epochs, nats per image", xlim=(-0.5, len(arms) - 0.5))
    points.set_xticks(range(len(arms)), [arm.replace(", ", ",\n") for arm in arms])
    for axes in (curves, points):
        axes.grid(alpha=0.4)
        axes.legend()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the training runs")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at the same time (default: 1)")
    parser.add_argument("--compare_only", action="store_true", help="train nothing")
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.train:
        arm, seed = flags.train
        train_seed(arm, int(seed), flags.folder / arm / f"seed{seed}")
        return
    if not flags.compare_only:
        train_missing(flags.folder, flags.jobs)
    runs = {arm: [json.loads(path.read_text()) for path in sorted((flags.folder / arm).glob("seed*.json"))]
            for arm in SEEDS}
    original = json.loads((STUDY_DIR / "original.json").read_text())["runs"]
    comparisons = {arm: compare(original, arm_runs) for arm, arm_runs in runs.items()}
    arms = {"original": original, **runs}
    report = {"finite runs": {arm: f"{len(finite(found))} of {len(found)}" for arm, found in arms.items()},
              "comparisons": comparisons, "means and standard deviations": {arm: means(arms[arm]) for arm in arms}}
    write_results(STUDY_DIR / "study.json", report | {"runs": runs})
    names = "original, TensorFlow 1.15.5", "this program", "control, keep_prob 0.5"
    margin = comparisons["ours"]["test ELBO after 200 epochs"]["margin"]
    picture(dict(zip(names, arms.values(), strict=True)), margin).savefig(STUDY_DIR / "study.png", dpi=100)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
