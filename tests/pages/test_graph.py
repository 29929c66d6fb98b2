"""The graph page: its scenes, the lines of code and their operations, feeds, training steps, addresses."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import train
from tests.numpy_network import PREFIX
from tests.pages.helpers import numbers_of, text, wait
from tests.small import ROOT
from vae_graph import checkpoints, model
from vae_graph.pages import graph, program
from vae_graph.pages.scenes import scenes
from vae_graph.settings import Settings

COMMITTED = ROOT / "figures" / "reference" / "checkpoint" / "graph.html"
SCENES = scenes(n_z=2)
NUMBERS = [scene.number for scene in SCENES]


@pytest.fixture(scope="module")
def page(digits):
    return graph.page(PREFIX, digits.test.images)


@pytest.fixture(scope="module")
def path(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "graph.html"
    path.write_bytes(page)
    return path


@pytest.fixture
def open_page(browser, path):
    """Opens the page at a fragment; its console must stay empty."""
    def open_page(fragment=""):
        browser.get("about:blank")
        browser.get(path.as_uri() + fragment)
        wait(browser, "session !== null && lines[0].row !== undefined")
        return browser

    yield open_page
    assert browser.get_log("browser") == []


@pytest.fixture
def opened(open_page):
    return open_page()


@pytest.fixture(scope="module")
def built():
    """The graph of the page, and what the program's names stand for."""
    with tf.Graph().as_default() as built:
        tf.set_random_seed(0)
        names = program.build(784, 16, 2, 12)
    return built, names


# ---- The graph and its lines.

def test_every_operation_is_there_with_its_inputs(page, built):
    found = numbers_of(page)["operations"]
    assert [operation["name"] for operation in found] == [op.name for op in built[0].get_operations()]
    sigmoid = next(operation for operation in found if operation["name"] == "decoder_output/Sigmoid")
    assert (sigmoid["type"], sigmoid["inputs"]) == ("Sigmoid", ["decoder_output/add:0"])
    assert sigmoid["outputs"] == [{"dtype": "float32", "shape": [None, 784]}]


@pytest.mark.slow
def test_the_operations_are_described_alike_each_time(page):
    """Two graphs: the order in which an operation lists its control inputs differs."""
    again = graph.graph_data(checkpoints.LayerSizes(784, 16, 2, 12))
    assert json.loads(json.dumps(again["operations"])) == numbers_of(page)["operations"]


def test_the_learning_rate_is_that_of_a_run(built):
    values = {op.name: tf.make_ndarray(op.get_attr("value")) for op in built[0].get_operations() if op.type == "Const"}
    assert values["ExponentialDecay/initial_learning_rate"] == np.float32(Settings.learning_rate)


@pytest.mark.parametrize(("name", "calls"), [
    ("input_data", ["X = tf.placeholder"]),
    ("encoder_hidden_1/Elu", ["Variational_autoencoder(", "= gaussian_encoder(", 'h1 = tf.nn.elu(affine(X, "w1",']),
    ("encoder_hidden_1/MatMul", ["Variational_autoencoder(", "= gaussian_encoder(", "h1 = tf.nn.elu(affine("]),
    ("encoder_z/Softplus", ["Variational_autoencoder(", "= gaussian_encoder(", "std = tf.nn.softplus(h3[:, n_z:])"]),
    ("decoder_output_1/Sigmoid", ["decoded = Bernoulli_decoder(any_z,", "X_out = tf.nn.sigmoid("]),
    ("Log_1", ["Variational_autoencoder(", "likelihood = tf.reduce_mean(log_likelihood(X, X_out))"]),
    ("add_5", ["Variational_autoencoder(", "ELBO = Recon_error + Regularization_error"]),
    ("gradients/add_5_grad/tuple/group_deps", [".minimize(ELBO, global_step=global_step)"]),
    ("save/SaveV2", ["saver = tf.train.Saver()"])])
