"""Fetches and feeds: chosen, changed, refused."""

import re

import numpy as np
import pytest

from tests.pages.helpers import fragment_of, text, values_of, wait


def test_tensorflows_errors_are_shown(opened):
    opened.execute_script("openRun({ fetches: ['add_5:0'], feeds: [], selected: null })")
    assert text(opened, "errors").splitlines() == [
        "You must feed a value for placeholder tensor 'input_data' with dtype float and shape [?,784]",
        "You must feed a value for placeholder tensor 'dropout_rate' with dtype float"]
    assert not opened.find_element("id", "again").is_enabled()
    assert text(opened, "legend").strip().startswith("all would run")
    colour = "return getComputedStyle(document.querySelector('.row.all .count')).backgroundColor"
    would_run = opened.execute_script(colour)
    for button in opened.find_elements("css selector", "#missing button"):
        assert re.match("Feed (X|keep_prob)$", button.text)
    opened.execute_script("[...$('missing').children].forEach(button => button.click())")
    assert text(opened, "errors") == ""
    assert opened.execute_script("return [...run.feeds.keys()]") == ["input_data:0", "dropout_rate:0"]
    opened.execute_script("openScene(data.scenes[0])")
    assert text(opened, "legend").strip().startswith("all run")
    assert opened.execute_script(colour) != would_run
    noise = "openRun({ fetches: ['mul:0'], feeds: [['encoder_z/add_1:0', [[1, 1], [1, 1]]], ['random_normal:0', %s]] })"
    for value, error in (([[0, 0]], ""), ([[0, 0]] * 3, "mul: Incompatible shapes: [2,2] vs. [3,2]"), ([[0, 0, 0]], (
            "Cannot feed value of shape (1, 3) for Tensor random_normal:0, which has shape (None, 2)"))):
        opened.execute_script(noise % value)
        assert text(opened, "errors") == error
    opened.execute_script("openRun({ fetches: ['save/restore_all'], feeds: [] })")
    assert "Failed to find any matching files for model" in text(opened, "errors")


def test_an_error_of_two_draws_is_said_once_and_a_run_clears_other_messages(opened):
    opened.execute_script("""
        const feeds = [['encoder_z/add_1:0', [[1, 1], [1, 1]]], ['random_normal:0', [[0, 0, 0]]]];
        openRun({ fetches: ['mul:0'], feeds });
        isTwice = true; refresh(); $('unknown').textContent = 'x';""")
    assert len(text(opened, "errors").splitlines()) == 1
    opened.execute_script("runAgain()")
    assert (len(text(opened, "errors").splitlines()), text(opened, "unknown")) == (1, "")


@pytest.mark.parametrize("name", ["value", "images"])
def test_a_text_that_is_fed_is_taken_as_it_is(open_page, name):
    browser = open_page("#scene-10")
    browser.execute_script("""
        const field = $("feeds").querySelector("input");
        field.value = arguments[0];
        field.dispatchEvent(new Event("change"));""", name)
    wait(browser, "!isScheduled")
    assert browser.execute_script("return shown.values.get('save/Const:0').data") == [name]
    assert text(browser, "code").endswith(f'{{"save/Const:0": "{name}"}})')
    assert open_page(fragment_of(browser)).execute_script(
        "return $('feeds').querySelector('input').value") == name


def test_an_emptied_field_shows_again_what_is_fed(open_page):
    from selenium.webdriver.common.keys import Keys

    browser = open_page("#scene-7")
    field = browser.find_element("css selector", "#feeds input[type=number]")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(Keys.BACKSPACE, Keys.TAB)
    assert field.get_attribute("value") == "0.5"
    assert browser.execute_script("return run.feeds.get('add:0').spec") == [[0.5, -1]]


def test_what_is_fed_can_be_fetched(opened):
    opened.execute_script("openRun({ fetches: ['add:0'], feeds: [['add:0', [[0.5, -1]]]] })")
    assert opened.execute_script("return $('results').textContent") == "z [[0.5000, -1]]"
    assert text(opened, "counts").startswith("0 of ")


def test_fetches_and_feeds_are_chosen_by_clicks(opened):
    opened.execute_script("openRun({ fetches: [], feeds: [] }); select(producer('clip_by_value'))")
    fetch = "[...$('outputs').querySelectorAll('button')].find(({ textContent }) => textContent === 'fetch').click()"
    opened.execute_script(fetch)
    assert opened.execute_script("return run.fetches") == ["clip_by_value:0"]
    feed = fetch.replace("'fetch'", "'feed'")
    opened.execute_script("select(producer('add'))")
    opened.execute_script(feed)
    opened.execute_script("select(producer('dropout_rate'))")
    opened.execute_script(feed)
    assert opened.execute_script("return [...run.feeds.keys()]") == ["add:0", "dropout_rate:0"]
    assert text(opened, "errors") == ""
    opened.execute_script("$('feeds').querySelector('button').click(); $('fetches').querySelector('button').click()")
    assert opened.execute_script("return [run.fetches, [...run.feeds.keys()]]") == [[], ["dropout_rate:0"]]


