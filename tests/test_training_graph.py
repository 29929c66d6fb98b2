"""The training graph: its initial weights, its noise, its towers."""

import dataclasses
import hashlib
import itertools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.benchmarks.jitted import jitted_training_graph
from tests.small import ORACLE_DIR, SETTINGS
from vae_graph import Variational_autoencoder
from vae_graph.training_graph import (
    _stateless_uniform,
    build_prototype,
    build_towers,
    split_rows,
    stateless_noise,
    training_graph,
)


def test_each_step_has_pixel_noise_of_its_own():
    settings = dataclasses.replace(SETTINGS, add_noise=True)
    with tf.Graph().as_default(), tf.Session() as session:
        graph = training_graph(784, settings, n_steps=2, n_towers=2)
        session.run(tf.global_variables_initializer())
        drawn = session.run([step.noise for step in graph.steps],
                            {graph.input_data: np.zeros([100, 784]), graph.dropout_rate: 0.6})
    masks = [value for step in drawn for tower in step for value in tower if value.shape == (25, 784)]
    assert len(masks) == 2 * 2 * 2               # steps, towers, masks of each
    assert all((a != b).mean() > 0.99 for number, a in enumerate(masks) for b in masks[:number])


def test_initial_weights_are_the_originals_programs():
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

    assert initial(lambda: training_graph(784, SETTINGS, n_steps=2, n_towers=3)) == initial(originals)


def test_noise_is_determined_by_seed_and_step():
    """No two steps and no two seeds have it in common, and a step's is the same in every session."""
    def noise(seed, n_steps, first_steps):
        """The noise of each step, from each of some first steps."""
        with tf.Graph().as_default(), tf.Session() as session:
            graph = training_graph(784, dataclasses.replace(SETTINGS, seed=seed), n_steps)
            counter = tf.placeholder(tf.int32, [])
            assign = graph.global_step.assign(counter)
            session.run(tf.global_variables_initializer())
            found = []
            for first_step in first_steps:
                session.run(assign, {counter: first_step})
                # A step's noise depends on the step before, which is run too.
                drawn = session.run([step.noise for step in graph.steps],
                                    {graph.input_data: np.zeros([50 * n_steps, 784]), graph.dropout_rate: 0.6})
                found += [np.concatenate([value.ravel() for tower in step for value in tower]) for step in drawn]
            return found

    one_by_one = noise(7, 1, range(4))
    np.testing.assert_array_equal(noise(7, 2, [0, 2]), one_by_one)
    steps = [*one_by_one, *noise(8, 1, [0])]
    assert {step.shape for step in steps} == {(50 * (2 * 16 + 2 * 12 + 2),)}
    # Few of these numbers of 16 bits are equal by chance: in two steps at the same place, or anywhere in one step.
    assert all(np.mean(a == b) < 0.001 for a, b in itertools.combinations(steps, 2))
    assert all(len(np.unique(step)) > 0.95 * len(step) for step in steps)


def test_uniform_numbers_have_16_random_bits():
    """Also where their count is odd; the two of one draw of 32 bits differ."""
    with tf.Graph().as_default(), tf.Session() as session:
        numbers = session.run(_stateless_uniform([333, 301], np.array([5], np.uint64), tf.zeros([2], tf.uint64)))
    assert numbers.shape == (333, 301)
    assert numbers.dtype == np.float32
    bits = numbers.ravel() * 2**16
    np.testing.assert_array_equal(bits, bits.astype(np.uint16))
    # About five standard deviations of what a fair draw gives.
    assert abs(np.mean(numbers < 0.6) - 0.6) < 0.008
    assert all(abs(np.mean(bits.astype(int) >> bit & 1) - 0.5) < 0.008 for bit in range(16))
    assert abs(np.corrcoef(bits[:-1:2], bits[1::2])[0, 1]) < 0.025


@pytest.mark.parametrize("n_towers", [1, 3])
def test_gradients_are_those_that_an_optimizer_computes(digits, n_towers):
    settings = dataclasses.replace(SETTINGS, batch_size=8)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(7)
        prototypes = [build_prototype(784, settings, len(rows)) for rows in split_rows(8, n_towers)]
        noise = [[tf.constant(0.5, shape=op.outputs[0].shape) for op in one.random_ops] for one in prototypes]
        images = tf.constant(digits.train.images[:8])
        errors, ours = build_towers(prototypes, images, tf.constant(0.6), noise, [], "step")
        theirs = tf.train.AdamOptimizer().compute_gradients(errors[-1])
        session.run(tf.global_variables_initializer())
        found, expected = session.run([[gradient for gradient, _ in ours], [gradient for gradient, _ in theirs]])
    assert [variable.name for _, variable in ours] == [variable.name for _, variable in theirs]
    for gradient, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-5 * np.max(np.abs(other)))


