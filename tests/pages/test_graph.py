"""The graph page: it prunes the graph as TensorFlow does, its values are those of a run, its boxes do not overlap."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.numpy_network import PREFIX, decode, weights_of
from tests.pages.helpers import numbers_of, wait
from tests.small import ROOT
from vae_graph import checkpoints, model
from vae_graph.pages import graph

COMMITTED = ROOT / "figures" / "reference" / "checkpoint" / "graph.html"


@pytest.fixture(scope="module")
def page(digits):
    return graph.page(PREFIX, digits.test.images)


@pytest.fixture(scope="module")
def built():
    return graph.build(checkpoints.LayerSizes(784, 16, 2, 12))


@pytest.fixture(scope="module")
def values(built, digits):
    return graph.record(built, checkpoints.read_network(PREFIX)[1], digits.test.images[:4])


@pytest.fixture
def opened(browser, page, tmp_path):
    path = tmp_path / "graph.html"
    path.write_bytes(page)
    browser.get("about:blank")
    browser.get(path.as_uri())
    yield browser
    assert browser.get_log("browser") == []


def test_every_operation_is_there_with_its_inputs(page, built):
    found = numbers_of(page)["operations"]
    assert [operation["name"] for operation in found] == [op.name for op in built.graph.get_operations()]
    sigmoid = next(operation for operation in found if operation["name"] == "decoder_output/Sigmoid")
    assert (sigmoid["type"], sigmoid["part"], sigmoid["inputs"]) == ("Sigmoid", "decoder", ["decoder_output/add:0"])
    assert sigmoid["outputs"] == [{"dtype": "float32", "shape": [None, 784], "feedable": True}]
    assert sum(operation["type"] == "AssignAddVariableOp" for operation in found) == 1           # the step counter
    assert {operation["part"] for operation in found} == {
        "input", "encoder", "sampling", "decoder", "loss", "optimizer", "decoder again", "saver"}


@pytest.mark.slow
def test_the_operations_are_described_alike_each_time(page):
    """Two graphs: the order in which an operation lists its control inputs differs."""
    again = graph.operations(graph.build(checkpoints.LayerSizes(784, 16, 2, 12)))
    assert again == numbers_of(page)["operations"]


@pytest.mark.parametrize(("name", "code"), [
    ("encoder_hidden_1/Elu", 'h1 = tf.nn.elu(affine(X, "w1", "b1", n_hidden))'),
    ("encoder_z/Softplus", "std = tf.nn.softplus(h3[:, n_z:]) + 1e-6"),
    ("decoder_output/MatMul", "return tf.matmul(x, w) + b"), ("decoder_output_1/Sigmoid", "X_out = tf.nn.sigmoid("),
    ("clip_by_value", "X_out = tf.clip_by_value(X_out, 1e-8, LARGEST_FLOAT32_BELOW_1)"),
    ("add_5", "ELBO = Recon_error + Regularization_error"), ("gradients/add_grad/Reshape", None)])
def test_the_line_is_the_one_that_made_the_operation(page, name, code):
    found = numbers_of(page)
    [operation] = [operation for operation in found["operations"] if operation["name"] == name]
    assert found["source"] == Path(model.__file__).read_text(encoding="utf-8").splitlines()
    if code is None:
        assert operation["line"] is None
    else:
        assert code in found["source"][operation["line"] - 1]


def test_the_recorded_values_are_those_of_a_run(values, built, digits):
    again = graph.record(built, checkpoints.read_network(PREFIX)[1], digits.test.images[:4])
    assert values.keys() == again.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)
    np.testing.assert_array_equal(values["input_data:0"], digits.test.images[:4])
    np.testing.assert_array_equal(values["encoder_hidden_1/MatMul/ReadVariableOp:0"], weights_of()["w1"])
    z = values["add:0"]
    eps = values["random_normal/RandomStandardNormal:0"]
    np.testing.assert_allclose(z, values["encoder_z/strided_slice:0"] + values["encoder_z/add_1:0"] * eps, rtol=1e-6)
    np.testing.assert_allclose(values["decoder_output_1/Sigmoid:0"], decode(weights_of(), np.zeros((4, 2))), atol=1e-6)


def test_the_page_shows_the_recorded_values(page, values):
    shown = numbers_of(page)["values"]
    assert shown.keys() == values.keys()
    for name, value in values.items():
        assert shown[name]["shape"] == list(value.shape)
        if value.dtype == object:
            assert shown[name]["texts"] == [text.decode() for text in value.ravel()]
        elif value.size:
            np.testing.assert_allclose([shown[name][key] for key in ("min", "mean", "max")],
                                       [value.min(), value.astype(float).mean(), value.max()], rtol=1e-6, atol=1e-12)
        assert ("picture" in shown[name]) == (value.ndim == 2 and value.size > 8)
        if "picture" in shown[name] and value.shape[0] <= 64 and value.shape[1] <= 256:
            numbers = value.astype(float) - value.min()
            gray = np.frombuffer(base64.b64decode(shown[name]["picture"]["gray"]), np.uint8).reshape(value.shape)
            np.testing.assert_allclose(gray, 255 * numbers / (numbers.max() or 1), atol=1.01)


def runs_of_tensorflow(built, values, images, n_runs):
    """Random fetches and feeds, and for each the operations that a session executed, or the placeholder it missed."""
    random = np.random.default_rng(0)
    tensors = [built.graph.get_tensor_by_name(name) for name in values]
    without_outputs = [op for op in built.graph.get_operations()
                       if not op.outputs and graph._is_recorded(built, op)]
    feedable = [tensor for tensor in tensors if built.graph.is_feedable(tensor)]
    own = {built.images: images, built.keep_prob: 0.6, built.any_z: np.zeros((4, 2))}
    names = {op.name for op in built.graph.get_operations()}
    with built.graph.as_default(), tf.Session(config=graph.session_config()) as session:
        session.run([variable.initializer for variable in tf.global_variables()])
        for _ in range(n_runs):
            fetches = [tensors[i] for i in random.choice(len(tensors), random.integers(1, 4), replace=False)]
            if random.random() < 0.2:
                fetches.append(without_outputs[random.integers(len(without_outputs))])
            feeds = {feedable[i]: values[feedable[i].name]
                     for i in random.choice(len(feedable), random.integers(0, 4), replace=False)}
            if random.random() < 0.8:
                feeds |= own
            metadata = tf.RunMetadata()
            try:
                session.run(fetches, feeds, tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), metadata)
                executed = {stats.node_name for device in metadata.step_stats.dev_stats for stats in device.node_stats}
                outcome = sorted(executed & names)
            except tf.errors.InvalidArgumentError as error:
                [outcome] = re.findall(r"You must feed a value for placeholder tensor '(.*?)'", str(error))[:1]
            yield [fetch.name for fetch in fetches], [feed.name for feed in feeds], outcome


@pytest.mark.parametrize("n_runs", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_operations_that_are_lit_are_those_that_a_session_executes(opened, built, values, digits, n_runs):
    runs = list(runs_of_tensorflow(built, values, digits.test.images[:4], n_runs))
    lit = opened.execute_script("return arguments[0].map(([fetches, feeds]) => [...pruned(fetches, feeds)].sort())",
                                [run[:2] for run in runs])
    missed = 0
    for (fetches, feeds, outcome), found in zip(runs, lit, strict=True):
        if isinstance(outcome, str):
            assert outcome in found, (fetches, feeds)
            missed += 1
        else:
            assert found == outcome, (fetches, feeds)
            assert not {"input_data", "dropout_rate", "any_z"} & {*found} or feeds
    assert 0 < missed < n_runs / 2


@pytest.mark.slow
def test_the_savers_scene_shows_the_names_in_a_checkpoint(opened):
    opened.execute_script("openScene(data.scenes[7])")
    assert opened.find_element("id", "selected").text == "save/SaveV2/tensor_names"
    shown = opened.find_element("id", "outputs").text.split("recorded: [39]: ")[1]
    assert shown.split(", ") == [name for name, _ in tf.train.list_variables(PREFIX)]


@pytest.mark.slow
def test_a_possible_order_respects_every_input(opened):
    for number in range(1, 9):
        order, operations = opened.execute_script(
            f"openScene(data.scenes[{number} - 1]); return [order, data.operations]")
        place = {name: i for i, name in enumerate(order)}
        for operation in operations:
            if operation["name"] in place:
                before = [name.rsplit(":", 1)[0] for name in operation["inputs"]] + operation["control"]
                assert all(place[name] < place[operation["name"]] for name in before if name in place)


@pytest.mark.slow
def test_each_scene_but_the_first_can_run(opened):
    first, *others = (opened.execute_script(f"openScene(data.scenes[{i}]); return $('missing').textContent")
                      for i in range(8))
    assert sorted(first.splitlines()) == [
        f"You must feed a value for placeholder tensor '{name}' with dtype float32"
        for name in ("dropout_rate", "input_data")]
    assert others == [""] * 7


OPENED = {"closed": [], "forward": ["input", "encoder", "sampling", "decoder", "loss"], "all": None}


@pytest.mark.slow
@pytest.mark.parametrize("groups", OPENED.values(), ids=OPENED.keys())
def test_boxes_do_not_overlap_lie_in_their_frames_and_stay_where_they_are(opened, groups):
    boxes, again = opened.execute_script("""
        opened = new Set(arguments[0] ?? memberCounts.keys());
        return [1, 2].map(() => layout(opened, executed).boxes.map(({ id, isOpen, members, x, y, width, height }) =>
            ({ id, isOpen, members, span: [x, y, x + width, y + height] })));
    """, groups)
    assert boxes == again
    closed = np.array([box["span"] for box in boxes if not box["isOpen"]])
    left, top, right, bottom = closed.T
    apart = ((right[:, None] < left) | (right < left[:, None]) | (bottom[:, None] < top) | (bottom < top[:, None]))
    assert apart.sum() == len(closed) * (len(closed) - 1)
    for i, frame in enumerate(boxes):
        if not frame["isOpen"]:
            continue
        members = {*frame["members"]}
        for j, box in enumerate(boxes):
            inside = np.all(np.multiply(np.subtract(box["span"], frame["span"]), [1, 1, -1, -1]) >= 0)
            assert inside == (j >= i and members.issuperset(box["members"])), (frame["id"], box["id"])
    if groups is None:
        assert len(closed) == len(opened.execute_script("return data.operations"))


def test_a_group_opens_and_an_operation_is_selected_with_its_line(opened):
    opened.execute_script("opened = new Set(); show()")
    for box in ("decoder", "decoder/decoder_output", "decoder_output/Sigmoid"):
        opened.execute_script("""
            [...document.querySelectorAll("#graph g")].find(({ dataset }) => dataset.id === arguments[0])
                .dispatchEvent(new MouseEvent("click"))""", box)
    assert opened.find_element("id", "selected").text == "decoder_output/Sigmoid"
    assert "X_out = tf.nn.sigmoid(" in opened.find_element("css selector", "#source .here").text
    assert opened.execute_script("return $('outputs').querySelector('canvas').width") == 4 * 28
    assert "recorded: [4,784], minimum" in opened.find_element("id", "outputs").text


@pytest.mark.slow
def test_fetches_and_feeds_are_chosen_by_clicks(opened):
    opened.execute_script("fetches = []; feeds = []; runChanged(); select('clip_by_value')")
    opened.execute_script("$('outputs').querySelectorAll('button')[0].click(); select('add')")
    opened.execute_script("$('outputs').querySelectorAll('button')[0].click()")
    opened.execute_script("$('outputs').querySelectorAll('button')[0].click()")         # not fetched after all
    opened.execute_script("$('outputs').querySelectorAll('button')[1].click()")
    assert opened.execute_script("return [fetches, feeds]") == [["clip_by_value:0"], ["add:0"]]
    assert opened.find_element("id", "missing").text == (
        "You must feed a value for placeholder tensor 'dropout_rate' with dtype float32")
    assert not opened.find_element("id", "next").is_enabled()
    opened.execute_script("select('dropout_rate'); $('outputs').querySelectorAll('button')[1].click()")
    assert opened.find_element("id", "next").is_enabled()
    opened.execute_script("$('feeds').querySelector('button').click()")
    assert opened.execute_script("return feeds") == ["dropout_rate:0"]


@pytest.mark.slow
def test_the_keyboard_opens_and_closes_a_group_and_keeps_the_focus(opened):
    from selenium.webdriver.common.keys import Keys

    opened.execute_script("openScene(data.scenes[3])")
    opened.execute_script("document.querySelector('[data-id=decoder]').focus()")
    for is_open in (False, True, False):
        opened.switch_to.active_element.send_keys(Keys.ENTER)
        focused = opened.switch_to.active_element
        assert focused.get_attribute("data-id") == "decoder"
        assert focused.get_attribute("aria-expanded") == str(is_open).lower()
    opened.execute_script("select('clip_by_value')")
    opened.execute_script("$('outputs').querySelector('button').focus()")
    opened.switch_to.active_element.send_keys(Keys.ENTER)
    assert opened.switch_to.active_element.text == "fetch clip_by_value:0"


@pytest.mark.slow
def test_zoom(opened):
    width = opened.execute_script("return $('graph').firstChild.width.baseVal.value")
    opened.find_element("id", "larger").click()
    larger = opened.execute_script("return $('graph').firstChild.width.baseVal.value")
    assert larger == pytest.approx(1.25 * width)
    opened.find_element("id", "smaller").click()
    opened.find_element("id", "smaller").click()
    assert opened.execute_script("return $('graph').firstChild.width.baseVal.value") == pytest.approx(width / 1.25)
    opened.execute_script("openScene(data.scenes[6]); opened.add('optimizer'); show()")
    opened.find_element("id", "fit").click()
    shown, room = opened.execute_script("return [$('graph').firstChild.width.baseVal.value, $('graph').clientWidth]")
    assert 0.95 * room < shown <= room


@pytest.mark.slow
def test_a_run_is_walked_through(opened):
    opened.execute_script("openScene(data.scenes[3])")
    names = []
    for _ in range(3):
        opened.find_element("id", "next").click()
        names.append(opened.find_element("id", "selected").text)
    assert names == opened.execute_script("return order.slice(0, 3)")
    opened.execute_script("window.scrollTo(0, 0); goTo(order.length)")
    box, room = opened.execute_script("""
        return [$("graph").querySelector(".selected"), $("graph")].map(shown => {
          const { left, top, right, bottom } = shown.getBoundingClientRect();
          return [left, top, -right, -bottom];
        })""")
    assert np.all(np.subtract(box, room) >= 0)
    assert opened.execute_script("return window.scrollY") == 0
    opened.execute_script("goTo(3)")
    opened.find_element("id", "play").click()
    wait(opened, "position >= 5")
    opened.find_element("id", "play").click()
    assert opened.execute_script("return timer") is None


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 520])
def test_the_page_fits_its_window(opened, width):
    opened.set_window_size(width, 900)
    for scene in (4, 7):
        opened.execute_script(f"openScene(data.scenes[{scene} - 1]); goTo(5)")
        assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    opened.set_window_size(1200, 900)


def test_the_page_loads_no_external_resources(page):
    static = re.sub(rb'(?<="application/json">).*?(?=</script>)', b"", page, flags=re.DOTALL)
    assert not re.findall(rb"(?<!createElementNS\(\")https?:|src=|@import|fetch\(\"|XMLHttp|import\(", static)


def test_the_committed_page_is_current(page):
    numbers = re.compile(rb'(?<="application/json">).*(?=</script>\n<script>)')
    assert numbers.sub(b"", COMMITTED.read_bytes()) == numbers.sub(b"", page)
