"""The numbers and arrays of a trained model, checked on a checkpoint of TensorFlow 1.4.0."""

import numpy as np
import pytest

from tests.test_oracle import ORACLE_DIR
from vae_graph import checkpoints, evaluation, training

PREFIX = str(ORACLE_DIR / "parameter20.ckpt")


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


@pytest.fixture(scope="module")
def weights():
    return {name.split("/")[-1]: value for name, value in checkpoints.read_variables(PREFIX).items()}


def encode(w, X):
    h = elu(elu(X @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]) @ w["w3"] + w["b3"]
    return h[:, :2], np.log1p(np.exp(h[:, 2:])) + 1e-6


def decode(w, z):
    return 1 / (1 + np.exp(-(elu(elu(z @ w["w4"] + w["b4"]) @ w["w5"] + w["b5"]) @ w["w6"] + w["b6"])))


def test_errors_are_the_means_over_images_and_draws(digits, weights, monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 25)          # 60 images: two full batches and a smaller one
    X = digits.test.images
    errors = evaluation.measure_errors(PREFIX, X, seed=0, draws=200)

    mean, std = encode(weights, X)
    regularization = 0.5 * (1 - np.log(std**2 + 1e-8) + mean**2 + std**2).sum(1).mean()
    z = mean + std * np.random.default_rng(0).normal(size=(200, *mean.shape))
    X_out = decode(weights, z)
    recon = -(X * np.log(X_out) + (1 - X) * np.log(1 - X_out)).sum(2).mean(1)
    standard_error = recon.std() / np.sqrt(200)

    assert errors.Regularization_error == pytest.approx(regularization, rel=1e-5)
    assert errors.Recon_error == pytest.approx(recon.mean(), abs=5 * standard_error)
    assert errors.Recon_error + errors.Regularization_error == pytest.approx(errors.ELBO, rel=1e-6)
    assert errors.ELBO_sd == pytest.approx(recon.std(), rel=0.3)
    assert errors.true_negative_ELBO == errors.ELBO - 2


def test_the_seed_is_the_only_randomness(digits):
    runs = [evaluation.measure_errors(PREFIX, digits.test.images, seed, draws=2) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_manifold_goes_right_with_z1_and_up_with_z2(digits, weights):
    manifold = evaluation.results(PREFIX, digits.test.images, seed=0).manifold
    assert manifold.shape == (20, 20, 784)
    for row, column, z in ((0, 0, (-2, 2)), (0, -1, (2, 2)), (-1, 0, (-2, -2)), (-2, -1, (2, -2 + 4 / 19))):
        np.testing.assert_allclose(manifold[row, column], decode(weights, np.array([z]))[0], atol=1e-5)


def test_codes_are_samples_and_images_their_reconstructions(digits, weights):
    X = digits.test.images
    results = evaluation.results(PREFIX, X, seed=0)
    mean, std = encode(weights, X)
    eps = (results.codes - mean) / std
    assert 0.7 < eps.std() < 1.3
    assert results.reconstructions.shape == (5, 784)
    np.testing.assert_allclose(results.reconstructions, decode(weights, results.codes[:5]), atol=1e-5)
    assert results.axis_names == ("z1", "z2")
    assert results.plane == ""


class TestLatentPlane:
    def test_two_dimensions_are_shown_as_they_are(self):
        origin, axes = evaluation.latent_plane(np.random.default_rng(0).normal(size=(9, 2)))
        np.testing.assert_array_equal(origin, [0, 0])
        np.testing.assert_array_equal(axes, np.eye(2))

    def test_more_are_shown_by_their_principal_components(self):
        random = np.random.default_rng(0)
        directions = np.linalg.qr(random.normal(size=(5, 5)))[0]
        codes = 3 + random.normal(size=(2000, 5)) * [0.1, 4, 0.1, 2, 0.1] @ directions
        origin, axes = evaluation.latent_plane(codes)
        np.testing.assert_allclose(origin, codes.mean(0))
        np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-9)
        np.testing.assert_allclose(np.abs((axes * directions[[1, 3]]).sum(1)), 1, atol=1e-2)
        np.testing.assert_array_equal(evaluation.latent_plane(codes[::-1])[1].round(6), axes.round(6))
        assert (np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1) > 0).all()

    def test_one_dimension_has_no_second_axis(self):
        _, axes = evaluation.latent_plane(np.random.default_rng(0).normal(size=(9, 1)))
        np.testing.assert_array_equal(axes, [[1], [0]])


@pytest.mark.parametrize("n_z", [1, 3])
def test_pictures_of_other_latent_sizes(digits, tmp_path, n_z):
    settings = training.Settings(n_hidden_encoder=8, n_z=n_z, n_hidden_decoder=8, num_epoch=1, batch_size=50)
    prefix, _ = training.train(digits.train.images, digits.sha256, settings, tmp_path)
    results = evaluation.results(prefix, digits.test.images, seed=0)
    assert results.codes.shape == (60, 2)
    assert results.manifold.shape == (20, 20, 784)
    assert results.axis_names == ("principal component 1", "principal component 2")
    assert results.plane == f"the plane of the first two principal components of z, n_z = {n_z}"


def test_a_missing_checkpoint_is_named(digits, tmp_path):
    with pytest.raises(checkpoints.CheckpointError, match=r"parameter7.ckpt: expected a whole checkpoint"):
        evaluation.measure_errors(str(tmp_path / "parameter7.ckpt"), digits.test.images, seed=0)