def test_a_slider_changes_what_is_computed(open_page):
    browser = open_page("#scene-7")
    before = browser.execute_script("return Array.from(shown.values.get('clip_by_value:0').data)")
    browser.execute_script("""
        const slider = document.querySelector("#feeds input[type=range]");
        slider.value = 2;
        slider.dispatchEvent(new Event("input"));""")
    wait(browser, "!isScheduled")
    assert browser.execute_script("return [run.feeds.get('add:0').spec, $('code').textContent]") == [
        [[2, -1]], "session.run(X_out, {z: [[2,-1]], keep_prob: 1})"]
    after = browser.execute_script("return Array.from(shown.values.get('clip_by_value:0').data)")
    assert np.abs(np.subtract(after, before)).max() > 0.01
    browser.find_element("css selector", "#feeds [title='Feed 0 for add:0']").click()
    wait(browser, "!isScheduled")
    assert browser.execute_script("""return [run.feeds.get('add:0').spec,
        [...document.querySelectorAll("#feeds input[type=range]")].map(({ value }) => value)]""") == [
        [[0, 0]], ["0", "0", "1"]]


def test_the_noise_is_drawn_again_fed_or_drawn_twice(open_page):
    browser = open_page("#scene-3")
    first = values_of(browser, "add:0")
    browser.find_element("id", "again").click()
    assert np.abs(values_of(browser, "add:0") - first).max() > 0.01
    browser.find_element("id", "twice").click()
    assert np.abs(values_of(browser, "add:0") - values_of(browser, "add:0", "shown.again")).max() > 0.01
    assert " and " in text(browser, "results")
    browser.find_element("id", "noise").click()
    assert text(browser, "code").endswith('"random_normal:0": np.zeros([4, 2])})')
    np.testing.assert_array_equal(values_of(browser, "add:0"), values_of(browser, "encoder_z/strided_slice:0"))


def test_random_numbers_are_of_their_distributions(opened):
    uniform, normal = (np.array(opened.execute_script(f"""
        const operation = producer("random_normal/RandomStandardNormal");
        return Array.from(OPERATIONS.{kind}([vector([20000])], operation, session).data)"""))
        for kind in ("RandomUniform", "RandomStandardNormal"))
    assert 0 <= uniform.min() < 0.01
    assert 0.99 < uniform.max() < 1
    assert uniform.mean() == pytest.approx(0.5, abs=0.01)
    assert normal.mean() == pytest.approx(0, abs=0.03)
    assert normal.std() == pytest.approx(1, abs=0.03)
    assert np.corrcoef(normal[1:], normal[:-1])[0, 1] == pytest.approx(0, abs=0.03)


def test_images_are_chosen_and_drawn(open_page, digits):
    from selenium.webdriver import ActionChains

    browser = open_page("#scene-3")
    for field, value in enumerate((2, 7)):
        browser.execute_script("""
            const field = document.querySelectorAll("#feeds input[type=number]")[arguments[0]];
            field.value = arguments[1];
            field.dispatchEvent(new Event("change"));""", field, value)
        wait(browser, "!isScheduled")
    np.testing.assert_allclose(values_of(browser, "input_data:0").reshape(2, 784), digits.test.images[7:9], atol=1e-6)
    browser.execute_script(
        "[...document.querySelectorAll('#feeds button')].find(({ textContent }) => textContent === 'Draw').click()")
    wait(browser, "document.querySelector('.sketch') !== null")
    sketch = browser.find_element("class name", "sketch")
    stroke = ActionChains(browser).move_to_element_with_offset(sketch, 0, -30).click_and_hold().move_by_offset(0, 60)
    stroke.release().perform()
    wait(browser, "!isScheduled")
    drawn = values_of(browser, "input_data:0").reshape(28, 28)
    assert drawn[8:20, 13:15].min() > 0.5
    assert drawn[:, :8].max() == 0
    outside = browser.find_element("id", "code")                     # a stroke begins in the field, where it is pressed
    stroke = ActionChains(browser).move_to_element(outside).click_and_hold().move_to_element(sketch).release()
    stroke.move_to_element_with_offset(sketch, 40, 0).click_and_hold().move_by_offset(0, 10).release().perform()
    wait(browser, "!isScheduled")
    after = values_of(browser, "input_data:0").reshape(28, 28)
    assert (after[:, :16] == drawn[:, :16]).all()
    assert (after > drawn).sum() > 3
    assert (after > drawn)[:, 16:20].sum() == 0                      # no line from one stroke to the other
    restored = open_page(fragment_of(browser))
    assert (values_of(restored, "input_data:0").reshape(28, 28) == after).all()
    assert text(restored, "code") == "session.run([ELBO, z], {X: images, keep_prob: 1})"
    restored.execute_script("images.count = 2; openScene(data.scenes[0])")   # whose code feeds `images`
    assert values_of(browser, "input_data:0").size == 2 * 784