def test_an_operation_belongs_to_the_lines_that_made_it(page, name, calls):
    data = numbers_of(page)
    [number] = [operation["line"] for operation in data["operations"] if operation["name"] == name]
    found = []
    while number is not None:
        line = data["lines"][number]
        found.insert(0, line)
        number = line["caller"]
    assert len(found) == len(calls)
    for line, code in zip(found, calls, strict=True):
        source = Path({"model.py": model, "program.py": program}[line["file"]].__file__).read_text(encoding="utf-8")
        assert code in line["code"]
        assert source.splitlines()[line["number"] - 1].strip()[:20] == line["code"][:20]


def test_no_more_than_thirty_operations_are_drawn_together(page):
    data = numbers_of(page)
    together = {}
    for operation in data["operations"]:
        together.setdefault((operation["line"], operation.get("group")), []).append(operation["name"])
    assert max(map(len, together.values())) <= 30
    groups = {name: group for (_, group), names in together.items() for name in names}
    assert groups["gradients/decoder_output/MatMul_grad/MatMul_1"] == "decoder_output/w6"
    assert groups["decoder_output/w6/Adam_1/Assign"] == "decoder_output/w6"
    assert groups["Adam/update_decoder_output/w6/ResourceApplyAdam"] == "decoder_output/w6"
    assert groups["gradients/encoder_hidden_1/Elu_grad/EluGrad"] == "encoder_hidden_1/Elu"
    assert groups["Adam"] == groups["beta1_power"] == "Adam"


def test_lines_say_whether_they_run_and_why(open_page):
    browser = open_page("#scene-7")
    found = browser.execute_script("""return lines.map(({ code, depth, reason, operations }) =>
        [`${code.slice(0, 22)} ${depth}`, reason.count, operations.length, reason.why])""")
    rows = {line: tuple(reason) for line, *reason in found}
    assert rows["h1 = tf.nn.elu(affine( 2"] == (0, 21, "z fed")
    assert rows["z = mean + std * tf.ra 1"] == (0, 8, "fed")
    assert rows["X_out = tf.clip_by_val 1"] == (4, 4, "for X_out")
    assert rows["h4 = tf.nn.elu(affine( 1"] == (0, 5, "not needed")
    assert rows["h4 = tf.nn.elu(affine( 2"] == (7, 21, "for X_out")
    browser = open_page("#scene-3")
    assert browser.execute_script("return lines.find(({ code }) => code.startsWith('h1')).reason") == {
        "count": 7, "why": "for all fetches", "sentence": "Runs because ELBO and z need it.",
        "isFed": False, "isFetched": False}


@pytest.mark.slow
def test_boxes_do_not_overlap_and_edges_pass_behind_none(opened):
    """In the graph of every line and group, whole and as far as it runs."""
    drawings = opened.execute_script("""
        const found = [], seen = new Set();
        for (const scene of data.scenes) {
          openScene(scene);
          for (const operation of operations.values()) {
            for (const line of lines.filter(({ operations }) => operations.includes(operation))) {
              const isCall = line.calls.length, isTogether = ({ group }) => isCall || group === operation.group;
              const all = line.operations.filter(isTogether);
              for (const own of [all, all.filter(other => shown.executed.has(other))]) {
                const key = `${line.number} ${own.map(({ number }) => number)}`;
                if (seen.has(key)) continue;
                seen.add(key);
                const { boxes, edges } = partOfGraph(line, own, own !== all), picture = layered(boxes, edges);
                found.push([picture.boxes.map(({ x, y, width }) => [x, y, x + width, y + HEIGHT]),
                            picture.edges.map(({ points }) => points)]);
              }
            }
          }
        }
        return found;""")
    assert len(drawings) > 150
    for boxes, edges in drawings:
        if not boxes:
            continue
        left, top, right, bottom = np.array(boxes).T
        apart = (right[:, None] < left) | (right < left[:, None]) | (bottom[:, None] < top) | (bottom < top[:, None])
        assert apart.sum() == len(boxes) * (len(boxes) - 1)
        for points in edges:
            for (x1, y1, x2, y2), after in zip(points, [*points[1:], None], strict=True):
                assert y2 > y1
                spans = [(min(x1, x2), y1, max(x1, x2), y2)]                 # a curve within these
                if after is not None:
                    assert x2 == after[0]                                    # then straight down past a row
                    spans.append((x2, y2, x2, after[1]))
                for x, y, x_end, y_end in spans:
                    assert not ((x_end > left) & (x < right) & (y_end > top) & (y < bottom)).any()


