"""The pictures of a trained model, checked on a checkpoint of TensorFlow 1.4.0."""

import re
from pathlib import Path

import numpy as np
import pytest

import run_mnist
from tests.helpers import write_network
from tests.numpy_network import PREFIX, decode, encode, weights_of
from tests.small import SMALL, write_idx
from vae_graph import checkpoints, evaluation, pictures
from vae_graph.data import datasets, rendered
from vae_graph.errors import UserError
from vae_graph.pages import explorer, graph


@pytest.fixture(scope="module")
def weights():
    return weights_of()


def test_the_manifolds_z1_grows_to_the_right_and_z2_upwards(digits, weights):
    manifold = pictures.training_results(PREFIX, digits.test.images, seed=0).manifolds["linear"]
    assert manifold.shape == (20, 20, 784)
    for row, column, z in ((0, 0, (-2, 2)), (0, -1, (2, 2)), (-1, 0, (-2, -2)), (-2, -1, (2, -2 + 4 / 19))):
        np.testing.assert_allclose(manifold[row, column], decode(weights, np.array([z]))[0], atol=1e-5)


def test_the_gaussian_grid_has_equal_probabilities(digits, weights):
    found = pictures.training_results(PREFIX, digits.test.images, seed=0, grids=["linear", "gaussian"])
    assert [*found.manifolds] == ["linear", "gaussian"]
    manifold, grid = found.manifolds["gaussian"], pictures.GRIDS["gaussian"]
    np.testing.assert_allclose(grid, -grid[::-1], atol=1e-12)
    np.testing.assert_allclose(grid[[10, 15, 19]], [0.062707, 0.755415, 1.959964], atol=1e-6)     # from a table
    draws = np.sort(np.random.default_rng(0).standard_normal(100_000))
    shares = np.diff(np.searchsorted(draws, grid)) / len(draws)
    np.testing.assert_allclose(shares, 1 / 20, atol=0.005)
    for row, column, z in ((0, 0, (grid[0], grid[-1])), (-3, 5, (grid[5], grid[2]))):
        np.testing.assert_allclose(manifold[row, column], decode(weights, np.array([z]))[0], atol=1e-5)


def test_codes_are_samples_and_images_their_reconstructions(digits, weights):
    X = digits.test.images
    found = pictures.training_results(PREFIX, X, seed=0)
    mean, std = encode(weights, X)
    eps = (found.codes - mean) / std
    assert 0.7 < eps.std() < 1.3
    assert found.reconstructions.shape == (5, 784)
    np.testing.assert_allclose(found.reconstructions, decode(weights, found.codes[:5]), atol=1e-5)
    assert found.axis_names == ("z1", "z2")
    assert found.plane == ""


class TestLatentPlane:
    def test_two_dimensions_are_shown_as_they_are(self):
        origin, axes = pictures.latent_plane(np.random.default_rng(0).normal(size=(9, 2)))
        np.testing.assert_array_equal(origin, [0, 0])
        np.testing.assert_array_equal(axes, np.eye(2))

    def test_more_are_shown_by_their_principal_components(self):
        random = np.random.default_rng(0)
        directions = np.linalg.qr(random.normal(size=(5, 5)))[0]
        codes = 3 + random.normal(size=(2000, 5)) * [0.1, 4, 0.1, 2, 0.1] @ directions
        origin, axes = pictures.latent_plane(codes)
        np.testing.assert_allclose(origin, codes.mean(0))
        np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-9)
        np.testing.assert_allclose(np.abs((axes * directions[[1, 3]]).sum(1)), 1, atol=1e-2)
        np.testing.assert_array_equal(pictures.latent_plane(codes[::-1])[1].round(6), axes.round(6))
        assert (np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1) > 0).all()

    @pytest.mark.parametrize(("n_images", "n_z"), [(1, 3), (2, 5), (3, 3)])
    def test_the_axes_are_orthonormal_for_the_fewest_images_too(self, n_images, n_z):
        codes = np.random.default_rng(0).normal(size=(n_images, n_z)).astype(np.float32)
        origin, axes = pictures.latent_plane(codes)
        np.testing.assert_allclose(origin, codes.mean(0))
        np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-6)

    def test_one_dimension_has_no_second_axis(self):
        _, axes = pictures.latent_plane(np.random.default_rng(0).normal(size=(9, 1)))
        np.testing.assert_array_equal(axes, [[1], [0]])


