"""The program, the blocks and the text of PORTING.md, on today's TensorFlow."""

import importlib.util
import json
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import run_blocks
from tests.legacy import porting
from tests.small import ROOT
from vae_graph import Variational_autoencoder, data
from vae_graph.settings import Settings
from vae_graph.training_graph import learning_rate

PAGE = (ROOT / "vae_graph" / "PORTING.md").read_text(encoding="utf-8")
[PROGRAM] = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)
LAYERS, RECORD, COMPARE = re.findall(r"```python\n.*?```", PAGE, re.DOTALL)
RECORDED = json.loads((ROOT / "tests" / "legacy" / "porting-1.15.5.json").read_text(encoding="utf-8"))
layers = {}
run_blocks(LAYERS, layers)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="needs PyTorch, of the extra `bench`")
def test_names_of_pytorch_exist():
    """In a process of their own: PyTorch and TensorFlow in one process can end in a segmentation fault."""
    names = sorted(set(re.findall(r"`(torch(?:\.\w+)+)", PAGE)))
    assert len(names) > 12
    code = "\n".join(["import torch", "import torch.utils.tensorboard", *names])
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_without_a_graph_nothing_is_shared_and_no_variable_is_known():
    with tf.variable_scope("of_2018", reuse=tf.AUTO_REUSE):
        first, second = (tf.get_variable("w", [2]) for _ in range(2))
    assert first is not second
    assert tf.trainable_variables() == []
    with pytest.raises(RuntimeError, match="not compatible with eager execution"):
        tf.placeholder(tf.float32)


def test_no_session_runs_the_updates_of_keras_batch_norm():
    with tf.Graph().as_default(), tf.Session() as session:
        layer = tf.keras.layers.BatchNormalization()
        y = layer(tf.constant(porting.X), training=True)
        session.run(tf.global_variables_initializer())
        session.run(y)
        assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == []
        [mean] = [v for v in tf.global_variables() if "moving_mean" in v.op.name]
        assert session.run(mean).tolist() == [0, 0, 0]


def test_batch_norm_does_nothing_to_its_averages_outside_training():
    with tf.Graph().as_default(), tf.Session() as session:
        training = tf.placeholder(tf.bool, [])
        y = layers["batch_norm"](tf.constant(porting.X), training)
        session.run(tf.global_variables_initializer())
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        found, averages = session.run([y, updates], {training: False})
        np.testing.assert_allclose(found, porting.X / np.sqrt(1 + 1e-3), rtol=1e-6)
        assert [average.tolist() for average in averages] == [[0, 0, 0], [1, 1, 1]]


def test_the_moving_variance_of_images_was_divided_by_n_less_1():
    _, variables = RECORDED["images_norm"]
    moving = 1.0
    for _ in range(3):
        moving += 0.01 * (porting.X.var(axis=0, ddof=1) - moving)
    np.testing.assert_allclose(variables["batch_normalization/moving_variance"], moving, rtol=1e-5)


def side_without(mark):
    """The program without the lines of that mark: of 2018 without `+`, of today without `-`."""
    return "".join(line[1:] or "\n" for line in PROGRAM.splitlines(keepends=True) if line[0] != mark)


@pytest.fixture
def program(monkeypatch, tmp_path, digits):
    """What the ported program defines, with 20 hidden units and small data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "mnist", lambda folder: digits)
    names = {"__name__": "program"}
    exec(side_without("-").replace("500", "20"), names)
    yield names
    for flag in re.findall(r'DEFINE_\w+\("(\w+)"', PROGRAM):
        delattr(names["FLAGS"], flag)


def test_the_ported_program_trains(program, tmp_path, capsys):
    argv = ["program", "--num_epoch=2", "--batch_size=20"]
    with pytest.raises(SystemExit):
        tf.app.run(program["main"], argv)
    first, last = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines())
    assert last < first < 600
    assert len(tf.train.list_variables(str(tmp_path / "parameter1.ckpt"))) == 39
    assert np.load(tmp_path / "codes.npy").shape == (60, 2)


def test_the_package_agrees_with_what_the_ported_program_recorded(program):
    """That the port agrees with the program of 2018 is a test of tests/legacy."""
    run_blocks(RECORD, program)
    run_blocks(COMPARE, program | {"build": build})


def build():
    """As the program's, with the package's network."""
    X = tf.placeholder(tf.float32, [None, 784])
    keep_prob = tf.placeholder(tf.float32)
    z, *_, ELBO = Variational_autoencoder(X, 20, 2, 20, keep_prob)
    global_step = tf.Variable(0, trainable=False)
    rate = learning_rate(Settings(), global_step)
    return X, keep_prob, z, ELBO, tf.train.AdamOptimizer(rate).minimize(ELBO, global_step=global_step)


def test_links_lead_to_headings():
    links = re.findall(r"\]\(([\w./]*)#([\w-]+)\)", PAGE)
    assert len(links) > 5
    for path, anchor in links:
        text = (ROOT / "vae_graph" / (path or "PORTING.md")).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings], anchor


def test_what_is_said_of_other_packages(tmp_path):
    assert not {"float", "int"} & vars(np).keys()
    assert plt.get_cmap("jet", 10).N == 10
    np.save(tmp_path / "objects.npy", np.array([{}]))
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(tmp_path / "objects.npy")