# ---- Scenes.

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
    ("#feed=add:0=x", "Expected a number or nested arrays to feed add:0, found x."),
    ("#feed=add:0=[[1],[2,3]]", "Expected a number or nested arrays to feed add:0, found [[1],[2,3]]."),
    ('#feed=add:0="images"', 'Expected a number or nested arrays to feed add:0, found "images".')])
def test_an_unknown_address_is_said(open_page, fragment, sentence):
    assert text(open_page(fragment), "unknown") == sentence


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
    fragment = browser.execute_script("return location.hash")
    assert open_page(fragment).execute_script(shown) == before


# ---- Fetching and feeding.

def test_tensorflows_errors_are_shown(opened):
    opened.execute_script("openRun({ fetches: ['add_5:0'], feeds: [], selected: null })")
    assert text(opened, "errors").splitlines() == [
        "You must feed a value for placeholder tensor 'input_data' with dtype float and shape [?,784]",
        "You must feed a value for placeholder tensor 'dropout_rate' with dtype float"]
    assert not opened.find_element("id", "again").is_enabled()
    noise = "openRun({ fetches: ['mul:0'], feeds: [['encoder_z/add_1:0', [[1, 1], [1, 1]]], ['random_normal:0', %s]] })"
    for value, error in (([[0, 0]], ""), ([[0, 0]] * 3, "mul: Incompatible shapes: [2,2] vs. [3,2]"), ([[0, 0, 0]], (
            "Cannot feed value of shape (1, 3) for Tensor random_normal:0, which has shape (None, 2)"))):
        opened.execute_script(noise % value)
        assert text(opened, "errors") == error
    opened.execute_script("openRun({ fetches: ['save/restore_all'], feeds: [] })")
    assert "Failed to find any matching files for model" in text(opened, "errors")


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


def values_of(browser, name, values="shown.values"):
    return np.array(browser.execute_script(f"return Array.from({values}.get('{name}').data)"))


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


# ---- Runs that change variables.

def test_training_steps_lower_the_loss_and_can_be_undone(open_page):
    browser = open_page("#scene-9")
    checksums = """return Object.fromEntries([...session.variables].map(([name, { data }]) =>
        [name, Array.from(data).reduce((sum, x, i) => sum + x * (i % 97 + 1), 0)]))"""
    before = browser.execute_script(checksums)
    assert len(before) == 39
    assert not browser.find_element("id", "undo").is_enabled()
    browser.find_element("id", "ten").click()
    after, losses = browser.execute_script(checksums), browser.execute_script("return losses")
    assert after["Variable"] == 10
    assert len(losses) == 11
    assert losses[-1] < losses[0]
    assert all(after[name] != value for name, value in before.items())
    noise = values_of(browser, "random_normal:0")
    browser.find_element("id", "again").click()
    assert browser.execute_script(checksums)["Variable"] == 11
    assert np.abs(values_of(browser, "random_normal:0") - noise).max() > 0.01
    for expected, n_losses in ((after, 11), (before, 1)):
        browser.find_element("id", "undo").click()
        assert browser.execute_script(checksums) == expected
        assert browser.execute_script("return losses.length") == n_losses
    assert not browser.find_element("id", "undo").is_enabled()


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
    browser.execute_script("openRun({ fetches: ['init'], feeds: [] }); runSteps(1)")
    weights = checkpoints.read_network(PREFIX)[1]["encoder_hidden_1/w1"].astype(np.float16).ravel()
    drawn = values_of(browser, "encoder_hidden_1/w1", "session.variables")
    assert np.abs(drawn - weights).max() > 0.01
    assert np.abs(drawn).max() <= np.sqrt(6 / (784 + 16))
    browser.execute_script(
        "openRun({ fetches: ['save/restore_all'], feeds: [['save/Const:0', 'parameter0.ckpt']] }); runSteps(1)")
    np.testing.assert_array_equal(values_of(browser, "encoder_hidden_1/w1", "session.variables"), weights)


