"""A run is determined by its settings, can be stopped, and goes on only as what it was."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.conftest import write_checkpoint
from tests.test_oracle import ORACLE_DIR
from vae_graph import Variational_autoencoder, checkpoints, evaluation, resume, training

SETTINGS = training.Settings(n_hidden_encoder=16, n_z=2, n_hidden_decoder=12, num_epoch=4, batch_size=50,
                             learning_rate=1e-2, seed=7, checkpoint_every=2)


def train(digits, folder, at_checkpoint=lambda prefix: None, histograms=False, **changes):
    folder.mkdir(exist_ok=True)
    return training.train(digits.train.pixels, digits.sha256, dataclasses.replace(SETTINGS, **changes), folder,
                          at_checkpoint, histograms=histograms)


def variables_as_bytes(prefix):
    return {name: value.tobytes() for name, value in checkpoints.read_variables(prefix).items()}


def test_settings_are_the_originals():
    assert dataclasses.asdict(training.Settings()) == {
        "n_hidden_encoder": 500, "n_z": 2, "n_hidden_decoder": 500, "decay_step": 2000, "num_epoch": 200,
        "batch_size": 128, "decay_rate": 0.96, "learning_rate": 1e-4, "keep_prob": 0.6, "seed": 0,
        "checkpoint_every": 20, "shuffle": False, "add_noise": False}


def test_it_learns_and_keeps_checkpoints(digits, tmp_path, capsys):
    seen = []
    prefix, history = train(digits, tmp_path, seen.append, num_epoch=6)
    assert history["epoch"] == list(range(6))
    assert history["ELBO"][-1] < history["ELBO"][0] - 50
    np.testing.assert_allclose(
        np.add(history["Recon_error"], history["Regularization_error"]), history["ELBO"], rtol=1e-5)
    assert seen == [str(tmp_path / f"parameter{epoch}.ckpt") for epoch in (0, 2, 4, 5)]
    assert prefix == seen[-1]
    # 220 images are four batches of 50; the last 20 are left out.
    assert checkpoints.read_variables(prefix)["Variable"] == 6 * 4
    lines = capsys.readouterr().out.splitlines()
    assert lines[5] == (f"Epoch:  5   Reconstruction_Error:  {history['Recon_error'][5]:.4f}   "
                        f"Regularization_Error:  {history['Regularization_error'][5]:.4f}   "
                        f"ELBO:  {history['ELBO'][5]:.4f}")


def test_same_seed_same_bytes(digits, tmp_path):
    runs = [train(digits, tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    variables = [variables_as_bytes(prefix) for prefix, _ in runs]
    assert variables[0] == variables[1]
    assert runs[0][1] == runs[1][1]
    assert variables[0]["decoder_output/w6"] != variables[2]["decoder_output/w6"]


def test_a_stopped_run_goes_on(digits, tmp_path, capsys):
    def stop(prefix):
        if prefix.endswith("parameter2.ckpt"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(digits, tmp_path, stop)
    before = capsys.readouterr().out.splitlines()
    prefix, history = train(digits, tmp_path)
    after = capsys.readouterr().out.splitlines()
    assert len(before) == 3
    assert after[0] == f"going on from {tmp_path / 'parameter2.ckpt'}, epoch 3 of 4"
    assert len(after) == 2
    assert history["epoch"] == [0, 1, 2, 3]
    assert checkpoints.read_variables(prefix)["Variable"] == 4 * 4


def test_a_resumed_run_draws_new_noise(digits, tmp_path):
    """With a learning rate too small to move a weight, two epochs differ by their noise alone."""
    train(digits, tmp_path, num_epoch=1, learning_rate=1e-30)
    _, history = train(digits, tmp_path, num_epoch=2, learning_rate=1e-30)
    assert history["Recon_error"][0] != history["Recon_error"][1]


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


def test_a_finished_run_is_left_as_it_is(digits, tmp_path, capsys):
    prefix, history = train(digits, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    seen = []
    assert train(digits, tmp_path, seen.append, num_epoch=3) == (prefix, history)
    assert seen == [prefix]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert capsys.readouterr().out == f"{prefix} has 4 epochs: none of the 3 is left to train\n"


def test_goes_on_from_the_newest_whole_checkpoint(digits, tmp_path, capsys):
    train(digits, tmp_path)
    broken = tmp_path / "parameter3.ckpt.data-00000-of-00001"
    broken.write_bytes(broken.read_bytes()[:100])
    _, history = train(digits, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].startswith(f"skipped: {tmp_path / 'parameter3.ckpt'}: expected a whole checkpoint")
    assert lines[5] == f"what was skipped is now in {tmp_path / 'earlier-1'}"
    assert lines[6] == f"going on from {tmp_path / 'parameter2.ckpt'}, epoch 3 of 4"
    assert history["epoch"] == [0, 1, 2, 3]
    assert (tmp_path / "earlier-1" / broken.name).stat().st_size == 100


def test_where_nothing_is_whole_the_run_begins_anew(digits, tmp_path, capsys):
    """Its record would be in the new one's way too."""
    train(digits, tmp_path, num_epoch=1)
    (tmp_path / "parameter0.ckpt.index").write_bytes(b"")
    capsys.readouterr()
    _, history = train(digits, tmp_path, num_epoch=2, seed=8)
    assert f"what was skipped is now in {tmp_path / 'earlier-1'}" in capsys.readouterr().out
    assert history["epoch"] == [0, 1]
    assert (tmp_path / "earlier-1" / "resume.json").exists()


