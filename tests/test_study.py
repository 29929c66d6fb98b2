"""The study's arithmetic on runs whose answer is known."""

import statistics

import numpy as np
import pytest

from tests.benchmarks import study

TEST = "test ELBO after 200 epochs"


def runs_ending_at(elbos):
    """Runs with the same ELBO at the end of training and on the test set."""
    return [{"training": [[0.0, 0.0, elbo]], "test": {"200": [0.0, 0.0, elbo]}} for elbo in elbos]


ORIGINAL = np.linspace(160.0, 161.0, 10)
DEVIATION = statistics.stdev(ORIGINAL)


def test_the_interval_is_welchs():
    """With two samples of ten and equal variances it has 18 degrees of freedom, for which tables give 1.734."""
    found = study.compare(runs_ending_at(ORIGINAL), runs_ending_at(ORIGINAL + 0.1))
    half = 1.7341 * DEVIATION * (2 / 10) ** 0.5
    for comparison in found.values():
        assert comparison["difference"] == pytest.approx(0.1)
        assert comparison["interval"] == pytest.approx([0.1 - half, 0.1 + half], abs=1e-4)
        assert comparison["margin"] == pytest.approx(1.5 * DEVIATION)


def test_the_interval_does_not_assume_equal_variances():
    """With hardly any variance in the arm, nine degrees of freedom are left, for which tables give 1.833."""
    found = study.compare(runs_ending_at(ORIGINAL), runs_ending_at([160.4999, 160.5001] * 2))
    half = 1.8331 * DEVIATION * (1 / 10) ** 0.5
    for comparison in found.values():
        assert comparison["interval"] == pytest.approx([-half, half], abs=1e-3)


@pytest.mark.parametrize(("shift", "equivalent"), [
    (0.0, True), (0.69, True), (0.75, False), (-0.69, True), (-0.75, False), (2.0, False)])
def test_equivalent_means_that_the_margins_enclose_the_interval(shift, equivalent):
    """In deviations of the original: the margin is 1.5, the interval's half 1.734 * sqrt(2 / 10) = 0.775."""
    found = study.compare(runs_ending_at(ORIGINAL), runs_ending_at(ORIGINAL + shift * DEVIATION))
    assert {comparison["equivalent"] for comparison in found.values()} == {equivalent}


def test_the_same_distribution_passes_eight_times_in_ten():
    random = np.random.default_rng(0)
    passed = [study.compare(runs_ending_at(random.normal(size=9)), runs_ending_at(random.normal(size=12)))
              [TEST]["equivalent"] for _ in range(500)]
    assert 0.77 < np.mean(passed) < 0.87


def test_runs_that_were_not_finite_are_left_out():
    lost = [{"training": [[None] * 3], "test": {"200": [None] * 3}},             # the original, which goes on with NaN
            {"training": [[1.0, 2.0, 3.0]], "test": {"10": [1.0, 2.0, 3.0]}}]      # ours, which ends with an error
    kept = runs_ending_at(ORIGINAL)
    assert study.finite(kept + lost) == kept
    assert study.compare(kept + lost, kept) == study.compare(kept, kept)


def test_the_figure_shows_every_finite_run():
    kept = runs_ending_at(ORIGINAL)
    figure = study.picture({"original": kept, "ours": kept[:4]}, margin=0.5)
    curves, points = figure.axes
    assert [text.get_text() for text in curves.get_legend().get_texts()] == ["original, 10 seeds", "ours, 4 seeds"]
    assert [line.get_linestyle() for line in curves.get_lines()] == ["-", "--"]        # one may cover the other
    drawn = [line.get_ydata() for line in points.get_lines() if line.get_marker() == "."]
    assert [len(values) for values in drawn] == [10, 4]