# ---- Stepping, searching, folding.

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


@pytest.mark.parametrize(("words", "name"), [
    ("ELBO", "add_5"), ("h4", "decoder_hidden_1/Elu"), ("w6", "decoder_output/w6"), ("global_step", "Variable"),
    ("encoder_z/b3/Adam_1", "encoder_z/b3/Adam_1"), ("random_normal:0", "random_normal"),
    ("sigmoidgrad", "gradients/decoder_output/Sigmoid_grad/SigmoidGrad")])
def test_an_operation_is_found_by_its_name(opened, words, name):
    opened.execute_script("$('search').value = arguments[0]; $('search').dispatchEvent(new Event('change'))", words)
    assert text(opened, "operation-name") == name


def test_a_line_folds_and_what_is_in_it_is_found(opened):
    rows = "return lines.filter(({ row }) => row.checkVisibility()).length"
    before = opened.execute_script(rows)
    opened.execute_script("lines.find(({ code }) => code.startsWith('mean, std')).row.previousSibling.click()")
    assert opened.execute_script(rows) == before - 7
    opened.execute_script("select(producer('encoder_z/Softplus'))")
    assert opened.execute_script(rows) == before


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


# ---- The page as a file.

def set_size(browser, width, height):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 800, 1280, 1920])
def test_the_page_fits_its_window(opened, width):
    set_size(opened, width, 900)
    widths = opened.execute_script("""
        return data.scenes.map(scene => {
          openScene(scene);
          return document.documentElement.scrollWidth;
        })""")
    set_size(opened, 1200, 900)
    assert max(widths) <= width


@pytest.mark.slow
def test_the_page_runs_in_a_frame_without_an_address(browser, page, tmp_path):
    path = tmp_path / "frame.html"
    path.write_text(f'<iframe srcdoc="{html.escape(page.decode())}"></iframe>', encoding="utf-8")
    browser.get(path.as_uri())
    browser.switch_to.frame(0)
    wait(browser, "session !== null && lines[0].row !== undefined")
    browser.execute_script("$('again').click()")
    assert text(browser, "counts").startswith("136 of ")
    browser.switch_to.default_content()
    assert browser.get_log("browser") == []


def test_the_page_loads_no_external_resources(page):
    static = re.sub(rb'(?<="application/json">).*?(?=</script>)', b"", page, flags=re.DOTALL)
    without_links = static.replace(b'<a href="https:', b"").replace(b'createElementNS("http:', b"")
    assert not re.findall(rb"https?:|src=|@import|fetch\(\"|XMLHttp|import\(", without_links)


def test_weights_out_of_the_range_of_float16_are_refused():
    with pytest.raises(checkpoints.CheckpointError, match="a: expected numbers in the range of float16, found 7e\\+04"):
        graph._float16("a", np.float32([7e4]))


def test_the_committed_page_is_current(page):
    numbers = re.compile(rb'(?<="application/json">).*(?=</script>\n<script>)')
    assert numbers.sub(b"", COMMITTED.read_bytes()) == numbers.sub(b"", page)
    assert len(COMMITTED.read_bytes()) < 6e6
