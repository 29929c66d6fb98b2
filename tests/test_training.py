"""The Session loop: what it trains on, what it returns, and that a seed determines every byte."""

import dataclasses

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import train, variables_as_bytes
from tests.small import SETTINGS
from vae_graph import checkpoints, data, devices, evaluation, training
from vae_graph.runs.recorder import Recorder
from vae_graph.settings import Settings, SettingsError


def test_settings_are_the_originals():
    assert dataclasses.asdict(Settings()) == {
        "n_hidden_encoder": 500, "n_z": 2, "n_hidden_decoder": 500, "decay_step": 2000, "num_epoch": 200,
        "batch_size": 128, "decay_rate": 0.96, "learning_rate": 1e-4, "keep_prob": 0.6, "seed": 0,
        "checkpoint_every": 20, "shuffle": False, "add_noise": False}


@pytest.mark.as_run
def test_it_learns_and_keeps_checkpoints(digits, tmp_path, monkeypatch, capsys):
    seen, n_steps = [], []
    monkeypatch.setattr(Recorder, "after_steps", lambda recorder, errors, after_steps=Recorder.after_steps: (
        n_steps.append(len(errors)), after_steps(recorder, errors)))
    prefix, history = train(digits, tmp_path, seen.append, num_epoch=6, batch_size=24)
    assert history["epoch"] == list(range(6))
    assert history["ELBO"][-1] < history["ELBO"][0] - 50
    np.testing.assert_allclose(
        np.add(history["Recon_error"], history["Regularization_error"]), history["ELBO"], rtol=1e-5)
    assert seen == [str(tmp_path / f"parameter{epoch}.ckpt") for epoch in (0, 2, 4, 5)]
    assert prefix == seen[-1]
    # 220 images are nine batches of 24, of which a run takes eight; the last four images are left out.
    assert n_steps == 6 * [8, 1]
    assert checkpoints.read_variables(prefix)["Variable"] == 6 * 9
    lines = capsys.readouterr().out.splitlines()
    assert lines[6] == (f"Epoch:  5   Reconstruction_Error:  {history['Recon_error'][5]:.4f}   "
                        f"Regularization_Error:  {history['Regularization_error'][5]:.4f}   "
                        f"ELBO:  {history['ELBO'][5]:.4f}")


@pytest.mark.as_run
def test_same_seed_same_bytes(digits, tmp_path):
    (a, history_a), (b, history_b) = (train(digits, tmp_path / name, num_epoch=2) for name in "ab")
    assert (variables_as_bytes(a), history_a) == (variables_as_bytes(b), history_b)


def test_its_graph_is_final_and_its_threads_are_those_of_its_towers(digits, tmp_path, monkeypatch):
    configs, graphs = [], []

    class Session(tf.Session):
        def __init__(self, config=None):
            configs.append(config)
            super().__init__(config=config)

    monkeypatch.setattr(tf, "Session", Session)
    train(digits, tmp_path, lambda prefix: graphs.append(tf.get_default_graph()), num_epoch=1)
    assert configs == [devices.session_config(1)]
    assert graphs[0].finalized


def test_another_seed_another_network(digits, tmp_path):
    a, b = (variables_as_bytes(train(digits, tmp_path / str(seed), num_epoch=1, seed=seed)[0]) for seed in (7, 8))
    assert a["decoder_output/w6"] != b["decoder_output/w6"]


def test_errors_of_an_epoch_are_means_with_dropout_as_set(digits, tmp_path):
    """With a learning rate too small to move a weight, an epoch measures the network it began with."""
    images = digits.train.images[:200]                      # four full batches
    history = {}
    for keep_prob in (1.0, 0.6):
        prefix, history[keep_prob] = train(digits, tmp_path / str(keep_prob), num_epoch=2, learning_rate=1e-30,
                                           keep_prob=keep_prob)
    measured = evaluation.evaluate(prefix, images, digits.train.digits[:200])
    assert history[1.0]["Recon_error"] == pytest.approx([measured.Recon_error] * 2, rel=1e-3)
    assert history[1.0]["Regularization_error"] == pytest.approx([measured.Regularization_error] * 2, rel=1e-5)
    assert history[0.6]["Regularization_error"][0] > 1.1 * measured.Regularization_error


def test_an_epoch_need_not_be_a_multiple_of_the_steps_per_run(digits, tmp_path, monkeypatch):
    """Four batches, three steps per run: the fourth is trained on, and counted, once."""
    monkeypatch.setattr(training, "steps_per_run", lambda n_towers: 3)
    prefix, history = train(digits, tmp_path, num_epoch=1, learning_rate=1e-30, keep_prob=1.0)
    assert checkpoints.read_variables(prefix)["Variable"] == 4
    measured = evaluation.evaluate(prefix, digits.train.images[:200], digits.train.digits[:200])
    assert history["Recon_error"][0] == pytest.approx(measured.Recon_error, rel=1e-3)
    assert history["Regularization_error"][0] == pytest.approx(measured.Regularization_error, rel=1e-5)


