"""The graph is the original's: its formulas, its names, its sharing of weights."""

import itertools
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import vae_graph
from tests.small import ROOT
from vae_graph import checkpoints, model

pytestmark = pytest.mark.quick

SIZES = checkpoints.LayerSizes(n_input=30, n_hidden_encoder=7, n_z=3, n_hidden_decoder=5)


@pytest.fixture
def graph():
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        yield graph


def build(keep_prob):
    X = tf.placeholder(tf.float32, [None, SIZES.n_input])
    return X, model.Variational_autoencoder(X, SIZES.n_hidden_encoder, SIZES.n_z, SIZES.n_hidden_decoder, keep_prob)


def random_weights(seed=0):
    """Weights of every layer, with nonzero biases, so that a missing bias would be detected."""
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 0.5, shape).astype(np.float32)
            for name, shape in checkpoints.model_shapes(SIZES).items()}


def numpy_forward(weights, X, eps, masks, keep_prob):
    """The document's three builders in float64 NumPy. `masks` are the four dropout layers' kept units."""
    w = {name.split("/")[1]: value.astype(np.float64) for name, value in weights.items()}

    def hidden(x, i, mask):
        x = x @ w[f"w{i}"] + w[f"b{i}"]
        return np.where(x > 0, x, np.expm1(x)) * mask / keep_prob

    h = hidden(hidden(X, 1, masks[0]), 2, masks[1]) @ w["w3"] + w["b3"]
    mean, std = h[:, :SIZES.n_z], np.log1p(np.exp(h[:, SIZES.n_z:])) + 1e-6
    z = mean + std * eps
    X_out = 1 / (1 + np.exp(-(hidden(hidden(z, 4, masks[2]), 5, masks[3]) @ w["w6"] + w["b6"])))
    recon = -(X * np.log(X_out) + (1 - X) * np.log(1 - X_out)).sum(1).mean()
    regularization = 0.5 * (1 - np.log(std**2 + 1e-8) + mean**2 + std**2).sum(1).mean()
    return z, X_out, recon, regularization, recon + regularization


def test_noise_zeroes_half_of_the_pixels_and_then_sets_half_to_1(graph):
    X = np.random.default_rng(0).uniform(0.1, 1, (2000, 30)).astype(np.float32)
    with tf.Session() as session:
        noisy = session.run(model.add_noise(tf.constant(X)))
    lit, out, same = noisy == 1, noisy == 0, noisy == X
    assert (lit | out | same).all()
    np.testing.assert_allclose([lit.mean(), out.mean(), same.mean()], [1 / 2, 1 / 4, 1 / 4], atol=0.01)


def test_the_errors_are_those_of_the_clean_image(graph):
    """With a noisy one given, only the encoder sees it."""
    X, X_noisy = (tf.placeholder(tf.float32, [None, SIZES.n_input]) for _ in range(2))
    sizes = SIZES.n_hidden_encoder, SIZES.n_z, SIZES.n_hidden_decoder, 1.0
    z, X_out, Recon_error, *_ = model.Variational_autoencoder(X, *sizes, X_noisy)
    mean, std = model.gaussian_encoder(X_noisy, *sizes[:2], 1.0)
    random = np.random.default_rng(2)
    clean, noisy = random.uniform(0, 1, (2, 4, SIZES.n_input))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        feeds = {X: clean, X_noisy: noisy, "random_normal/RandomStandardNormal:0": np.ones((4, SIZES.n_z))}
        found = session.run([z, mean + std, X_out, Recon_error], feeds)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    log_likelihood = (clean * np.log(found[2]) + (1 - clean) * np.log(1 - found[2])).sum(1).mean()
    assert found[3] == pytest.approx(-log_likelihood, rel=1e-5)