def z_of(prefix, images, seed=0):
    """The sample of z for each image, [n, n_z]."""
    with evaluation.restored(prefix, seed) as model:
        return model.session.run([model.z, model.X_out[:5]], {model.X: images})[0]


@pytest.mark.parametrize("n_z", [1, 3])
def test_pictures_of_other_latent_sizes(digits, tmp_path, n_z):
    prefix = write_network(tmp_path / "x", n_z)
    found = pictures.training_results(prefix, digits.test.images, seed=0)
    assert found.codes.shape == (60, 2)
    assert found.manifolds["linear"].shape == (20, 20, 784)
    assert found.axis_names == ("principal component 1", "principal component 2")
    share = float(re.fullmatch(rf"the plane of the first two principal components of z, n_z = {n_z}: (\d+)% of the "
                               "variance", found.plane)[1])
    assert share == 100 if n_z == 1 else 50 < share < 100
    low, high = found.limits
    assert low == -high
    assert (np.abs(found.codes) <= high).mean() == pytest.approx(0.99, abs=0.01)
    # The corners of the manifold are at these limits.
    origin, axes = pictures.latent_plane(z_of(prefix, digits.test.images))
    np.testing.assert_allclose(found.manifolds["linear"][0, 0],
                               decode(weights_of(prefix), origin + [low, high] @ axes), atol=1e-4)


def test_samples_are_decoded_draws_from_the_prior(weights, monkeypatch):
    noise = np.random.default_rng(4).standard_normal((30, 2))
    np.testing.assert_allclose(pictures.samples(PREFIX, 30, seed=4), decode(weights, noise), atol=1e-5)
    assert not np.array_equal(pictures.samples(PREFIX, 30, seed=5), pictures.samples(PREFIX, 30, seed=4))


def test_means_are_those_of_the_encoder(digits, weights, monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 25)
    X = digits.test.images
    np.testing.assert_allclose(pictures.means(PREFIX, X), encode(weights, X)[0], atol=1e-5)


def test_a_walk_is_linear_and_equidistant(digits, weights):
    pair = digits.test.images[[3, 8]]
    start, end = encode(weights, pair)[0]
    on_the_way = np.stack([start + (end - start) * share for share in (0, 0.25, 0.5, 0.75, 1)])
    np.testing.assert_allclose(pictures.walk(PREFIX, pair, 5), decode(weights, on_the_way), atol=1e-5)


def test_noisy_inputs_and_their_reconstructions(digits, weights):
    X = digits.test.images[:20]
    seen, restored = pictures.reconstructions(PREFIX, X, seed=0, noisy=True)
    assert 0.2 < (seen == X).mean() < 0.6
    np.testing.assert_array_equal(pictures.reconstructions(PREFIX, X, seed=0)[0], X)

    # Of what was seen, not of the clean images, the latent codes are samples: their means over many agree.
    many, clean = np.repeat(X[:1], 3000, 0), encode(weights, X[:1])[0]
    with evaluation.restored(PREFIX, 0, noisy=True) as model:
        seen, z = model.session.run([model.X_noisy, model.z], {model.X: many})
    mean, std = encode(weights, seen)
    np.testing.assert_allclose(((z - mean) / std).mean(0), 0, atol=0.1)
    assert np.abs(mean.mean(0) - clean).max() > 0.1
    assert restored.shape == X.shape


