"""The pictures show what they are given, where the original shows it, and are the same bytes each time."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from vae_graph import plot

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(0, 1, (5, 784))
CODES = RANDOM.normal(size=(30, 2))
DIGITS = np.arange(30) % 10
MANIFOLD = RANDOM.uniform(0, 1, (20, 20, 784))
ERRORS = {"epoch": [0, 1], "Recon_error": [5.0, 4.0], "Regularization_error": [1.0, 2.0], "ELBO": [6.0, 6.0]}
SIDES = [plot.Side("A: old", IMAGES, CODES, MANIFOLD),
         plot.Side("B: new", 1 - IMAGES, -CODES, 1 - MANIFOLD, ("p", "q"))]
PICTURES = {
    "reconstruction": (lambda title: plot.reconstruction(IMAGES, IMAGES[::-1], title), (800, 1200)),
    "latent": (lambda title: plot.latent(CODES, DIGITS, title=title), (800, 600)),
    "manifold": (lambda title: plot.manifold(MANIFOLD, 2.0, title=title), (800, 800)),
    "comparison": (lambda title: plot.comparison(SIDES, IMAGES, DIGITS, 2.0, title), (1300, 1450)),
    "training_curve": (lambda title: plot.training_curve(ERRORS, title), (800, 600)),
}


@pytest.mark.parametrize(("draw", "size"), PICTURES.values(), ids=PICTURES.keys())
def test_same_bytes_and_the_originals_size(draw, size):
    content = plot.png(draw(""))
    assert content == plot.png(draw(""))
    assert Image.open(io.BytesIO(content)).size == size


@pytest.mark.parametrize(("draw", "size"), PICTURES.values(), ids=PICTURES.keys())
def test_a_title_stands_as_it_is_given(draw, size):
    title = r"a folder's name $\may be anything$"          # read as a formula it would be an error
    figure = draw(title)
    assert figure.get_suptitle() == title
    plot.png(figure)


def test_reconstructions_stand_beside_their_images():
    figure = plot.reconstruction(IMAGES, IMAGES[::-1])
    pairs = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in pairs] == ["True_number", "Reconstruction_number"] * 5
    for i in range(5):
        for ax, images in zip(pairs[2 * i:2 * i + 2], (IMAGES, IMAGES[::-1]), strict=True):
            np.testing.assert_array_equal(ax.images[0].get_array(), images[i].reshape(28, 28))
            assert ax.images[0].get_clim() == (0, 1)


def test_each_digit_has_one_of_ten_jet_colours():
    points = plot.latent(CODES, DIGITS).axes[0].collections[0]
    np.testing.assert_array_equal(points.get_offsets(), CODES)
    ten_step_jet = matplotlib.colormaps["jet"].resampled(10)
    np.testing.assert_array_equal(points.to_rgba(points.get_array()), ten_step_jet(DIGITS))


def test_manifold_keeps_rows_columns_and_axes():
    figure = plot.manifold(MANIFOLD, 2.0, ("a", "b"))
    ax = figure.axes[0]
    canvas = ax.images[0].get_array()
    assert canvas.shape == (560, 560)
    np.testing.assert_array_equal(canvas[3 * 28:4 * 28, 7 * 28:8 * 28], MANIFOLD[3, 7].reshape(28, 28))
    # The middle of the top left cell is the code (-2, 2).
    left, right, bottom, top = ax.images[0].get_extent()
    assert left + (right - left) / 40 == pytest.approx(-2)
    assert top - (top - bottom) / 40 == pytest.approx(2)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")


def test_a_comparison_has_a_column_for_each_model():
    figure = plot.comparison(SIDES, IMAGES, DIGITS, 2.0)
    axes = np.array(figure.axes[:6]).reshape(3, 2).T
    for (strip, scatter, canvas), side in zip(axes, SIDES, strict=True):
        assert strip.get_title() == side.name
        shown = strip.images[0].get_array()
        assert shown.shape == (56, 140)
        np.testing.assert_array_equal(shown[:28, 56:84], IMAGES[2].reshape(28, 28))
        np.testing.assert_array_equal(shown[28:, 56:84], side.reconstructions[2].reshape(28, 28))
        np.testing.assert_array_equal(scatter.collections[0].get_offsets(), side.codes)
        np.testing.assert_array_equal(canvas.images[0].get_array()[28:56, :28], side.manifold[1, 0].reshape(28, 28))
        assert (scatter.get_xlabel(), canvas.get_ylabel()) == side.axis_names


def test_a_models_name_stands_as_it_is_given():
    name = r"A: a folder's name $\may be anything$ and long, " + "very " * 30
    figure = plot.comparison([SIDES[0]._replace(name=name)], IMAGES, DIGITS, 2.0)
    plot.png(figure)
    assert figure.axes[0].get_title().replace("\n", " ").split() == name.split()
