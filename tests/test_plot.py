"""The layout of the pictures is the original's, and drawing is deterministic."""

import io
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from vae_graph import plot
from vae_graph.pages import explorer

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(0, 1, (5, 784))
CODES = RANDOM.normal(size=(30, 2))
DIGITS = np.arange(30) % 10
MANIFOLD = RANDOM.uniform(0, 1, (20, 20, 784))
ERRORS = {"epoch": [0, 1], "Recon_error": [5.0, 4.0], "Regularization_error": [1.0, 2.0], "ELBO": [6.0, 6.0]}
TEXT = r"a folder's name $\may be anything$"          # read as a formula it would be an error
SIDES = [plot.ModelPanel(f"A: {TEXT}", IMAGES, CODES, MANIFOLD, (-2, 2)),
         plot.ModelPanel("B: new" + 10 * " and long", 1 - IMAGES, -CODES, 1 - MANIFOLD, (-3, 3),
                         ("p", "q"))]
PICTURES = {
    "reconstruction": (lambda title: plot.reconstruction(IMAGES[:2], IMAGES[2:4], title), (800, 1200)),
    "latent": (lambda title: plot.latent(CODES, DIGITS, title=title), (800, 600)),
    "manifold": (lambda title: plot.manifold(MANIFOLD, (-2, 2), title=title), (800, 800)),
    "comparison": (lambda title: plot.comparison(SIDES, IMAGES, DIGITS, title), (1300, 1450)),
    "image_rows": (lambda title: plot.image_rows(
        {"a": [IMAGES, IMAGES[:2]], "b": [IMAGES, IMAGES[:0]]}, ("x", "y"), title), None),
    "canvas": (lambda title: plot.canvas(IMAGES, title), None),
    "schematic": (lambda title: plot.schematic(784, 500, 2, 500, 0.6, title), (1410, 440)),
    "training_curve": (lambda title: plot.training_curve(ERRORS, title), (800, 600)),
}


@pytest.mark.parametrize(("draw", "size"), PICTURES.values(), ids=PICTURES.keys())
def test_same_bytes_the_originals_size_and_a_literal_title(draw, size):
    assert draw("").get_suptitle() == ""
    figure = draw(TEXT)
    assert figure.get_suptitle() == TEXT
    content = plot.png(figure)
    assert content == plot.png(draw(TEXT))
    assert size in (None, Image.open(io.BytesIO(content)).size)
    assert all(image.get_cmap().name == "gray" for ax in figure.axes for image in ax.images)


def test_reconstructions_are_beside_their_images():
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


def linear(colours):
    """Linear RGB, [n, 3], of colours such as "#96966e"."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(rgb):
    """WCAG's relative luminance."""
    return rgb @ [0.2126, 0.7152, 0.0722]


def oklab(rgb):
    """Coordinates in which distance is perceived difference (B. Ottosson, "A perceptual color space", 2020)."""
    cones = rgb.clip(0) @ np.transpose([[0.4122214708, 0.5363325363, 0.0514459929],
                                        [0.2119034982, 0.6806995451, 0.1073969566],
                                        [0.0883024619, 0.2817188376, 0.6299787005]])
    return np.cbrt(cones) @ np.transpose([[0.2104542553, 0.7936177850, -0.0040720468],
                                          [1.9779984951, -2.4285922050, 0.4505937099],
                                          [0.0259040371, 0.7827717662, -0.8086757660]])


# Linear RGB as people without one kind of cone see it (Machado, Oliveira and Fernandes, 2009).
VISION = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}


class TestAccessiblePalette:
    COLOURS = linear(plot.ACCESSIBLE)

    def test_contrast_with_white_and_with_the_pages_dark_background(self):
        """WCAG 2.2, 1.4.11: at least 3:1."""
        page = (Path(explorer.__file__).with_name("explorer.html")).read_text(encoding="utf-8")
        light, dark = luminance(linear(re.findall(r"--paper: (#\w{6})", page)))
        found = luminance(self.COLOURS)
        assert (light, page.count("--paper: #")) == (1, 2)
        assert ((light + 0.05) / (found + 0.05)).min() >= 3
        assert ((found + 0.05) / (dark + 0.05)).min() >= 3

    @pytest.mark.parametrize(("vision", "least"), [("all cones", 0.15), ("protanopia", 0.06), ("deuteranopia", 0.06)])
    def test_all_are_distinct_for_the_colour_blind_too(self, vision, least):
        """For comparison: jet comes as close as 0.03 without one kind of cone, matplotlib's default colours 0.01."""
        seen = oklab((self.COLOURS @ np.transpose(VISION[vision])).clip(0, 1))
        distances = np.linalg.norm(seen[:, None] - seen, axis=-1) + np.eye(10)
        assert distances.min() > least


