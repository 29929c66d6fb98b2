"""The loss of the image that the explorer's encoder sees, in headless Chromium, against TensorFlow and NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import write_network
from tests.numpy_network import PREFIX, decode, encode, weights_of
from tests.pages.helpers import choose_image, gray, text, wait
from vae_graph import checkpoints, evaluation, model

NUMBER = 23


@pytest.fixture
def page(explorer_page):
    """With a test image that the encoder sees."""
    choose_image(explorer_page, NUMBER)
    return explorer_page


def bars(browser):
    """Each label with the number after its bar."""
    cells = browser.execute_script("return Array.from($('bars').children, cell => cell.textContent)")
    return dict(zip(cells[::3], cells[2::3], strict=True))


def seen_z(browser):
    return np.array(browser.execute_script("return [Array.from(models[0].z)]"))


def test_both_terms_are_those_of_the_program(page, digits):
    image = digits.test.images[NUMBER:NUMBER + 1]
    z = seen_z(page)
    with tf.Graph().as_default(), evaluation.restored(PREFIX, seed=0) as restored:
        X_out = restored.session.run(restored.X_out, {restored.z: z})
        mean, std = restored.session.run([restored.mean, restored.std], {restored.X: image})
    with tf.Graph().as_default(), tf.Session() as session:
        Recon_error, Regularization_error = session.run([
            -model.log_likelihood(tf.constant(image), tf.constant(X_out)),
            model.regularization(tf.constant(mean), tf.constant(std))])
    shown = bars(page)
    assert [*shown] == ["Recon_error", "KL + n_z", "ELBO"]
    assert float(shown["Recon_error"]) == pytest.approx(Recon_error[0], rel=2e-3)
    KL, n_z = map(float, shown["KL + n_z"].split(" + "))
    assert n_z == 2
    assert KL + n_z == pytest.approx(Regularization_error[0], abs=0.02)
    assert float(shown["ELBO"]) == pytest.approx(float(shown["Recon_error"]) + KL + n_z, abs=0.02)
    widths = page.execute_script(
        "return Array.from($('bars').querySelectorAll('.track span'), part => part.getBoundingClientRect().width)")
    np.testing.assert_allclose(np.divide(widths[1:], widths[0]), np.array([KL, n_z]) / Recon_error, atol=0.02)


def test_a_loss_beyond_float32_is_that_of_the_clipped_pixels(explorer_page):
    """As in `Variational_autoencoder`, where neither log is infinite."""
    losses = explorer_page.execute_script("return pixelLosses([1, 0, 1, 0], [0, 1, 1, 0])")
    largest = np.float64(model.LARGEST_FLOAT32_BELOW_1)
    np.testing.assert_allclose(losses, -np.log([1e-8, 1 - largest, largest, 1 - 1e-8]), rtol=1e-9)


def test_the_heat_map_shows_the_loss_of_each_pixel(page, digits):
    X, X_out = digits.test.images[NUMBER], decode(weights_of(), seen_z(page))[0]
    losses = -(X * np.log(X_out) + (1 - X) * np.log(1 - X_out))
    np.testing.assert_allclose(gray(page, "models[0].heat"), (3 * 255 * losses / losses.max()).clip(max=255), atol=6)
    caption = page.execute_script("return models[0].heat.nextSibling.textContent")
    assert caption == f"-log p, per pixel; white: {losses.max():.1f} nats"


def test_another_sample_is_decoded_and_measured(page, digits):
    [mean], [std] = encode(weights_of(), digits.test.images[NUMBER:NUMBER + 1])
    np.testing.assert_allclose(seen_z(page)[0], mean, atol=2e-3)
    before = bars(page)
    found = np.array(page.execute_script("""
        return Array.from({ length: 150 }, () => { $('resample').click(); return Array.from(models[0].z); });"""))
    scores = (found - mean) / std
    np.testing.assert_allclose([scores.mean(), scores.std()], [0, 1], atol=0.25)
    [X_out] = decode(weights_of(), found[-1:])
    np.testing.assert_allclose(gray(page, "models[0].reconstruction"), 255 * X_out, atol=1)
    after = bars(page)
    assert (after["KL + n_z"], after["Recon_error"] != before["Recon_error"]) == (before["KL + n_z"], True)
    assert page.execute_script("return models[0].reconstruction.nextSibling.textContent").endswith("from a sample")
    page.find_element("id", "mean").click()
    np.testing.assert_allclose(seen_z(page)[0], mean, atol=2e-3)
    assert bars(page) == before


@pytest.mark.parametrize("n_z", [5, *(pytest.param(n_z, marks=pytest.mark.slow) for n_z in (1, 2))])
def test_the_ellipse_is_that_of_the_posterior(open_explorer, tmp_path, n_z):
    """Of a drawing, on the page without test images: its points are one standard deviation from the mean."""
    browser = open_explorer()
    browser.find_element("id", "files").send_keys(
        "\n".join(map(str, checkpoints.files_of(write_network(tmp_path / "x", n_z)))))
    wait(browser, "models.length === 1 && !waiting")
    ellipse, std, axes, mean = browser.execute_script("""
        models[0].plane.axes = [[0.6, 0.8, 0, 0, 0], [0, 0, 0.6, 0.8, 0]].map(axis => axis.slice(0, arguments[0]));
        if (arguments[0] < 3) models[0].plane.axes = latentPlane(null, arguments[0]).axes;
        for (let i = 0; i < 9; i++) draw({ clientX: sketch.getBoundingClientRect().x + 40 + 10 * i,
                                           clientY: sketch.getBoundingClientRect().y + 30 + 8 * i });
        const { std, mean } = encode(models[0], seen.pixels);
        return [ellipse, Array.from(std), models[0].plane.axes.map(axis => Array.from(axis)), toMap(models[0], mean)];
        """, n_z)
    np.testing.assert_allclose(ellipse["centre"], mean)
    (long, short), angle = ellipse["radii"], ellipse["angle"]
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(turned @ np.diag([long**2, short**2]) @ turned.T,
                               axes @ np.diag(np.square(std)) @ np.transpose(axes), atol=1e-6)
    assert text(browser, "encoded").startswith("mean ")
    assert len(bars(browser)) == 3


@pytest.mark.slow
def test_two_models_have_their_own_losses(open_explorer, tmp_path):
    browser = open_explorer(PREFIX)
    choose_image(browser, NUMBER)
    browser.find_element("id", "files").send_keys(
        "\n".join(map(str, checkpoints.files_of(write_network(tmp_path / "x", 3)))))
    wait(browser, "models.length === 2 && !waiting")
    shown = bars(browser)
    assert [*shown] == [f"{letter}: {name}" for letter in "AB" for name in ("Recon_error", "KL + n_z", "ELBO")]
    assert [shown[f"{letter}: KL + n_z"][-4:] for letter in "AB"] == [" + 2", " + 3"]
    whites = browser.execute_script("return models.map(({ heat }) => heat.nextSibling.textContent.split('white: ')[1])")
    assert whites[0] == whites[1]
    losses = np.array(browser.execute_script(
        "return models.map(model => Array.from(pixelLosses(seen.pixels, decode(model, model.z))))"))
    for i in range(2):                                               # on one scale
        expected = (3 * 255 * losses[i] / losses.max()).clip(max=255)
        np.testing.assert_allclose(gray(browser, f"models[{i}].heat"), expected, atol=1)
    z, mean = browser.execute_script("return [models[1].z, encode(models[1], seen.pixels).mean].map(v => [...v])")
    assert z == mean                 # the image's own z, not that of the other model
    browser.find_element("id", "clear").click()
    assert bars(browser) == {}
