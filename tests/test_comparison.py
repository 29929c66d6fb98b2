"""The comparison of two checkpoints: differences and their standard errors."""

import numpy as np
import pytest

from tests.helpers import write_checkpoint, write_network
from tests.small import ORACLE_DIR
from vae_graph import checkpoints, comparison, evaluation

BEFORE, AFTER = (str(ORACLE_DIR / f"parameter{step}.ckpt") for step in (0, 20))


def compare(digits, a, b, **flags):
    return comparison.compare(a, b, digits.test.images, digits.test.digits, **flags)


def test_a_checkpoint_does_not_differ_from_itself(digits):
    found = compare(digits, AFTER, AFTER, draws=2, iwae_samples=2)
    assert [(v.maximum, v.rms) for v in found.variables] == [(0, 0)] * 39
    assert all(v.cosine == pytest.approx(1) for v in found.variables)
    assert list(found.numbers) == ["Recon_error", "Regularization_error", "ELBO", "true_negative_ELBO", "KL",
                                   "negative_IWAE_bound"]
    assert all((n.difference, n.standard_error_over_images) == (0, 0) for n in found.numbers.values())
    assert found.latent_agreement == pytest.approx(1)
    assert found.not_shared == ()
    assert [v.name for v in found.variables] == [*checkpoints.training_shapes(found.a.sizes)]     # the encoder first