@pytest.mark.parametrize("n_towers", [1, 3])
def test_the_jitted_step_is_the_same(digits, n_towers):
    """The experiment of the GPU benchmark: with the same noise, errors and variables are equal up to rounding."""
    settings = dataclasses.replace(SETTINGS, learning_rate=1e-3)       # Adam magnifies rounding in small gradients

    def train(build):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(7)
            graph = build(784, settings, 2, n_towers)
            session.run(tf.global_variables_initializer())
            errors = [session.run([graph.steps[-1].train_op, [step.errors for step in graph.steps]],
                                  {graph.input_data: images, graph.dropout_rate: 0.6})[1]
                      for images in np.split(digits.train.images[:200], 2)]
            return np.concatenate(errors), {v.op.name: session.run(v) for v in tf.global_variables()}

    (errors, variables), (others, their_variables) = train(jitted_training_graph), train(training_graph)
    np.testing.assert_allclose(errors, others, rtol=1e-5)
    assert variables.keys() == their_variables.keys()
    for name, value in variables.items():
        np.testing.assert_allclose(value, their_variables[name], rtol=0, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(("n_rows", "n_parts", "sizes"), [
    (8, 2, [4, 4]), (8, 3, [3, 3, 2]), (2, 5, [1, 1]), (1, 2, [1])])
def test_rows_are_split_evenly(n_rows, n_parts, sizes):
    parts = split_rows(n_rows, n_parts)
    assert [row for part in parts for row in part] == [*range(n_rows)]
    assert [len(part) for part in parts] == sizes


def whole_noise(settings, towers, step=0):
    """The noise of a step by the builders' random ops: for each number of towers, what all of them get."""
    with tf.Graph().as_default(), tf.Session() as session:
        random_ops = build_prototype(784, settings, settings.batch_size).random_ops
        noise = [stateless_noise(random_ops, split_rows(settings.batch_size, n_towers), settings, tf.constant(step))
                 for n_towers in towers]
        drawn = session.run([[tf.concat(parts, 0) for parts in zip(*of_towers, strict=True)] for of_towers in noise])
    return [dict(zip((op.name for op in random_ops), arrays, strict=True)) for arrays in drawn]


@pytest.mark.parametrize("batch_size", [1, 2, 9, 16])
def test_noise_does_not_depend_on_the_number_of_towers(batch_size):
    """Bit for bit, of every random op of the builders, dropout and pixel noise included."""
    settings = dataclasses.replace(SETTINGS, batch_size=batch_size, add_noise=True)
    expected, *others = whole_noise(settings, (1, 2, 3, 5, 16))
    assert len({values.tobytes() for values in expected.values()}) == 7
    for other in others:
        for name, values in expected.items():
            np.testing.assert_array_equal(other[name], values)


def test_noise_is_that_of_earlier_versions():
    """Of each number of towers as of their two. The uniform numbers are integers: the same on every machine."""
    digest = hashlib.sha256()
    for step in (0, 1):
        [noise] = whole_noise(dataclasses.replace(SETTINGS, add_noise=True), [3], step)
        for name, numbers in sorted(noise.items()):
            if name.endswith("RandomUniform"):
                digest.update(numbers.tobytes())
    assert digest.hexdigest() == "124a3d20c2788c08ecc93dc8dce10e3ed407dab89b217a884d5d51f0f0e9f752"
    np.testing.assert_allclose(noise["random_normal/RandomStandardNormal"][[0, 25]], [
        [0.39399394, 0.4587546], [-1.2722970, -0.4008025]], rtol=1e-5)


@pytest.mark.parametrize(("n_towers", "batch_size"), [(3, 8), (20, 3)])
def test_towers_of_any_sizes_are_one_network(digits, n_towers, batch_size):
    """Errors and gradients are those of a single tower."""
    settings = dataclasses.replace(SETTINGS, batch_size=batch_size, learning_rate=1.0)
    after = []
    for number in (1, n_towers):
        with tf.Graph().as_default(), tf.Session() as session:
            graph = training_graph(784, settings, n_towers=number)
            tf.train.Saver().restore(session, str(ORACLE_DIR / "parameter0.ckpt"))
            feeds = {graph.input_data: digits.train.images[:batch_size], graph.dropout_rate: 0.6}
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
        training_graph(784, SETTINGS, n_towers=3)
    for tower, number in ((1, 0), (2, 1), (3, 0)):
        devices = {op.device for op in graph.get_operations()
                   if op.type == "MatMul" and op.name.startswith(f"step_1/tower_{tower}/")}
        assert devices == {f"/device:GPU:{number}"}
