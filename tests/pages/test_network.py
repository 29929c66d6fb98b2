"""The explorer's network computes what TensorFlow computes, in headless Chromium."""

import base64

import numpy as np
import pytest

from tests.helpers import write_network
from tests.numpy_network import PREFIX, decode, weights_of
from tests.pages.helpers import (
    FULL_SIZE,
    POINTS,
    decoded,
)
from vae_graph import evaluation, pictures


def test_pixels_are_tensorflows(explorer_page):
    with evaluation.restored(PREFIX, seed=0) as model:
        expected = model.session.run(model.X_out, {model.z: POINTS})
    np.testing.assert_allclose(decoded(explorer_page), expected, atol=2e-3)
    np.testing.assert_allclose(expected, decode(weights_of(), np.array(POINTS)), atol=1e-5)


@pytest.mark.slow
def test_every_float16_is_decoded_as_by_numpy(explorer_page):
    values = np.arange(1 << 16, dtype="<u2").view("<f2")
    values = values[np.isfinite(values)]
    read = explorer_page.execute_script("return Array.from(halves(arguments[0]))", base64.b64encode(values).decode())
    np.testing.assert_array_equal(read, values.astype(float))


@pytest.mark.slow
def test_float16_is_precise_enough_at_full_size(open_explorer, tmp_path, digits):
    prefix = write_network(tmp_path / "x", n_hidden=500)
    browser = open_explorer(prefix)
    with evaluation.restored(prefix, seed=0) as model:
        expected = model.session.run(model.X_out, {model.z: POINTS})
    assert expected.min() < 0.01 < 0.99 < expected.max()
    np.testing.assert_allclose(decoded(browser), expected, atol=2e-3)


@pytest.mark.slow
def test_mean_and_std_are_tensorflows(open_explorer, digits):
    """Of the reference run's weights."""
    browser = open_explorer(FULL_SIZE)
    with evaluation.restored(FULL_SIZE, seed=0) as model:
        expected = model.session.run([model.mean, model.std], {model.X: digits.test.images[:20]})
    found = browser.execute_script("""return Array.from({ length: 20 }, (_, i) => {
        const { mean, std } = encode(models[0], image(i));
        return [Array.from(mean), Array.from(std)];
    })""")
    np.testing.assert_allclose(np.array(found).transpose(1, 0, 2), expected, atol=1e-3)


def test_the_axes_are_orthonormal_where_the_codes_do_not_vary(explorer_page):
    for codes in ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 2, 2, 3, 4, 6]):
        axes = np.array(explorer_page.execute_script(
            "return latentPlane(Float32Array.from(arguments[0]), 5).axes.map(axis => [...axis])", codes))
        np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-6)


@pytest.mark.parametrize("n_z", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_the_plane_is_that_of_the_pictures(open_explorer, tmp_path, digits, n_z):
    prefix = write_network(tmp_path / "x", n_z)
    browser = open_explorer(prefix)
    codes = pictures.means(prefix, digits.test.images)
    origin, axes = pictures.latent_plane(codes)
    found = browser.execute_script(
        "const { origin, axes } = models[0].plane; return [Array.from(origin), axes.map(axis => Array.from(axis))]")
    np.testing.assert_allclose(found[0], origin, atol=2e-3)
    np.testing.assert_allclose(found[1], axes, atol=2e-2)
