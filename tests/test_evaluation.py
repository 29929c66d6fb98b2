"""The metrics of a trained model, checked on a checkpoint of TensorFlow 1.4.0."""

import re
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import write_checkpoint
from tests.numpy_network import PREFIX, decode, encode, weights_of
from tests.small import ORACLE_DIR
from vae_graph import checkpoints, evaluation, export

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def weights():
    return weights_of()


def test_errors_are_the_means_over_images_and_draws(digits, weights, monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 25)          # 60 images: two full batches and a smaller one
    X = digits.test.images
    errors = evaluation.evaluate(PREFIX, X, digits.test.digits, seed=0, draws=60)

    mean, std = encode(weights, X)
    regularization = 0.5 * (1 - np.log(std**2 + 1e-8) + mean**2 + std**2).sum(1).mean()
    z = mean + std * np.random.default_rng(0).normal(size=(60, *mean.shape))
    X_out = decode(weights, z)
    recon = -(X * np.log(X_out) + (1 - X) * np.log(1 - X_out)).sum(2).mean(1)
    standard_error = recon.std() / np.sqrt(60)

    assert errors.Regularization_error == pytest.approx(regularization, rel=1e-5)
    assert errors.Recon_error == pytest.approx(recon.mean(), abs=5 * standard_error)
    assert errors.Recon_error + errors.Regularization_error == pytest.approx(errors.ELBO, rel=1e-6)
    assert errors.ELBO_sd == pytest.approx(recon.std(), rel=0.3)
    assert errors.true_negative_ELBO == errors.ELBO - 2


def test_a_checkpoint_is_read_once(digits, tmp_path, monkeypatch):
    """A training may remove it, or another program replace it, after it was validated."""
    def read_and_remove(prefix, read=checkpoints.read_network):
        found = read(prefix)
        for path in checkpoints.files_of(prefix):
            path.unlink()
        return found

    shutil.copytree(ORACLE_DIR, tmp_path / "run")
    expected = evaluation.evaluate(PREFIX, digits.test.images, digits.test.digits)
    monkeypatch.setattr(checkpoints, "read_network", read_and_remove)
    prefix = str(tmp_path / "run" / "parameter20.ckpt")
    assert evaluation.evaluate(prefix, digits.test.images, digits.test.digits) == expected
    shutil.copytree(ORACLE_DIR, tmp_path / "run", dirs_exist_ok=True)
    export.saved_model(prefix, tmp_path / "model")


def test_a_prefix_as_a_path(digits):
    images = digits.test.images[:2], digits.test.digits[:2]
    assert evaluation.evaluate(Path(PREFIX), *images) == evaluation.evaluate(PREFIX, *images)


def test_the_seed_is_the_only_randomness(digits):
    runs = [evaluation.evaluate(PREFIX, digits.test.images, digits.test.digits, seed, draws=2) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_missing_checkpoint_is_named(digits, tmp_path):
    with pytest.raises(checkpoints.CheckpointError, match=r"parameter7.ckpt: expected a valid checkpoint"):
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
              for samples in (1, 50)]
    assert bounds[0].negative_IWAE_bound == pytest.approx(bounds[0].true_negative_ELBO, abs=1)
    assert bounds[1].negative_IWAE_bound < bounds[0].negative_IWAE_bound - 0.1


def test_the_memory_of_the_bound_does_not_grow_with_its_samples(digits, monkeypatch):
    def peak(samples):
        """Since the first sample: what builds the graph takes more."""
        try:
            evaluation.measure(PREFIX, digits.test.images, draws=1, iwae_samples=samples)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def traced_sample(*args):
        if not tracemalloc.is_tracing():
            tracemalloc.start()
        return sample(*args)

    sample = evaluation._sample
    monkeypatch.setattr(evaluation, "_sample", traced_sample)
    peak(2)                                                    # what is kept after a first time
    assert peak(200) - peak(2) < 200 * len(digits.test.images) * 8          # what the samples would take


def test_active_units_are_those_whose_means_vary():
    """By more than 0.01, as Burda et al. define them."""
    mean = 3 + np.array([[-1], [1]]) * np.sqrt([2, 0.0101, 0.0099, 0])
    found = evaluation.summarize(evaluation.Measurements(mean, np.ones((2, 2)), np.ones(2), None, 0), np.zeros(2, int))
    assert (found.active_units, found.n_z) == (2, 4)


def test_per_digit_means_are_those_of_its_images():
    recon = np.array([[1.0, 2.0, 6.0], [3.0, 2.0, 8.0]])
    measurements = evaluation.Measurements(np.zeros((3, 2)), recon, np.array([4.0, 5.0, 6.0]), np.arange(3.0), 9)
    found = evaluation.summarize(measurements, np.array([7, 1, 7]))
    assert found.per_digit == {
        1: {"images": 1, "Recon_error": 2, "Regularization_error": 5, "ELBO": 7, "true_negative_ELBO": 5, "KL": 3,
            "negative_IWAE_bound": 1},
        7: {"images": 2, "Recon_error": 4.5, "Regularization_error": 5, "ELBO": 9.5, "true_negative_ELBO": 7.5, "KL": 3,
            "negative_IWAE_bound": 1}}
    assert (found.ELBO, found.n_images, found.draws, found.iwae_samples) == (pytest.approx(26 / 3), 3, 2, 9)
    assert found.ELBO_sd == pytest.approx(np.std([3, 13 / 3], ddof=1))


def test_finite_weights_with_non_finite_errors_are_refused(digits, tmp_path):
    values = checkpoints.read_variables(PREFIX)
    values["encoder_hidden_1/w1"] = np.full_like(values["encoder_hidden_1/w1"], 1e38)
    prefix = write_checkpoint(tmp_path / "x", values)
    with pytest.raises(checkpoints.CheckpointError, match="expected finite errors, found NaN or infinity"):
        evaluation.measure(prefix, digits.test.images)


def test_noisy_images_are_encoded_and_compared_with_the_clean_ones(digits, capsys):
    clean, noisy = (evaluation.measure(PREFIX, digits.test.images, draws=2, noisy=noisy, verbose=noisy)
                    for noisy in (False, True))
    assert np.abs(noisy.mean - clean.mean).max() > 0.1
    assert noisy.Recon_error.mean() > clean.Recon_error.mean()
    assert re.findall(r"\d+/\d+", capsys.readouterr().out)[-1] == "2/2"
