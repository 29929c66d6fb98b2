"""The means at earlier checkpoints of a training: in the page, and with its slider, in headless Chromium."""

import base64

import numpy as np
import pytest

from tests.helpers import flip_a_byte, write_network
from tests.pages.helpers import numbers_of, text, wait
from vae_graph import checkpoints, pictures
from vae_graph.pages import explorer


def write_training(folder, n_z, epochs):
    """Networks that have nothing to do with each other, in place of a training: the last prefix, and all by epoch."""
    for epoch in epochs:
        write_network(folder / f"parameter{epoch}.ckpt", n_z, seed=epoch)
    training = checkpoints.by_epoch(folder)
    return [*training.values()][-1], training


def film_of(digits, prefix, training):
    page = explorer.page([prefix], digits.test.images, digits.test.digits, "digits", training=training)
    return numbers_of(page)["models"][0]["film"]


@pytest.mark.parametrize("n_z", [5, *(pytest.param(n_z, marks=pytest.mark.slow) for n_z in (1, 2))])
def test_the_page_shows_the_means_of_each_epoch(browser, tmp_path, digits, n_z):
    prefix, training = write_training(tmp_path, n_z, (0, 3, 12))
    images = digits.test.images
    path = tmp_path / "explorer.html"
    path.write_bytes(explorer.page([prefix], images, digits.test.digits, "digits", training=training))
    browser.get(path.as_uri())
    wait(browser, "images !== null && !waiting")
    assert text(browser, "epoch") == "after epoch 12"
    assert browser.find_element("id", "of-nearest").is_displayed()
    origin, axes = pictures.latent_plane(pictures.means(prefix, images)) if n_z > 2 else (0, np.eye(2, n_z))
    for frame, epoch in enumerate(training):
        dots = np.reshape(browser.execute_script("""
            $('film').value = arguments[0];
            $('film').dispatchEvent(new Event('input'));
            const own = drawDots;
            let drawn;
            drawDots = (pen, dots) => { drawn = Array.from(dots); };
            drawBackground();
            drawDots = own;
            return drawn;""", frame), (-1, 2))
        assert text(browser, "epoch") == f"after epoch {epoch}"
        wait(browser, "!waiting")                        # the nearest of the last epoch is elsewhere on an earlier map
        assert browser.find_element("id", "of-nearest").is_displayed() == (epoch == 12)
        expected = (pictures.means(training[epoch], images) - origin) @ axes.T
        places = np.array(browser.execute_script(
            "return arguments[0].map(([a, b]) => [fromLeft(a) / side, fromTop(b) / side])", dots.tolist()))
        assert places.min() > 0
        assert places.max() < 1                          # all dots are in view, at each epoch
        coordinates = 1 if n_z == 1 else 2               # a row for each digit instead of the second
        np.testing.assert_allclose(dots[:, :coordinates], expected[:, :coordinates], atol=0.01)
        if n_z == 1:
            assert len(np.unique(dots[:, 1])) == 10


def test_at_most_eleven_epochs_are_shown_from_the_first_to_the_last(tmp_path, digits, monkeypatch):
    prefix, training = write_training(tmp_path, 2, (38,))
    training = {epoch: str(tmp_path / f"parameter{epoch}.ckpt") for epoch in range(0, 40, 2)}
    read = []

    def means(prefix, images):               # reading eleven networks takes too long
        read.append(prefix)
        return np.random.default_rng(len(read)).normal(size=(len(images), 2)).astype(np.float32)
    monkeypatch.setattr(pictures, "means", means)
    film = film_of(digits, prefix, training)
    assert film["epochs"] == [0, 2, 6, 10, 14, 18, 22, 26, 30, 34, 38]
    assert [*map(training.get, film["epochs"])] == [*read[1:], read[0]]
    places = np.frombuffer(base64.b64decode(film["places"]), "<i2")
    assert places.shape == (10 * 60 * 2,)
    assert np.abs(places).max() == 2**15 - 1


def test_checkpoints_that_are_invalid_or_of_another_latent_space_are_left_out(tmp_path, digits):
    prefix, training = write_training(tmp_path, 2, (0, 1, 2, 3))
    flip_a_byte(tmp_path / "parameter0.ckpt.data-00000-of-00001")
    write_network(tmp_path / "parameter1.ckpt", n_z=3)
    assert film_of(digits, prefix, training)["epochs"] == [2, 3]
    assert film_of(digits, training[2], training) is None            # nothing is left before it
    assert film_of(digits, prefix, {}) is None
    assert film_of(digits, prefix, {0: training[2]}) is None         # of another training