with_images = pytest.mark.parametrize("function", [
    lambda images: pictures.training_results(PREFIX, images, seed=0), lambda images: pictures.means(PREFIX, images),
    lambda images: pictures.reconstructions(PREFIX, images, seed=0),
    lambda images: pictures.walk(PREFIX, images[:2], 3),
    lambda images: evaluation.measure(PREFIX, images), lambda images: graph.page(PREFIX, images),
    lambda images: explorer.page([PREFIX], images, np.zeros(len(images)), "digits")])


@with_images
@pytest.mark.parametrize(("image", "found"), [
    (np.full(784, 255, np.uint8), r"pixels in \[0, 1\], found 255 to 255"),
    (np.linspace(-1, 1, 784), r"pixels in \[0, 1\], found -1 to 1"),
    (np.full(784, np.nan), r"pixels in \[0, 1\], found nan to nan"),
    (np.zeros((28, 28)), r"an array of shape \[n, 784\], found \(\d, 28, 28\)")])
def test_images_that_are_none_are_refused(function, image, found):
    with pytest.raises(UserError, match=f"^images: expected {found}$"):
        function(np.stack([image] * 3))


@with_images
def test_images_of_another_size_are_refused(function):
    with pytest.raises(checkpoints.CheckpointError, match="the data's 100 pixels per image, found one for 784"):
        function(np.zeros((3, 100), np.float32))


@pytest.mark.filterwarnings("error:Attempting to set identical")
@pytest.mark.parametrize("n_images", [1, 2, 11])
def test_few_test_images(in_tmp, idx_folder, n_images):
    """Every picture of every command that draws them."""
    images, labels = rendered.draw_digits(n_images, seed=1)
    write_idx(idx_folder / datasets.TEST_IMAGES.name, images.reshape(-1, 28, 28))
    write_idx(idx_folder / datasets.TEST_LABELS.name, labels)
    other = ["--dataset", "other"]
    assert run_mnist.main([*other, *SMALL, "--add_noise", "--manifold_grid", "gaussian"]) == 0
    checkpoint = "checkpoints/other"
    for flags in (["figures", checkpoint, "--add_noise"], ["explore", checkpoint], ["trace", checkpoint],
                  ["compare", checkpoint, checkpoint], ["evaluate", checkpoint, "--iwae_samples", "2"],
                  *([["walk", checkpoint, "--images", "0", "1"]] if n_images > 1 else [])):
        assert run_mnist.main([*flags, *other]) == 0, flags


@pytest.fixture
def drawn(monkeypatch, without_drawing):
    """What the functions of `plot` are called with, by their names."""
    calls = {}

    def noted(name):
        function = getattr(pictures.plot, name)

        def draw(*args, **kwargs):
            calls.setdefault(name, []).append((*args, *kwargs.values()))
            return function(*args, **kwargs)

        return draw

    for name in ("reconstruction", "latent", "manifold", "image_rows", "canvas", "gif"):
        monkeypatch.setattr(pictures.plot, name, noted(name))
    return calls


def test_the_axes_of_both_manifolds(digits, drawn):
    assert {*pictures.of_training(PREFIX, digits, 0, gaussian_grid=True)} == {
        "result1_reconstruction.png", "result2_latent.png", "result3_manifold.png", "manifold_gaussian.png"}
    assert [call[-1] for call in drawn["latent"]] == ["jet"]
    found = pictures.training_results(PREFIX, digits.test.images, 0, ["linear", "gaussian"])
    assert [call[2] for call in drawn["manifold"]] == [("z1", "z2"), ("quantile of z1", "quantile of z2")]
    assert drawn["reconstruction"][0][2] == "rendered digits (not MNIST)"
    for (shown, ends, *_), name, expected in zip(drawn["manifold"], ("linear", "gaussian"), ((-2, 2), (0.025, 0.975)),
                                                 strict=True):
        np.testing.assert_array_equal(shown, found.manifolds[name])
        assert ends == pytest.approx(expected)


