"""Stepping, searching, folding, the keyboard."""

import re

import pytest

from tests.pages.helpers import set_size, text, wait


def test_stepping_goes_on_from_the_selection_and_is_announced(open_page):
    browser = open_page("#scene-3")
    browser.execute_script("select(producer('decoder_hidden_1/Elu'))")
    names = []
    for button in ("next", "next", "previous"):
        browser.find_element("id", button).click()
        names.append(text(browser, "operation-name"))
    order = browser.execute_script("return shown.order.map(({ name }) => name)")
    at = order.index("decoder_hidden_1/Elu")
    assert names == [order[at + 1], order[at + 2], order[at + 1]]
    assert text(browser, "announcement") == (f"Step {at + 2} of 136: {names[0]}, Const, []. model.py:66")
    browser.execute_script("select(producer('gradients/add_5_grad/tuple/group_deps'))")      # which does not run
    browser.find_element("id", "previous").click()
    assert text(browser, "operation-name") == order[-1]
    browser.execute_script("$('speed').value = 10; select(shown.order[3])")
    browser.find_element("id", "play").click()
    wait(browser, "shown.order.indexOf(run.selected) >= 6")
    browser.find_element("id", "play").click()
    assert browser.execute_script("return timer") is None


def test_a_step_shows_what_has_run_so_far(open_page):
    browser = open_page("#scene-3")
    rows = """return lines.map(({ row, parts }) => [parts.count.textContent, row.classList.contains('none'),
                                                      parts.picture.innerText + parts.picture.childElementCount])"""
    before = browser.execute_script(rows)
    assert text(browser, "step") == "136 steps"
    browser.execute_script("$('position').value = 30; $('position').dispatchEvent(new Event('input'))")
    found = browser.execute_script(rows)
    assert text(browser, "step") == "30 of 136"
    assert found[2][0] == "30/220"
    assert text(browser, "results") == "ELBO z "
    # A variable has its value before it is read.
    assert browser.execute_script("return valueOf('decoder_output/MatMul/ReadVariableOp:0')?.shape") == [12, 784]
    browser.execute_script("goTo(shown.order.indexOf(producer('encoder_hidden_1/MatMul')))")
    boxes = browser.execute_script("""return [...document.querySelectorAll('#graph g:not(.link)')].map(box =>
        [box.getAttribute('aria-label'), box.classList.contains('runs')])""")
    assert ["MatMul MatMul, runs", True] in boxes
    assert ["Elu Elu, runs later", False] in boxes
    browser.execute_script("openScene(data.scenes.find(({ number }) => number === '9')); goTo(0)")
    assert text(browser, "results").startswith("train_op ELBO")
    groups = "mark(producer('Adam')); return $('group-list').querySelectorAll('.all, .some').length"
    assert browser.execute_script(groups) == 0
    browser.execute_script("openScene(data.scenes[0]); goTo(29)")
    last = browser.execute_script("return lines.findIndex(({ code }) => code.startsWith('ELBO ='))")
    assert (before[last][0], found[last]) == ("1", ["0/1", True, "0"])
    browser.execute_script("select(producer('encoder_hidden_1/Elu'))")
    assert browser.execute_script(rows) == before


def test_from_the_last_operation_of_a_whole_run_the_first_step_is_the_next(open_page):
    browser = open_page("#scene-7")                                  # where the last is selected
    browser.find_element("id", "next").click()
    assert text(browser, "step") == "1 of 45"
    assert re.search(r"4 of 4 operations run, \d of them later\.$", browser.execute_script(
        "mark(producer('clip_by_value')); return $('line-why').textContent"))
    browser.execute_script("goTo(44)")
    assert not browser.find_element("id", "next").is_enabled()


def test_another_line_is_shown_from_its_beginning(open_page):
    browser = open_page("#scene-9")
    set_size(browser, 1280, 800)
    browser.execute_script("$('details').scrollTop = 200")
    browser.execute_script("lines[4].row.click()")
    scrolled = browser.execute_script("return $('details').scrollTop")
    set_size(browser, 1200, 900)
    assert scrolled == 0


@pytest.mark.parametrize(("words", "name"), [
    ("ELBO", "add_5"), ("h4", "decoder_hidden_1/Elu"), ("w6", "decoder_output/w6"), ("global_step", "Variable"),
    ("encoder_z/b3/Adam_1", "encoder_z/b3/Adam_1"), ("random_normal:0", "random_normal"),
    ("sigmoidgrad", "gradients/decoder_output/Sigmoid_grad/SigmoidGrad")])
def test_an_operation_is_found_by_its_name(opened, words, name):
    opened.execute_script("$('search').value = arguments[0]; $('search').dispatchEvent(new Event('change'))", words)
    assert text(opened, "operation-name") == name
    assert opened.execute_script("return $('search').value") == ""           # it can be searched again


def test_a_line_folds_and_what_is_in_it_is_found(opened):
    rows = "return lines.filter(({ row }) => row.checkVisibility()).length"
    before = opened.execute_script(rows)
    opened.execute_script("lines.find(({ code }) => code.startsWith('mean, std')).row.previousSibling.click()")
    assert opened.execute_script(rows) == before - 7
    opened.execute_script("select(producer('encoder_z/Softplus'))")
    assert opened.execute_script(rows) == before
    opened.execute_script("lines.find(({ code }) => code.startsWith('mean, std')).row.previousSibling.click()")
    reachable = "return lines.filter(({ row }) => row.tabIndex === 0).map(({ row }) => row.checkVisibility())"
    assert opened.execute_script(reachable) == [True]                # by Tab, though the selected line is folded


def test_the_keyboard_moves_through_the_lines(open_page):
    from selenium.webdriver.common.keys import Keys

    browser = open_page("#scene-3")
    browser.execute_script("document.querySelector('.row[aria-current=true]').focus()")
    for key, code in ((Keys.ARROW_DOWN, "X_out = Bernoulli_decoder("), (Keys.ARROW_UP, "z = mean +")):
        browser.switch_to.active_element.send_keys(key)
        assert code in browser.switch_to.active_element.text
        assert code in text(browser, "line-code")


def test_the_focus_stays_where_a_key_is_pressed(open_page):
    from selenium.webdriver.common.keys import Keys

    browser = open_page("#scene-3")
    for button in ("#outputs button[aria-label='fetch add:0']", "#scenes li:nth-child(5) button", "#graph g.runs"):
        browser.execute_script("document.querySelector(arguments[0]).focus()", button)
        label = browser.switch_to.active_element.text
        browser.switch_to.active_element.send_keys(Keys.ENTER)
        assert browser.switch_to.active_element.text == label
    assert browser.execute_script("return location.hash.startsWith('#scene-7') && run.fetches.length") == 1
    browser = open_page("#scene-3")
    browser.find_element("css selector", "[aria-label='Number of images']").send_keys(Keys.BACKSPACE, "2", Keys.TAB)
    wait(browser, "!isScheduled")
    assert browser.switch_to.active_element.get_attribute("aria-label") == "First test image"