def test_a_run_of_several_steps_may_end_with_a_shorter_one(digits, tmp_path, monkeypatch):
    """Four batches, three steps a run: what is not a whole run is trained on too, and counted once."""
    monkeypatch.setattr(training, "STEPS_A_RUN", 3)
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
        seen, divide = [], np.divide

        def noted(batches, *args, **kwargs):
            seen.append([rows[pixels.tobytes()] for pixels in batches])
            return divide(batches, *args, **kwargs)

        monkeypatch.setattr(training.np, "divide", noted)
        train(digits, folder, **changes)
        monkeypatch.setattr(training.np, "divide", divide)
        return np.array(seen).reshape(-1, 4, 50)

    def test_off_the_images_come_as_the_files_have_them(self, digits, tmp_path, monkeypatch):
        fed = self.fed(digits, tmp_path, monkeypatch, num_epoch=2)
        np.testing.assert_array_equal(fed.reshape(2, 200), [np.arange(200)] * 2)

    def test_on_each_epoch_has_a_new_order_of_its_seed(self, digits, tmp_path, monkeypatch):
        fed, again, other = (self.fed(digits, tmp_path / name, monkeypatch, num_epoch=3, shuffle=True, seed=seed)
                             for name, seed in (("a", 7), ("b", 7), ("c", 8)))
        np.testing.assert_array_equal(fed, again)
        orders = [epoch.ravel() for epoch in (*fed, *other)]
        for number, order in enumerate(orders):
            assert len({*order}) == 200          # none twice
            assert order.max() > 200             # and not always the same ones left out
            assert all((order != one).mean() > 0.9 for one in orders[:number])

    def test_a_run_that_goes_on_has_the_order_it_would_have_had(self, digits, tmp_path):
        whole, _ = train(digits, tmp_path / "a", shuffle=True)
        train(digits, tmp_path / "b", shuffle=True, num_epoch=2)
        resumed, _ = train(digits, tmp_path / "b", shuffle=True)
        assert variables_as_bytes(resumed) == variables_as_bytes(whole)


def test_a_denoising_run_learns_and_goes_on_as_if_unbroken(digits, tmp_path):
    whole, history = train(digits, tmp_path / "a", add_noise=True)
    assert history["ELBO"][-1] < history["ELBO"][0]
    train(digits, tmp_path / "b", add_noise=True, num_epoch=2)
    resumed, _ = train(digits, tmp_path / "b", add_noise=True)
    clean, _ = train(digits, tmp_path / "c")
    assert variables_as_bytes(resumed) == variables_as_bytes(whole) != variables_as_bytes(clean)


