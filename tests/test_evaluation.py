"""The numbers and arrays of a trained model, checked on a checkpoint of TensorFlow 1.4.0."""

import tracemalloc

import numpy as np
import pytest

from tests.conftest import write_checkpoint
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
    errors = evaluation.evaluate(PREFIX, X, digits.test.digits, seed=0, draws=200)

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
    runs = [evaluation.evaluate(PREFIX, digits.test.images, digits.test.digits, seed, draws=2) for seed in (1, 1, 2)]
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
    prefix, _ = training.train(digits.train.pixels, digits.sha256, settings, tmp_path)
    results = evaluation.results(prefix, digits.test.images, seed=0)
    assert results.codes.shape == (60, 2)
    assert results.manifold.shape == (20, 20, 784)
    assert results.axis_names == ("principal component 1", "principal component 2")
    assert results.plane == f"the plane of the first two principal components of z, n_z = {n_z}"


def test_a_missing_checkpoint_is_named(digits, tmp_path):
    with pytest.raises(checkpoints.CheckpointError, match=r"parameter7.ckpt: expected a whole checkpoint"):
        evaluation.evaluate(str(tmp_path / "parameter7.ckpt"), digits.test.images, digits.test.digits)


def test_the_bound_is_that_of_burda_et_al(digits, weights, monkeypatch):
    """Against the densities themselves, each with its constants, on the same noise."""
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 25)
    X = digits.test.images
    mean, std = encode(weights, X)
    noise, expected = np.random.default_rng([3, 1]), []
    for start in range(0, 60, 25):
        part = slice(start, start + 25)
        m, s = mean[part], std[part]
        eps = noise.standard_normal((7, *m.shape))
        z = m + s * eps
        X_out = decode(weights, z)
        log_p_X = (X[part] * np.log(X_out) + (1 - X[part]) * np.log(1 - X_out)).sum(2)
        log_p_z = -0.5 * (z**2 + np.log(2 * np.pi)).sum(2)
        log_q_z = -0.5 * (eps**2 + np.log(2 * np.pi) + 2 * np.log(s)).sum(2)
        expected.append(np.log(np.exp(log_p_X + log_p_z - log_q_z + 500).mean(0)) - 500)

    measured = evaluation.measure(PREFIX, X, seed=3, draws=1, iwae_samples=7)
    np.testing.assert_allclose(-measured.negative_IWAE_bound, np.concatenate(expected), rtol=1e-5)


def test_the_errors_are_the_same_with_the_bound_as_without(digits, monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 25)
    with_bound, without = (evaluation.measure(PREFIX, digits.test.images, draws=2, iwae_samples=n) for n in (3, 0))
    np.testing.assert_array_equal(with_bound.Recon_error, without.Recon_error)


def test_more_samples_tighten_the_bound(digits):
    bounds = [evaluation.evaluate(PREFIX, digits.test.images, digits.test.digits, draws=100, iwae_samples=samples)
              for samples in (1, 100)]
    assert bounds[0].negative_IWAE_bound == pytest.approx(bounds[0].true_negative_ELBO, abs=1)
    assert bounds[1].negative_IWAE_bound < bounds[0].negative_IWAE_bound - 0.1


def test_the_memory_of_the_bound_does_not_grow_with_its_samples(digits):
    def peak(samples):
        tracemalloc.start()
        evaluation.measure(PREFIX, digits.test.images, draws=1, iwae_samples=samples)
        return tracemalloc.get_traced_memory()[1]

    try:
        peak(2)                                                # what is kept after a first time
        assert peak(400) < 1.1 * peak(2)
    finally:
        tracemalloc.stop()


def test_active_units_are_those_whose_means_the_images_move():
    mean = np.random.default_rng(0).standard_normal((1000, 4)) * np.sqrt([2, 0.02, 0.005, 0]) + 3
    found = evaluation.summary(evaluation.Measurements(mean, np.ones((2, 1000)), np.ones(1000), None, 0),
                               np.zeros(1000, int))
    assert (found.active_units, found.n_z) == (2, 4)


def test_each_digit_has_the_means_of_its_own_images():
    recon = np.array([[1.0, 2.0, 6.0], [3.0, 2.0, 8.0]])
    measurements = evaluation.Measurements(np.zeros((3, 2)), recon, np.array([4.0, 5.0, 6.0]), np.arange(3.0), 9)
    found = evaluation.summary(measurements, np.array([7, 1, 7]))
    assert found.per_digit == {
        1: {"images": 1, "Recon_error": 2, "Regularization_error": 5, "ELBO": 7, "true_negative_ELBO": 5, "KL": 3,
            "negative_IWAE_bound": 1},
        7: {"images": 2, "Recon_error": 4.5, "Regularization_error": 5, "ELBO": 9.5, "true_negative_ELBO": 7.5, "KL": 3,
            "negative_IWAE_bound": 1}}
    assert (found.ELBO, found.n_images, found.draws, found.iwae_samples) == (pytest.approx(26 / 3), 3, 2, 9)
    assert found.ELBO_sd == pytest.approx(np.std([3, 13 / 3], ddof=1))


def test_images_of_another_size_are_refused():
    for function in (evaluation.measure, evaluation.results):
        with pytest.raises(checkpoints.CheckpointError, match="the data's 100 pixels an image, found one for 784"):
            function(PREFIX, np.zeros((3, 100), np.float32), seed=0)


def test_finite_weights_that_give_no_finite_errors_are_refused(digits, tmp_path):
    values = checkpoints.read_variables(PREFIX)
    values["encoder_hidden_1/w1"] = np.full_like(values["encoder_hidden_1/w1"], 1e38)
    prefix = write_checkpoint(tmp_path / "x", values)
    with pytest.raises(checkpoints.CheckpointError, match="expected finite errors, found NaN or infinity"):
        evaluation.measure(prefix, digits.test.images)