def test_the_palette_is_the_pictures_and_the_pages():
    digits = np.arange(10)
    codes = np.stack([digits, digits], 1)
    for palette in plot.PALETTES:
        for figure in (plot.latent(codes, digits, palette=palette),
                       plot.comparison([SIDES[0]._replace(codes=codes)], IMAGES, digits, "", palette)):
            [points] = [ax.collections[0] for ax in figure.axes if ax.get_xlabel() == "z1" and ax.collections]
            drawn = points.to_rgba(points.get_array())
            assert [to_hex(colour) for colour in drawn] == plot.colours(palette)
    assert plot.colours("accessible") == list(plot.ACCESSIBLE)


def test_the_clusters_of_the_accessible_palette_are_labelled_where_they_are_densest():
    """Not at their means, which coincide here."""
    random = np.random.default_rng(0)
    dense = random.normal((2, 1), 0.1, (100, 2))
    scattered = random.uniform(2, 4, (30, 1)) * (-2, -1)
    codes = np.concatenate([dense, -dense, scattered, -scattered])
    digits = np.repeat([3, 5, 3, 5], [100, 100, 30, 30])

    def labels(n, palette):
        texts = plot.latent(codes[:n], digits[:n], palette=palette).axes[0].texts
        return {text.get_text(): text.get_position() for text in texts}
    found = labels(len(codes), "accessible")
    assert found.keys() == {"3", "5"}
    np.testing.assert_allclose([found["3"], found["5"]], [(2, 1), (-2, -1)], atol=0.6)
    digits[100:200] = 4
    codes[100:200] = dense                               # a second cluster in the same place
    assert np.abs(np.subtract(*[labels(200, "accessible")[digit] for digit in "34"])).max() > 0.01
    assert labels(1, "accessible").keys() == {"3"}
    assert labels(len(codes), "jet") == {}               # as the original's


def test_manifold_keeps_rows_columns_and_axes():
    figure = plot.manifold(MANIFOLD, (-2, 2), ("a", "b"))
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
    figure = plot.comparison(SIDES, IMAGES, DIGITS)
    axes = np.array(figure.axes[:6]).reshape(3, 2).T
    for (strip, scatter, canvas), side in zip(axes, SIDES, strict=True):
        lines = strip.get_title().splitlines()
        assert (" ".join(lines), max(map(len, lines)) <= 60) == (side.name, True)
        shown = strip.images[0].get_array()
        assert shown.shape == (56, 140)
        np.testing.assert_array_equal(shown[:28, 56:84], IMAGES[2].reshape(28, 28))
        np.testing.assert_array_equal(shown[28:, 56:84], side.reconstructions[2].reshape(28, 28))
        np.testing.assert_array_equal(scatter.collections[0].get_offsets(), side.codes)
        np.testing.assert_array_equal(canvas.images[0].get_array()[28:56, :28], side.manifold[1, 0].reshape(28, 28))
        assert (scatter.get_xlabel(), canvas.get_ylabel()) == side.axis_names
        assert sum(canvas.get_xlim()) == pytest.approx(0)
        assert canvas.get_xlim()[1] == pytest.approx(side.limits[1] * 20 / 19)           # the edge of the last digit


def test_the_latent_maps_of_a_comparison_have_the_same_axes():
    sides = [SIDES[0], SIDES[1]._replace(codes=3 + 2 * CODES)]
    figure = plot.comparison(sides, IMAGES, DIGITS)
    first, second = figure.axes[2:4]
    assert (first.get_xlim(), first.get_ylim()) == (second.get_xlim(), second.get_ylim())
    for side in sides:
        for values, (low, high) in zip(side.codes.T, (first.get_xlim(), first.get_ylim()), strict=True):
            assert low < values.min() <= values.max() < high


def test_a_note_is_drawn_below_the_picture():
    plain, noted = (np.array(Image.open(io.BytesIO(plot.png(plot.latent(CODES, DIGITS), note))).convert("L"))
                    for note in ("", r"old/parameter199.ckpt $\may$"))
    rows, columns = np.nonzero(plain != noted)
    assert rows.min() > 585
    assert 600 < columns.min() < columns.max() < 797
    assert (plain[rows, columns] == 255).all()           # on empty paper
    assert noted[rows, columns].min() > 100              # in gray
    assert np.ptp(rows) >= 9                             # and legible


def test_titles_of_several_lines_are_inside_the_picture():
    figure = plot.image_rows({"": [IMAGES[:1], IMAGES, IMAGES[:1]]}, ("test\nimage\n3", "on the way", "test\nimage\n1"))
    plot.png(figure)
    for ax in figure.axes:
        assert ax.title.get_window_extent().y1 < figure.bbox.height - 2


