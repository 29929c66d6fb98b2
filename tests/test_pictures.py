"""Each picture of a checkpoint is given what it is to show."""

import numpy as np
import pytest

from tests.numpy_network import PREFIX
from vae_graph import pictures, results


@pytest.fixture
def drawn(monkeypatch):
    """What the functions of `plot` are called with, by their names."""
    calls = {}

    def noted(name):
        function = getattr(pictures.plot, name)

        def draw(*args, **kwargs):
            calls.setdefault(name, []).append((*args, *kwargs.values()))
            return function(*args, **kwargs)

        return draw

    for name in ("reconstruction", "latent", "manifold", "strips", "canvas", "gif"):
        monkeypatch.setattr(pictures.plot, name, noted(name))
    return calls


def test_the_manifold_stands_in_z_and_in_probabilities(digits, drawn):
    assert {*pictures.of_training(PREFIX, digits, 0, gaussian_grid=True)} == {
        "result1_reconstruction.png", "result2_latent.png", "result3_manifold.png", "manifold_gaussian.png"}
    found = results.of_training(PREFIX, digits.test.images, 0, ["linear", "gaussian"])
    for (shown, ends, *_), name, expected in zip(drawn["manifold"], ("linear", "gaussian"), ((-2, 2), (0.025, 0.975)),
                                                 strict=True):
        np.testing.assert_array_equal(shown, found.manifolds[name])
        assert ends == pytest.approx(expected)


def test_the_noisy_stand_between_the_original_and_the_restored(digits, drawn):
    assert "denoising.png" in pictures.of_training(PREFIX, digits, 5, noisy=True)
    [(rows, title)] = drawn["strips"]
    seen, restored = results.reconstructions(PREFIX, digits.test.images[:10], 5, noisy=True)
    expected = {"original": digits.test.images[:10], "noisy": seen, "restored": restored}
    assert [*rows] == [*expected]
    for name, images in expected.items():
        np.testing.assert_array_equal(rows[name][0], images)
    assert title == "rendered digits (not MNIST)"


def test_a_walk_stands_between_its_ends(digits, drawn):
    pictures.of_walk(PREFIX, digits, (8, 3), 6)
    [(rows, heads, title)] = drawn["strips"]
    start, way, end = rows[""]
    np.testing.assert_array_equal([start[0], end[0]], digits.test.images[[8, 3]])
    np.testing.assert_array_equal(way, results.walk(PREFIX, digits.test.images[[8, 3]], 6))
    np.testing.assert_array_equal(drawn["gif"][0][0], way)
    assert [head.split()[-1] for head in heads] == ["8", "way", "3"]
    assert title == "rendered digits (not MNIST)"


def test_a_sheet_has_the_test_images_and_a_row_for_each_network(digits, drawn):
    before = PREFIX.replace("20", "0")
    pictures.of_sweep({"a": PREFIX, "b": before}, digits, 2)
    [(rows, *_)] = drawn["strips"]
    assert [*rows] == ["test images", "a", "b"]
    images = digits.test.images[:10]
    np.testing.assert_array_equal(rows["test images"][0], images)
    assert len(rows["test images"][1]) == 0
    for name, prefix in (("a", PREFIX), ("b", before)):
        np.testing.assert_array_equal(rows[name][0], results.reconstructions(prefix, images, 2)[1])
        np.testing.assert_array_equal(rows[name][1], results.samples(prefix, 10, 2))