def test_each_step_has_pixel_noise_of_its_own():
    settings = dataclasses.replace(SETTINGS, add_noise=True)
    with tf.Graph().as_default(), tf.Session() as session:
        graph = training.training_graph(784, settings, n_steps=2, n_towers=2)
        session.run(tf.global_variables_initializer())
        drawn = session.run([step.noise for step in graph.steps],
                            {graph.input_data: np.zeros([100, 784]), graph.dropout_rate: 0.6})
    masks = [value for step in drawn for value in step.values() if value.shape == (25, 784)]
    assert len(masks) == 2 * 2 * 2               # steps, towers, masks of each
    assert all((a != b).mean() > 0.99 for number, a in enumerate(masks) for b in masks[:number])


@pytest.mark.parametrize(("n_steps", "n_towers"), [(1, 1), (2, 3)])
def test_initial_weights_are_the_originals_programs(n_steps, n_towers):
    """The same seed gives the weights that it gives where nothing but the original's network is built."""
    def initial(build):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(3)
            build()
            session.run(tf.global_variables_initializer())
            return {v.op.name: session.run(v).tobytes() for v in tf.trainable_variables()}

    def originals():
        input_data, dropout_rate = tf.placeholder(tf.float32, [None, 784]), tf.placeholder(tf.float32)
        Variational_autoencoder(input_data, 16, 2, 12, dropout_rate)

    assert initial(lambda: training.training_graph(784, SETTINGS, n_steps, n_towers)) == initial(originals)


def test_noise_is_determined_by_seed_and_step():
    """No two steps and no two seeds have any of it in common, and a step's is the same in every session."""
    def noise(seed, first_step, n_steps):
        with tf.Graph().as_default(), tf.Session() as session:
            graph = training.training_graph(784, dataclasses.replace(SETTINGS, seed=seed), n_steps)
            session.run(tf.global_variables_initializer())
            session.run(graph.global_step.assign(first_step))
            # The noise of a step waits for the step before: that is run too.
            drawn = session.run([step.noise for step in graph.steps],
                                {graph.input_data: np.zeros([50 * n_steps, 784]), graph.dropout_rate: 0.6})
            return [np.concatenate([value.ravel() for value in step.values()]) for step in drawn]

    one_by_one = [noise(7, step, 1)[0] for step in range(4)]
    np.testing.assert_array_equal(noise(7, 0, 4), one_by_one)
    np.testing.assert_array_equal(noise(7, 2, 2), one_by_one[2:])
    # Of so many float32 hardly any two are the same by chance, in one draw or in two.
    numbers = np.concatenate([*one_by_one, *noise(8, 0, 1)])
    assert len(np.unique(numbers)) > 0.99 * len(numbers) == 0.99 * 5 * 50 * (2 * 16 + 2 * 12 + 2)


@pytest.mark.parametrize("n_towers", [2, 3, 8, 20])
def test_towers_of_any_sizes_are_one_network(digits, n_towers):
    """A batch of eight, its noise fed: errors and gradients are those of a single tower."""
    settings = dataclasses.replace(SETTINGS, batch_size=8, learning_rate=1.0)
    after = []
    for towers in (1, n_towers):
        with tf.Graph().as_default(), tf.Session() as session:
            graph = training.training_graph(784, settings, n_towers=towers)
            tf.train.Saver().restore(session, str(ORACLE_DIR / "parameter0.ckpt"))
            feeds = {graph.input_data: digits.train.images[:8], graph.dropout_rate: 1.0}
            feeds |= {noise: np.zeros(noise.shape) for name, noise in graph.steps[0].noise.items() if "normal" in name}
            errors = session.run([graph.steps[0].train_op, graph.steps[0].errors], feeds)[1]
            # Adam's first moment after one step is a tenth of the gradient.
            slots = [v for v in tf.global_variables() if v.op.name.endswith("/Adam")]
            after.append([*errors, *session.run(slots)])
    for one, several in zip(*after, strict=True):
        np.testing.assert_allclose(several, one, rtol=1e-4, atol=1e-6)