@pytest.mark.parametrize("keep_prob", [1.0, 0.6])
def test_forward_pass_is_that_of_the_document(graph, keep_prob):
    keep = tf.placeholder(tf.float32, [])
    X, outputs = build(keep)
    random = np.random.default_rng(2)
    batch, eps = random.uniform(0, 1, (4, SIZES.n_input)), random.normal(size=(4, SIZES.n_z))
    widths = (SIZES.n_hidden_encoder,) * 2 + (SIZES.n_hidden_decoder,) * 2
    uniforms = [random.uniform(0, 1, (4, width)) for width in widths]
    scopes = ("encoder_hidden_1", "encoder_hidden_2", "decoder_hidden_1", "decoder_hidden_2")

    weights = random_weights()
    with tf.Session() as session:
        for variable in tf.global_variables():
            variable.load(weights[variable.op.name], session)
        noise = {f"{scope}/dropout/random_uniform/RandomUniform:0": uniform
                 for scope, uniform in zip(scopes, uniforms, strict=True)}
        found = session.run(outputs, {X: batch, keep: keep_prob, "random_normal:0": eps, **noise})

    masks = [keep_prob + u >= 1 for u in uniforms]
    for a, b in zip(found, numpy_forward(weights, batch, eps, masks, keep_prob), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_std_near_zero_stays_finite(graph):
    X, (*_, regularization, _) = build(1.0)
    _, std = model.gaussian_encoder(X, SIZES.n_hidden_encoder, SIZES.n_z, 1.0)
    with tf.Session() as session:
        for variable in tf.global_variables():
            bias = -100 if variable.op.name == "encoder_z/b3" else 0          # softplus(-100) is 0 in float32
            variable.load(np.full(variable.shape, bias, np.float32), session)
        std, regularization = session.run([std, regularization], {X: np.ones((2, SIZES.n_input))})
    np.testing.assert_allclose(std, 1e-6, rtol=1e-6)
    assert regularization == pytest.approx(0.5 * SIZES.n_z * (1 - np.log(1e-12 + 1e-8) + 100**2), rel=1e-7)


def test_variables_are_the_documents(graph):
    build(0.6)
    assert {v.op.name: tuple(v.shape.as_list()) for v in tf.global_variables()} == checkpoints.model_shapes(SIZES)
    assert tf.global_variables() == tf.trainable_variables()


def test_weights_are_xavier_and_biases_zero(graph):
    X = tf.placeholder(tf.float32, [None, 400])
    model.gaussian_encoder(X, 200, 2, 1.0)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        w1, b1, *_ = session.run(tf.trainable_variables())
    limit = np.sqrt(6 / (400 + 200))
    assert 0.99 * limit < np.abs(w1).max() <= limit
    np.testing.assert_allclose(w1.std(), limit / np.sqrt(3), rtol=0.01)
    assert not b1.any()


def test_building_again_shares_the_weights(graph):
    _, (_, X_out, *_) = build(1.0)
    codes = tf.placeholder(tf.float32, [None, SIZES.n_z])
    decoded = model.Bernoulli_decoder(codes, SIZES.n_hidden_decoder, SIZES.n_input, 1.0)
    assert len(tf.global_variables()) == 12
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        z = np.random.default_rng(0).normal(size=(5, SIZES.n_z))
        # Feeding the sampled z runs the first decoder alone.
        np.testing.assert_array_equal(session.run(decoded, {codes: z}), session.run(X_out, {"add:0": z}))


def test_building_again_with_other_sizes_is_an_error(graph):
    build(1.0)
    with pytest.raises(ValueError, match="decoder_hidden_1/w4"):
        model.Bernoulli_decoder(tf.zeros([1, SIZES.n_z]), SIZES.n_hidden_decoder + 1, SIZES.n_input, 1.0)


def test_keep_prob_may_be_a_number_and_is_a_keep_probability(graph):
    model.gaussian_encoder(tf.ones([1000, 20]), 50, 1, 0.9)
    hidden = graph.get_tensor_by_name("encoder_hidden_1/dropout/SelectV2:0")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        kept = (session.run(hidden) != 0).mean()
    assert 0.89 < kept < 0.91


class TestClip:
    """Quirk 3: the original's upper bound, 1 - 1e-8, is 1.0 in float32."""

    @staticmethod
    def losses(monkeypatch, upper_bound, output_biases, *batches):
        """Recon_error and its gradients on each batch, with every bias of the output equal to each of some numbers."""
        monkeypatch.setattr(model, "LARGEST_FLOAT32_BELOW_1", upper_bound)
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(3)
            batch, (*_, recon, _, elbo) = build(1.0)
            gradients = tf.gradients(elbo, tf.trainable_variables())
            variables = {variable.op.name: variable for variable in tf.global_variables()}
            for name, value in random_weights().items():
                variables[name].load(value, session)
            for bias, X in itertools.product(output_biases, batches):
                variables["decoder_output/b6"].load(np.full(SIZES.n_input, bias, np.float32), session)
                yield session.run([recon, gradients], {batch: X})

    def test_loss_has_the_originals_bits_where_that_is_finite(self, monkeypatch):
        X = np.random.default_rng(4).uniform(0, 1, (50, SIZES.n_input))
        ours, originals = ([recon for recon, _ in self.losses(monkeypatch, upper_bound, [-30, -5, 0, 5, 12], X)]
                           for upper_bound in (model.LARGEST_FLOAT32_BELOW_1, 1 - 1e-8))
        assert np.isfinite(originals).all()
        assert np.array(ours).tobytes() == np.array(originals).tobytes()

    def test_saturated_output_has_finite_loss_and_gradients(self, monkeypatch):
        batches = [np.full((50, SIZES.n_input), pixel) for pixel in (0, 0.5, 1)]
        for recon, gradients in self.losses(monkeypatch, model.LARGEST_FLOAT32_BELOW_1, [200], *batches):
            assert np.isfinite(recon)
            assert all(np.isfinite(gradient).all() for gradient in gradients)
        assert not any(np.isfinite(recon) for recon, _ in self.losses(monkeypatch, 1 - 1e-8, [200], *batches))


GLOBAL_STATE = """
import tensorflow as tf
before = tf.executing_eagerly(), tf.compat.v1.resource_variables_enabled(), tf.compat.v1.control_flow_v2_enabled()
graph = tf.compat.v1.get_default_graph()
import vae_graph, vae_graph.training, vae_graph.evaluation, vae_graph.plot, vae_graph.data
after = tf.executing_eagerly(), tf.compat.v1.resource_variables_enabled(), tf.compat.v1.control_flow_v2_enabled()
assert before == after, (before, after)
assert tf.compat.v1.get_default_graph() is graph and not graph.get_operations()
"""
CALLER = """
import tensorflow.compat.v1 as tf
from vae_graph import *
{preamble}
with tf.Graph().as_default(), tf.Session() as session:
    X = tf.placeholder(tf.float32, [None, 784])
    z, X_out, *errors = Variational_autoencoder(X, 8, 2, 8, 0.6)
    session.run(tf.global_variables_initializer())
    assert session.run(X_out, {{X: [[0.5] * 784] * 3}}).shape == (3, 784)
    assert {{type(v).__name__ for v in tf.global_variables()}} == {{"ResourceVariable"}}
"""


def test_in_a_callers_process():
    """The import changes no global state; then with TensorFlow 2's behaviour, then without it."""
    script = GLOBAL_STATE + CALLER.format(preamble="") + CALLER.format(preamble="tf.disable_v2_behavior()")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_package_exports_the_three_builders():
    assert vae_graph.__all__ == ["Bernoulli_decoder", "Variational_autoencoder", "gaussian_encoder"]
    assert {*vae_graph.__all__} <= {*dir(vae_graph)}
    assert vae_graph.gaussian_encoder is model.gaussian_encoder
    with pytest.raises(AttributeError, match="module 'vae_graph' has no attribute 'gaussian_decoder'"):
        vae_graph.gaussian_decoder  # noqa: B018


def test_help_is_a_map_of_the_package():
    """Its docstring names every module and package there is; the builders are shown with their arguments."""
    named = set(re.findall(r"\w+", " ".join(re.findall(r"^    ([\w, ]+?)  ", vae_graph.__doc__, re.MULTILINE))))
    there = {path.stem for path in Path(vae_graph.__file__).parent.iterdir()
             if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert named == {name for name in there if not name.startswith("_")}
    text = pydoc.plain(pydoc.render_doc(vae_graph))
    for name in vae_graph.__all__:
        assert f"{name}(" in text


def test_a_module_needs_no_import_of_its_own():
    script = ("import sys, vae_graph; assert 'tensorflow' not in sys.modules; assert 'data' in dir(vae_graph); "
              "assert vae_graph.data.__name__ == 'vae_graph.data'")
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    assert vae_graph.evaluation.__name__ == "vae_graph.evaluation"


def test_eager_mode_is_refused():
    """TensorFlow 2's default, in which every call would silently make new weights."""
    X = tf.constant(np.zeros((2, 30), np.float32))
    for build_eagerly in (lambda: model.gaussian_encoder(X, 7, 3, 1.0), lambda: model.Bernoulli_decoder(X, 7, 3, 1.0),
                          lambda: model.Variational_autoencoder(X, 7, 3, 5, 1.0)):
        with pytest.raises(ValueError, match=r"found eager mode; .* `with tf.Graph\(\).as_default\(\):`$"):
            build_eagerly()


@pytest.mark.parametrize("shape", [[None, 28, 28, 1], [None, None], None, [30]])
def test_images_of_unknown_width_are_refused(graph, shape):
    X = tf.placeholder(tf.float32, shape)
    for build_network in (lambda: model.gaussian_encoder(X, 7, 3, 1.0),
                          lambda: model.Variational_autoencoder(X, 7, 3, 5, 1.0)):
        with pytest.raises(ValueError, match=r"^expected a tensor \[batch, width\] of known width, found the shape .*"):
            build_network()


def test_an_array_in_place_of_a_tensor(graph):
    X = np.random.default_rng(0).uniform(0, 1, (4, 30)).astype(np.float32)
    *_, ELBO = model.Variational_autoencoder(X, 7, 3, 5, 1.0)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert np.isfinite(session.run(ELBO))
