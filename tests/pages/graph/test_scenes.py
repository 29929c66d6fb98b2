"""The scenes, and what an address shows."""

import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import train
from tests.pages.helpers import changes_of_address, fragment_of, set_size, text, wait
from tests.small import ROOT
from vae_graph.pages import graph
from vae_graph.pages.scenes import scenes

SCENES = scenes(n_z=2)
NUMBERS = [scene.number for scene in SCENES]


@pytest.mark.parametrize("scene", SCENES, ids=NUMBERS)
def test_a_scenes_code_runs_and_is_what_it_fetches_and_feeds(built, scene, digits, in_tmp):
    """On TensorFlow, as the page prints it."""
    calls = []
    graph_, names = built

    class Recording(tf.Session):
        def run(self, fetches, feed_dict=None, **kwargs):
            calls.append((fetches, feed_dict or {}))
            return super().run(fetches, feed_dict, **kwargs)

    def name(item):
        return item if isinstance(item, str) else item.name

    images = digits.test.images[:4]
    with graph_.as_default(), tf.Session() as first:
        first.run(names["initializer"])
        with Recording() as session:
            tf.Session.run(session, names["initializer"])
            exec(scene.code, {**names, "session": session, "images": images, "np": np})
    [(fetches, feeds)] = calls
    assert [name(fetch) for fetch in (fetches if isinstance(fetches, list) else [fetches])] == scene.fetches
    feeds = {name(tensor): value for tensor, value in feeds.items()}
    assert feeds.keys() == scene.feeds.keys()
    for tensor, spec in scene.feeds.items():
        if spec == "images":
            assert feeds[tensor] is images
        elif spec == 0:
            np.testing.assert_array_equal(feeds[tensor], np.zeros((len(images), 2)))
        else:
            assert feeds[tensor] == spec


def test_the_guides_sections_lead_to_the_scenes_with_their_numbers():
    guide = (ROOT / "vae_graph" / "README.md").read_text(encoding="utf-8")
    linked = {}
    for section in re.split(r"^## (?=\d)", guide, flags=re.MULTILINE):
        for number in re.findall(r"graph\.html#scene-(\w+)", section):
            linked[number] = section.partition(".")[0]
    assert linked == {number: number.rstrip("b") for number in NUMBERS}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_scene_shows_its_fetches_and_feeds(open_page, number):
    browser = open_page(f"#scene-{number}")
    scene = SCENES[NUMBERS.index(number)]
    assert text(browser, "code") == scene.code
    assert text(browser, "errors") == text(browser, "unknown") == ""
    assert browser.execute_script("return location.hash") == f"#scene-{number}"
    assert browser.execute_script("return [run.fetches, [...run.feeds.keys()], run.selected.name]") == [
        scene.fetches, [*scene.feeds], scene.selected]
    results = browser.execute_script("return [...$('results').children].map(({ innerText }) => innerText)")
    assert len(results) == len(scene.fetches)
    assert all(("None" in result) == (":" not in name) for result, name in zip(results, scene.fetches, strict=True))
    assert "operations run, with graph optimization off" in text(browser, "counts")


@pytest.mark.slow
@pytest.mark.parametrize("n_z", [1, 5])
def test_each_scene_runs_for_other_sizes_and_a_single_image(browser, digits, tmp_path, n_z):
    prefix, _ = train(digits, tmp_path / "run", n_z=n_z, num_epoch=1, checkpoint_every=1)
    path = tmp_path / "graph.html"
    path.write_bytes(graph.page(prefix, digits.test.images[:1]))
    browser.get(path.as_uri())
    wait(browser, "session !== null && lines[0].row !== undefined")
    errors = browser.execute_script("""
        return data.scenes.flatMap(scene => {
          openScene(scene);
          return [...shown.errors, ...(sceneShown() === scene ? [] : [scene.number])];
        })""")
    assert errors == browser.get_log("browser") == []


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_fetched_fed_or_selected_is_in_view(open_page, number):
    browser = open_page(f"#scene-{number}")
    set_size(browser, 1280, 800)
    outside = browser.execute_script("""
        const shown = document.querySelectorAll(`#scenes, #scene-text, #code, #fetches, #feeds, #legend, #results,
            #counts, .row.fetched, .row.fed, .row[aria-current=true], #line-code`);
        return [...shown].filter(one => one.getBoundingClientRect().bottom > innerHeight)
            .map(({ id, className }) => id || className)""")
    set_size(browser, 1200, 900)
    assert outside == []


