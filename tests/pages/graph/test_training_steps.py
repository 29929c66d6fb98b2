"""Runs that change variables, and their undoing."""

import numpy as np
import tensorflow.compat.v1 as tf

from tests.numpy_network import PREFIX
from tests.pages.helpers import text, values_of, wait
from vae_graph import checkpoints


def test_training_steps_lower_the_loss_and_can_be_undone(open_page):
    browser = open_page("#scene-9")
    checksums = """return Object.fromEntries([...session.variables].map(([name, { data }]) =>
        [name, Array.from(data).reduce((sum, x, i) => sum + x * (i % 97 + 1), 0)]))"""
    before = browser.execute_script(checksums)
    assert len(before) == 39
    assert not browser.find_element("id", "undo").is_enabled()
    assert not browser.find_element("id", "chart").is_displayed()
    browser.find_element("id", "ten").click()
    wait(browser, "!remaining")
    assert browser.find_element("id", "chart").is_displayed()
    after, losses = browser.execute_script(checksums), browser.execute_script("return losses")
    assert after["Variable"] == 10
    assert len(losses) == 11
    assert losses[-1] < losses[0]
    assert all(after[name] != value for name, value in before.items())
    assert text(browser, "undo") == "Undo train_op and ELBO (10 times)"
    noise = values_of(browser, "random_normal:0")
    browser.find_element("id", "again").click()
    assert browser.execute_script(checksums)["Variable"] == 11
    assert np.abs(values_of(browser, "random_normal:0") - noise).max() > 0.01
    for expected, n_losses in ((after, 11), (before, 1)):
        browser.find_element("id", "undo").click()
        assert browser.execute_script(checksums) == expected
        assert browser.execute_script("return losses.length") == n_losses
    assert not browser.find_element("id", "undo").is_enabled()


def test_a_hundred_steps_are_seen_and_end_with_what_is_chosen_next(open_page):
    browser = open_page("#scene-9")
    points = "return document.querySelectorAll('#chart circle').length"
    undo = browser.execute_script("$('hundred').click(); return [$('undo').textContent, $('undo').disabled]")
    assert undo == ["Undo train_op and ELBO", False]                 # from the first run on
    wait(browser, "past[0].times > 3")
    assert 3 < browser.execute_script(points) <= 101
    browser.find_element("id", "undo").click()
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert browser.execute_script("return [remaining, scalar(session.variables.get('Variable'))]") == [0, 0]
    browser.find_element("id", "hundred").click()
    wait(browser, "past[0].times > 1")
    browser.find_element("id", "again").click()
    n, step = browser.execute_script("return [past[0].times, scalar(session.variables.get('Variable'))]")
    assert (browser.execute_script("return past.length"), step) == (2, n + 1)
    browser.find_element("id", "undo").click()
    assert text(browser, "undo") == f"Undo train_op and ELBO ({n} times)"


def test_losses_are_of_the_images_that_are_shown(open_page):
    browser = open_page("#scene-9")
    same = "return losses.length === 1 && losses[0] === measure()"
    browser.execute_script("runSteps(1); openScene(sceneShown()); images.first = 7; openScene(sceneShown()); undo()")
    assert browser.execute_script(same)
    browser.execute_script("runSteps(1)")
    field = browser.find_element("css selector", "[aria-label='First test image']")
    field.send_keys("\b3\t")
    wait(browser, "!isScheduled")
    assert browser.execute_script(same)
    slider = "const field = document.querySelector('#feeds [type=range]'); field.value = 0.9;"
    browser.execute_script(f"runSteps(9); {slider} field.dispatchEvent(new Event('input'))")
    wait(browser, "!isScheduled")
    assert browser.execute_script("return [remaining, past.at(-1).times, losses.length]") == [0, 1, 2]


def test_after_an_undo_there_is_no_last_change(open_page):
    browser = open_page("#scene-9")
    changes = "return [...$('variables').querySelectorAll('tr td:nth-child(3)')].map(({ textContent }) => textContent)"
    browser.execute_script("runSteps(1)")
    assert all(float(change) > 0 for change in browser.execute_script(changes))
    browser.execute_script("undo()")
    assert [float(change) for change in browser.execute_script(changes)] == [0] * 12


def test_a_loss_that_is_not_finite_is_not_drawn(open_page):
    browser = open_page("#scene-9")
    browser.execute_script("run.feeds.get('dropout_rate:0').spec = 0; runSteps(2)")
    wait(browser, "!remaining")
    assert "NaN" in text(browser, "losses")                          # and the console stays empty
    assert not browser.find_element("id", "chart").is_displayed()


def test_only_training_steps_are_repeated(open_page):
    for number, is_offered in (("3", False), ("8", False), ("9", True), ("10", False)):
        assert open_page(f"#scene-{number}").find_element("id", "ten").is_displayed() == is_offered


def test_changed_weights_are_said_and_undone_in_any_scene(open_page):
    browser = open_page("#scene-10")
    assert not browser.find_element("id", "undo").is_enabled()
    browser.execute_script("openScene(data.scenes.find(({ number }) => number === '8')); runSteps(1)")
    browser.execute_script("openScene(data.scenes[0])")
    assert text(browser, "name").endswith(".ckpt, changed")
    browser.find_element("id", "undo").click()
    assert text(browser, "name").endswith(".ckpt")
    assert not browser.find_element("id", "undo").is_displayed()


def test_looking_at_a_training_step_changes_no_variable(open_page):
    browser = open_page("#scene-9")
    gradient = "gradients/decoder_output/MatMul_grad/MatMul_1:0"
    assert browser.execute_script(f"return shown.values.get('{gradient}').shape") == [12, 784]
    assert browser.execute_script("return scalar(session.variables.get('Variable'))") == 0


def test_what_the_saver_writes_can_be_restored(open_page):
    browser = open_page("#scene-10")
    assert browser.execute_script("return session.files.size") == 0
    browser.find_element("id", "again").click()
    names = browser.execute_script("return [...session.files.get('parameter0.ckpt').keys()]")
    assert names == [name for name, _ in tf.train.list_variables(PREFIX)]
    assert text(browser, "counts").endswith(". Saved: parameter0.ckpt")
    browser.execute_script("openRun({ fetches: ['init'], feeds: [] }); runSteps(1)")
    weights = checkpoints.read_network(PREFIX)[1]["encoder_hidden_1/w1"].astype(np.float16).ravel()
    drawn = values_of(browser, "encoder_hidden_1/w1", "session.variables")
    assert np.abs(drawn - weights).max() > 0.01
    assert np.abs(drawn).max() <= np.sqrt(6 / (784 + 16))
    browser.execute_script(
        "openRun({ fetches: ['save/restore_all'], feeds: [['save/Const:0', 'parameter0.ckpt']] }); runSteps(1)")
    np.testing.assert_array_equal(values_of(browser, "encoder_hidden_1/w1", "session.variables"), weights)