class TestShuffle:
    def fed(self, digits, folder, monkeypatch, **changes):
        """Which training images each step was fed, by epoch."""
        rows = {pixels.tobytes(): number for number, pixels in enumerate(digits.train.pixels)}
        assert len(rows) == len(digits.train.pixels)
        seen, run = [], tf.Session.run

        def run_and_record(session, fetches, feed_dict=None, **kwargs):
            for value in (feed_dict or {}).values():
                if np.shape(value) == (50, 784):
                    seen.append([rows[np.rint(255 * image).astype(np.uint8).tobytes()] for image in value])
            return run(session, fetches, feed_dict, **kwargs)

        with monkeypatch.context() as patched:
            patched.setattr(tf.Session, "run", run_and_record)
            train(digits, folder, **changes)
        return np.array(seen).reshape(-1, 4, 50)

    def test_without_it_the_images_are_in_the_files_order(self, digits, tmp_path, monkeypatch):
        fed = self.fed(digits, tmp_path, monkeypatch, num_epoch=2)
        np.testing.assert_array_equal(fed.reshape(2, 200), [np.arange(200)] * 2)

    def test_each_epoch_has_an_order_determined_by_the_seed(self, digits, tmp_path, monkeypatch):
        fed, again, other = (self.fed(digits, tmp_path / name, monkeypatch, num_epoch=3, shuffle=True, seed=seed)
                             for name, seed in (("a", 7), ("b", 7), ("c", 8)))
        np.testing.assert_array_equal(fed, again)
        orders = [epoch.ravel() for epoch in (*fed, *other)]
        for number, order in enumerate(orders):
            assert len({*order}) == 200          # no image twice
            assert order.max() > 200             # the omitted images vary
            assert all((order != one).mean() > 0.9 for one in orders[:number])

    def test_a_resumed_run_has_the_same_order(self, digits, tmp_path):
        whole, _ = train(digits, tmp_path / "a", shuffle=True)
        train(digits, tmp_path / "b", shuffle=True, num_epoch=2)
        resumed, _ = train(digits, tmp_path / "b", shuffle=True)
        assert variables_as_bytes(resumed) == variables_as_bytes(whole)


def test_a_denoising_run_learns_and_resumes_exactly(digits, tmp_path):
    whole, history = train(digits, tmp_path / "a", add_noise=True)
    assert history["ELBO"][-1] < history["ELBO"][0]
    train(digits, tmp_path / "b", add_noise=True, num_epoch=2)
    resumed, _ = train(digits, tmp_path / "b", add_noise=True)
    clean, _ = train(digits, tmp_path / "c")
    assert variables_as_bytes(resumed) == variables_as_bytes(whole) != variables_as_bytes(clean)


@pytest.mark.parametrize("pixels", [
    np.zeros((300, 784), np.float32), np.zeros((300, 28, 28), np.uint8)])
def test_pixels_that_are_no_bytes_are_refused(pixels, tmp_path):
    """Floats in [0, 1] would be divided by 255 once more."""
    with pytest.raises(SettingsError, match=r"^pixels: expected an array of type uint8 and shape \[n, n_input\]"):
        training.train(pixels, {}, Settings(), tmp_path)


def test_a_folder_as_text(digits, tmp_path):
    (tmp_path / "run").mkdir()
    prefix, _ = training.train(digits.train.pixels, digits.sha256, dataclasses.replace(SETTINGS, num_epoch=1),
                               str(tmp_path / "run"), n_towers=1)
    assert prefix == str(tmp_path / "run" / "parameter0.ckpt")


def test_a_batch_larger_than_the_data_is_refused(digits, tmp_path):
    with pytest.raises(SettingsError, match=r"--batch_size: expected at most 220, .*, found 221"):
        train(digits, tmp_path, batch_size=221)


def test_the_data_files_may_be_removed_after_reading(in_tmp, idx_folder):
    def train_and(act):
        data_set = data.other(idx_folder)
        folder = in_tmp / act.__name__
        prefix, _ = train(data_set, folder, lambda prefix: act())
        return variables_as_bytes(prefix)

    def keep():
        pass

    def truncate():
        for file in data.FILES:
            (idx_folder / file.name).write_bytes(b"")

    assert train_and(keep) == train_and(truncate)