def test_denoising_shows_original_noisy_and_restored(digits, drawn):
    assert {*pictures.of_training(PREFIX, digits, 5, noisy=True)} == {
        "result1_reconstruction.png", "result2_latent.png", "result3_manifold.png", "denoising.png"}
    assert drawn["reconstruction"][0][2] == "rendered digits (not MNIST)\nthe encoder sees noisy images"
    [(rows, title)] = drawn["image_rows"]
    seen, restored = pictures.reconstructions(PREFIX, digits.test.images[:10], 5, noisy=True)
    expected = {"original": digits.test.images[:10], "noisy": seen, "restored": restored}
    assert [*rows] == [*expected]
    for name, images in expected.items():
        np.testing.assert_array_equal(rows[name][0], images)
    assert title == "rendered digits (not MNIST)"


def test_a_prefix_as_a_path(digits):
    for picture in (lambda prefix: pictures.of_prior(prefix, 4, 0),
                    lambda prefix: pictures.of_walk(prefix, digits, (0, 1), 3)):
        assert picture(Path(PREFIX)) == picture(PREFIX)


def test_samples_are_drawn_without_a_title(drawn):
    assert {*pictures.of_prior(PREFIX, 3, 4)} == {"samples.png"}
    [(shown, title)] = drawn["canvas"]
    np.testing.assert_array_equal(shown, pictures.samples(PREFIX, 3, 4))
    assert title == ""


@pytest.mark.parametrize(("value", "found"), [(9e17, ""), (-1e18, r"1e\+18"), (np.nan, "nan"), (np.inf, "inf")])
def test_what_cannot_be_drawn_is_refused(value, found):
    values = np.array([0, value])
    if not found:
        assert pictures._check_drawable("p", values) is values
        return
    with pytest.raises(checkpoints.CheckpointError, match=rf"^p: expected .* below 1e\+18, found {found}: its weights"):
        pictures._check_drawable("p", values)


def test_a_walk_is_between_its_end_images(digits, drawn):
    eight, one = (int(np.argmax(digits.test.digits == digit)) for digit in (8, 1))
    pictures.of_walk(PREFIX, digits, (eight, one), 6)
    [(rows, heads, title)] = drawn["image_rows"]
    start, way, end = rows[""]
    np.testing.assert_array_equal([start[0], end[0]], digits.test.images[[eight, one]])
    np.testing.assert_array_equal(way, pictures.walk(PREFIX, digits.test.images[[eight, one]], 6))
    np.testing.assert_array_equal(drawn["gif"][0][0], way)
    assert heads == (f"test image\nno. {eight}, an 8", "decoded on the way", f"test image\nno. {one}, a 1")
    assert title == "rendered digits (not MNIST)"


def test_pictures_name_their_checkpoint_without_its_absolute_path(digits, monkeypatch):
    assert Path(PREFIX).is_absolute()
    notes, titles = [], []
    monkeypatch.setattr(pictures.plot, "png", lambda figure, note="": notes.append(note) or titles.append(
        [ax.get_title() for ax in figure.axes if ax.get_title()]) or b"")
    pictures.of_prior(PREFIX, 1, 0)
    pictures.of_walk(PREFIX, digits, (0, 1), 2)
    pictures.of_comparison({"A": PREFIX}, digits.test.images, digits.test.digits, 0)
    assert notes[:2] == 2 * ["tf-1.4.0/parameter20.ckpt"]
    assert titles[2] == ["A: tf-1.4.0/parameter20.ckpt"]


def test_a_sweep_has_the_test_images_and_a_row_for_each_network(digits, drawn):
    before = PREFIX.replace("20", "0")
    pictures.of_sweep({"a": PREFIX, "b": before}, digits, 2)
    [(rows, *_)] = drawn["image_rows"]
    assert [*rows] == ["test images", "a", "b"]
    images = digits.test.images[:10]
    np.testing.assert_array_equal(rows["test images"][0], images)
    assert len(rows["test images"][1]) == 0
    for name, prefix in (("a", PREFIX), ("b", before)):
        np.testing.assert_array_equal(rows[name][0], pictures.reconstructions(prefix, images, 2)[1])
        np.testing.assert_array_equal(rows[name][1], pictures.samples(prefix, 10, 2))