@pytest.mark.parametrize(("fragment", "sentence"), [
    ("#scene-1", "There is no scene 1: the scenes are 3, 4, 5, 6, 7, 7b, 8, 9, 10."),
    ("#fetch=nothing:0", "The graph has no nothing:0."), ("#fetch=add:1", "The graph has no add:1."),
    ("#scene-3&images=0,4", "Expected images=COUNT,FIRST with at most 10 of the 60 images, found 0,4."),
    ("#scene-3&drawn=0f", "Expected drawn= and 784 hexadecimal digits, found 2 characters."),
    ("#scene-3&drawn=" + 784 * "g", "Expected drawn= and 784 hexadecimal digits, found 784 characters."),
    ("#feed=add:0=x", "Expected a number or nested arrays to feed add:0, found x."),
    ("#feed=add:0=[[1],[2,3]]", "Expected a number or nested arrays to feed add:0, found [[1],[2,3]]."),
    ('#feed=add:0="images"', 'Expected a number or nested arrays to feed add:0, found "images".')])
def test_an_unknown_address_is_said(open_page, fragment, sentence):
    assert text(open_page(fragment), "unknown") == sentence


def test_a_selected_line_is_shown_though_its_caller_does_not_run(open_page):
    browser = open_page('#fetch=encoder_hidden_1/Elu:0&feed=input_data:0="images"&selected=decoder_hidden_1_1/MatMul')
    assert browser.find_element("css selector", ".row[aria-current=true]").is_displayed()


def test_the_code_is_about_the_images_that_are_fed(open_page):
    assert text(open_page("#scene-7b&images=2,0"), "code").endswith('"random_normal:0": np.zeros([2, 2])})')


def test_the_chosen_images_are_in_the_address(open_page):
    browser = open_page("#scene-3&images=2,7")
    assert browser.execute_script("return [images.count, images.first, location.hash]") == [
        2, 7, "#scene-3&images=2%2C7"]
    assert open_page("#scene-3").execute_script("return images.count") == 4
    browser.execute_script("flipFetch('clip_by_value:0'); images.count = 3; refresh()")
    browser = open_page(fragment_of(browser))
    assert browser.execute_script("return [images.count, run.fetches.length]") == [3, 3]


def test_back_leads_to_the_scene_before(open_page):
    browser = open_page("#scene-3")
    for number in (5, 7):
        browser.find_element("xpath", f"//ul[@id='scenes']//button[starts-with(., '{number} ')]").click()
    browser.execute_script("lines[4].row.click(); flipFetch('add:0')")
    assert fragment_of(browser).startswith("#fetch=")
    assert text(browser, "scene-text") == f"Changed from scene 7. {SCENES[NUMBERS.index('7')].text}"
    for number in (7, 5, 3):
        browser.back()
        wait(browser, f"sceneShown()?.number === '{number}'")
    browser.execute_script("location.hash = '#fetch=add:0'")
    wait(browser, "$('scene-text').textContent.startsWith('Your own run.')")


def test_the_address_changes_no_more_often_than_browsers_accept(open_page):
    browser = open_page("#scene-3")
    fragment_of(browser)
    assert changes_of_address(browser, "for (let i = 0; i < 300; i++) { images.count = 1 + i % 9; refresh(); }") == 2
    assert fragment_of(browser).endswith("&images=3%2C0")


def test_own_fetches_and_feeds_are_in_the_address(open_page):
    browser = open_page("#scene-3")
    browser.execute_script("""
        flipFetch("clip_by_value:0"); flipFetch("add_5:0"); flipFeed("add:0"); flipFeed("encoder_hidden_1/Elu:0");
        run.feeds.get("dropout_rate:0").spec = 0.5; select(producer("decoder_hidden_1/Elu"));""")
    shown = """const feeds = [...run.feeds].map(([name, { spec }]) => [name, spec]);
        return [run.fetches, feeds, run.selected.name, $('errors').textContent]"""
    before = browser.execute_script(shown)
    fetches, (*_, (z, _), hidden), selected, errors = before
    assert (fetches, z, hidden) == (["add:0", "clip_by_value:0"], "add:0", ["encoder_hidden_1/Elu:0", "value"])
    assert (selected, errors) == ("decoder_hidden_1/Elu", "")
    assert open_page(fragment_of(browser)).execute_script(shown) == before