def test_two_checkpoints_of_one_size(digits):
    found = compare(digits, BEFORE, AFTER, draws=1)
    assert (found.a.step, found.b.step) == (0, 20)
    values_a, values_b = checkpoints.read_variables(BEFORE), checkpoints.read_variables(AFTER)
    for variable in found.variables:
        a, b = values_a[variable.name].astype(float), values_b[variable.name].astype(float)
        assert variable.shape == a.shape
        assert variable.maximum == np.abs(b - a).max()
        assert variable.rms == pytest.approx(np.sqrt(((b - a) ** 2).mean()))
        if a.any() and b.any():
            assert variable.cosine == pytest.approx((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
        else:
            assert variable.cosine is None


@pytest.mark.filterwarnings("error")
def test_the_standard_error_is_that_of_paired_samples():
    random = np.random.default_rng(0)
    images = random.normal(150, 50, 400)                        # some images are harder than others, for both
    a, b = images + random.normal(0, 1, 400), images + 0.5 + random.normal(0, 1, 400)
    found = comparison._number_difference(a, b)
    assert found.difference == pytest.approx(0.5, abs=0.25)
    assert found.standard_error_over_images == pytest.approx(np.sqrt(2 / 400), rel=0.15)
    assert comparison._number_difference(a[:1], b[:1]).standard_error_over_images is None


@pytest.mark.parametrize("swapped", [False, True])
def test_models_of_other_sizes(digits, tmp_path, swapped):
    """One of 39 variables, and the network alone of the other."""
    prefixes = (AFTER, write_network(tmp_path / "x", n_z=3, n_hidden=12))
    found = compare(digits, *(prefixes[::-1] if swapped else prefixes))
    assert {found.a.sizes.n_z, found.b.sizes.n_z} == {2, 3}
    shared = ["decoder_hidden_1/b4", "decoder_hidden_2/w5", "decoder_hidden_2/b5", "decoder_output/w6",
              "decoder_output/b6"]
    assert [variable.name for variable in found.variables] == shared
    network, every = checkpoints.model_shapes(found.a.sizes), checkpoints.training_shapes(found.a.sizes)
    assert found.not_shared == tuple(name for name in every if name not in shared)
    only = {found.a.prefix: found.only_in_a, found.b.prefix: found.only_in_b}
    assert only == {AFTER: tuple(name for name in every if name not in network), prefixes[1]: ()}
    assert 0 <= found.latent_agreement <= 1


@pytest.mark.parametrize("broken", [0, 1])
def test_both_are_validated_before_anything_is_measured(digits, tmp_path, monkeypatch, broken):
    prefixes = [AFTER, AFTER]
    prefixes[broken] = write_checkpoint(tmp_path / "x", checkpoints.read_variables(AFTER) | {
        "encoder_z/b3": np.full(4, np.nan, np.float32)})
    monkeypatch.setattr(evaluation, "measure", lambda *args, **kwargs: pytest.fail("it measures"))
    with pytest.raises(checkpoints.CheckpointError, match="x: expected finite numbers"):
        compare(digits, *prefixes)


@pytest.mark.parametrize("flags", [{}, {"seed": 3, "draws": 2, "iwae_samples": 1, "verbose": True}])
def test_the_settings_are_those_of_the_evaluation(digits, capfd, flags):
    found = compare(digits, BEFORE, AFTER, **flags)
    assert capfd.readouterr().out.count("3/3") == (2 if flags else 0)
    a, b = (evaluation.evaluate(prefix, digits.test.images, digits.test.digits, **flags) for prefix in (BEFORE, AFTER))
    assert (found.evaluation_a, found.evaluation_b) == (a, b)
    assert {name: number.difference for name, number in found.numbers.items()} == {
        name: pytest.approx(getattr(b, name) - getattr(a, name)) for name in found.numbers}


@pytest.mark.filterwarnings("error")
def test_undefined_values_are_none(digits, tmp_path):
    values = checkpoints.read_variables(AFTER)
    values["beta1_power"] = np.float32(np.inf)
    values["encoder_z/b3/Adam"] = np.zeros(4, np.float32)
    values |= {"word": np.array("word"), "empty": np.zeros((0, 2), np.float32)}
    prefix = write_checkpoint(tmp_path / "x", values)
    found = compare(digits, prefix, prefix, draws=1)
    by_name = {v.name: (v.maximum, v.rms, v.cosine) for v in found.variables}
    assert by_name["beta1_power"] == (None, None, None)
    assert by_name["encoder_z/b3/Adam"] == (0, 0, None)
    assert found.not_shared == ("empty", "word")


class TestLatentAgreement:
    a = np.random.default_rng(0).normal(size=(500, 2)) * [3, 1]

    @pytest.mark.parametrize("turned", [
        pytest.param(lambda a: a @ [[0.6, 0.8], [-0.8, 0.6]], id="rotated"),
        pytest.param(lambda a: a[:, ::-1], id="reflected"),
        pytest.param(lambda a: a * 7, id="scaled"),
        pytest.param(lambda a: a + np.array([5, -2]), id="shifted"),
        pytest.param(lambda a: np.insert(a, 1, 4, axis=1), id="with a dimension that says nothing"),
    ])
    def test_invariances(self, turned):
        assert comparison.latent_agreement(self.a, turned(self.a)) == pytest.approx(1)
        assert comparison.latent_agreement(turned(self.a), self.a) == pytest.approx(1)

    def test_it_is_the_share_of_variance_that_the_best_transform_explains(self):
        b = self.a + np.random.default_rng(1).normal(size=(500, 2))
        a, b = self.a - self.a.mean(0), b - b.mean(0)
        left = []
        for angle in np.linspace(0, 2 * np.pi, 721):
            for flip in (1, -1):
                moved = b @ np.array([[np.cos(angle), -np.sin(angle)], [flip * np.sin(angle), flip * np.cos(angle)]])
                scale = (moved * a).sum() / (moved**2).sum()
                left.append(((a - scale * moved) ** 2).sum() / (a**2).sum())
        assert comparison.latent_agreement(a, b) == pytest.approx(1 - min(left), abs=1e-4)

    def test_nothing_in_common(self):
        assert comparison.latent_agreement(self.a, np.random.default_rng(1).normal(size=(500, 2))) < 0.05

    def test_a_single_point_agrees_with_nothing(self):
        assert comparison.latent_agreement(self.a, np.ones((500, 2))) is None