def test_towers_are_on_the_gpus_in_turn(monkeypatch):
    """Seen in the graph: the machine need not have them."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["first", "second"])
    with tf.Graph().as_default() as graph:
        training.training_graph(784, SETTINGS, n_towers=3)
    devices = [graph.get_operation_by_name(name).device for name in ("Log", "Log_3", "Log_6", "step_1/Log_3")]
    assert devices == [f"/device:GPU:{number}" for number in (0, 1, 0, 1)]


def test_weights_without_adams_slots_are_moved_out_of_the_way(digits, tmp_path, capsys):
    prefix, _ = train(digits, tmp_path / "run", num_epoch=1)
    weights = checkpoints.read_network(prefix)[1]
    folder = tmp_path / "folder"
    folder.mkdir()
    write_checkpoint(folder / "parameter1.ckpt", weights)
    capsys.readouterr()
    train(digits, folder, num_epoch=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"skipped: {folder / 'parameter1.ckpt'}: expected the variable ")
    assert lines[1] == f"what was skipped is now in {folder / 'earlier-1'}"
    assert lines[2].startswith("Epoch:  0 ")
    assert checkpoints.read_variables(str(folder / "earlier-1" / "parameter1.ckpt")).keys() == weights.keys()


@pytest.mark.parametrize(("name", "value"), [
    ("n_hidden_encoder", 17), ("n_z", 3), ("n_hidden_decoder", 13), ("learning_rate", 0.5), ("decay_rate", 0.5),
    ("decay_step", 7), ("batch_size", 51), ("keep_prob", 0.5), ("seed", 8), ("shuffle", True), ("add_noise", True)])
def test_other_settings_are_refused(digits, tmp_path, name, value):
    train(digits, tmp_path, num_epoch=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(resume.SettingsError) as error:
        train(digits, tmp_path, **{name: value})
    assert str(error.value).startswith(
        f"--{name}: expected {getattr(SETTINGS, name)} as in the run in {tmp_path}, found {value}; ")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_way_on_is_told_for_flags_without_a_value_too(digits, tmp_path):
    train(digits, tmp_path, num_epoch=1, shuffle=True)
    with pytest.raises(resume.SettingsError, match=r"expected True .*, found False; go on with --shuffle, begin anew"):
        train(digits, tmp_path)
    with pytest.raises(resume.SettingsError, match=r"expected False .*, found True; go on with no --add_noise, begin"):
        train(digits, tmp_path, shuffle=True, add_noise=True)


def test_a_record_of_before_there_was_a_setting_is_taken(digits, tmp_path):
    train(digits, tmp_path, num_epoch=1)
    path = tmp_path / "resume.json"
    record = json.loads(path.read_bytes())
    for name in ("shuffle", "add_noise"):
        del record["settings"][name]
    path.write_text(json.dumps(record))
    assert train(digits, tmp_path, num_epoch=2)[1]["epoch"] == [0, 1]


def test_other_data_are_refused(digits, tmp_path):
    train(digits, tmp_path, num_epoch=1)
    with pytest.raises(resume.SettingsError, match="--dataset: expected the data of the run"):
        train(dataclasses.replace(digits, sha256=dict.fromkeys(digits.sha256, "0" * 64)), tmp_path)


def test_a_batch_larger_than_the_data_is_refused(digits, tmp_path):
    with pytest.raises(resume.SettingsError, match=r"--batch_size: expected at most 220, .*, found 221"):
        train(digits, tmp_path, batch_size=221)


def test_goes_on_from_the_originals_checkpoint(digits, tmp_path):
    """One written by TensorFlow 1.4.0, with no resume file beside it: Adam's slots and the step go on too."""
    shutil.copytree(ORACLE_DIR, tmp_path / "old")
    with pytest.raises(resume.SettingsError, match=r"--n_hidden_encoder: expected 16 .*, found 20"):
        train(digits, tmp_path / "old", num_epoch=22, n_hidden_encoder=20)
    prefix, history = train(digits, tmp_path / "old", num_epoch=22)
    assert history["epoch"] == [21]
    assert checkpoints.read_variables(prefix)["Variable"] == 20 + 4


@pytest.mark.parametrize("content", [
    "", "[]", "\xff", '{"settings": {}}', '{"settings": [], "data": {}, "errors": {}}',
    '{"settings": {"n_zz": 2}, "data": {}, "errors": {}}'])
def test_a_spoiled_resume_file_is_named(digits, tmp_path, content):
    train(digits, tmp_path, num_epoch=1)
    (tmp_path / "resume.json").write_text(content, encoding="latin-1")
    expected = r"resume\.json: expected the record that this program writes"
    with pytest.raises(checkpoints.CheckpointError, match=expected):
        train(digits, tmp_path)