@pytest.mark.parametrize("n_epochs", [1, 2, 3, 5])
def test_the_axis_of_a_short_run_has_whole_epochs(n_epochs):
    errors = {"epoch": list(range(n_epochs)), **{name: [1.0] * n_epochs for name in ERRORS if name != "epoch"}}
    figure = plot.training_curve(errors)
    assert all(tick == int(tick) for tick in figure.axes[1].get_xticks())
    lines = [line for ax in figure.axes for line in ax.get_lines() if len(line.get_xdata()) == n_epochs]
    assert [line.get_marker() for line in lines] == ["o" if n_epochs == 1 else "None"] * 3      # one point has no line


def test_image_rows_keep_rows_columns_and_gaps():
    figure = plot.image_rows({"seen": [IMAGES, IMAGES[:0]], "made": [1 - IMAGES, IMAGES[:2]]}, ("left", "right"))
    grid = np.array(figure.axes).reshape(2, 2)
    assert [[ax.get_ylabel(), ax.get_title()] for ax in grid.flat] == [
        ["seen", "left"], ["", ""], ["made", ""], ["", "right"]]          # each title above the first digits
    np.testing.assert_array_equal(grid[0, 0].images[0].get_array()[:, 28:56], IMAGES[1].reshape(28, 28))
    np.testing.assert_array_equal(grid[1, 0].images[0].get_array()[:, 112:], 1 - IMAGES[4].reshape(28, 28))
    assert not any(ax.get_frame_on() for ax in figure.axes)
    assert not any(ax.yaxis.label.get_rotation() for ax in grid[:, 0])
    assert not grid[0, 1].images
    assert grid[1, 1].images[0].get_array().shape == (28, 56)


@pytest.mark.parametrize("title", ["", "not MNIST"])
@pytest.mark.parametrize(("rows", "heads"), [
    ({"": [IMAGES[:1], IMAGES, IMAGES[:1]]}, ("test image\nno. 3, a 0", "on the way", "test image\nno. 1000, a 2")),
    ({"original": [IMAGES], "a longer name": [IMAGES]}, ("",))])
def test_image_rows_have_equal_margins_and_square_digits(rows, heads, title):
    figure = plot.image_rows(rows, heads, title)
    content = np.array(Image.open(io.BytesIO(plot.png(figure))).convert("L")) < 200
    for axis, length in enumerate(content.shape):
        used = np.flatnonzero(content.any(1 - axis))
        assert used.min() == pytest.approx(20, abs=8 if axis == 0 else 3)        # titles have their own height
        assert length - 1 - used.max() == pytest.approx(20, abs=3)
    for ax in figure.axes:
        box = ax.get_window_extent()
        assert box.width / box.height == pytest.approx(5 if ax.images[0].get_array().shape[1] == 140 else 1)


@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (5, 2, 3), (100, 10, 10)])
def test_a_canvas_is_nearly_square(n, rows, columns):
    digits = np.resize(IMAGES, (n, 784))
    [ax] = plot.canvas(digits).axes
    shown = ax.images[0].get_array()
    assert shown.shape == (28 * rows, 28 * columns)
    row, column = divmod(n - 1, columns)
    np.testing.assert_array_equal(shown[28 * row:28 * (row + 1), 28 * column:28 * (column + 1)],
                                  digits[-1].reshape(28, 28))


def test_the_schematic_shows_the_sizes():
    figure = plot.schematic(784, 11, 3, 22, 0.5)
    assert {text.get_ha() for text in figure.axes[0].texts if text.get_text()} == {"center"}
    texts = [text.get_text() for text in figure.axes[0].texts]
    for part in ("X\n784 pixels", "11 units\nelu\ndropout,\nkeep 0.5", "mean\nn_z = 3", "std\nn_z = 3\nsoftplus",
                 "z = mean\n+ std * eps", "22 units\nelu\ndropout,\nkeep 0.5", "X_out\n784 pixels\nsigmoid",
                 "encoder_hidden_1", "decoder_output"):
        assert part in texts
    drawn = np.array(Image.open(io.BytesIO(plot.png(figure))).convert("L")) < 200
    for axis, length in enumerate(drawn.shape):                 # the same margin on every side
        used = np.flatnonzero(drawn.any(1 - axis))
        assert [used.min(), length - 1 - used.max()] == pytest.approx([20, 20], abs=3)


@pytest.mark.parametrize(("n", "order"), [(2, [0, 1]), (4, [0, 1, 2, 3, 2, 1])])
def test_an_animation_goes_forward_and_back(n, order):
    frames = np.linspace(0, 1, n)[:, None] * np.ones(784)
    animation = Image.open(io.BytesIO(plot.gif(frames, scale=2)))
    assert (animation.n_frames, animation.size, animation.info["loop"]) == (len(order), (56, 56), 0)
    for place, number in enumerate(order):
        animation.seek(place)
        assert np.abs(np.array(animation.convert("L"), int) - int(255 * frames[number, 0])).max() <= 1


@pytest.mark.filterwarnings("error")
def test_letters_that_the_font_lacks_are_no_warning():
    plot.png(plot.canvas(IMAGES, "数字 (not MNIST)"))
