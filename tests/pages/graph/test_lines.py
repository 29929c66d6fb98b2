"""The graph, the lines of code that made it, and the drawing of a line's operations."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.pages.helpers import numbers_of, text
from vae_graph import checkpoints, model
from vae_graph.pages import graph, program
from vae_graph.settings import Settings


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
    assert groups["gradients/encoder_hidden_1/Elu_grad/EluGrad"] == "gradient of encoder_hidden_1/Elu"
    assert groups["Adam"] == groups["beta1_power"] == "Adam"


def test_lines_say_whether_they_run_and_why(open_page):
    browser = open_page("#scene-7")
    found = browser.execute_script("""return lines.map(({ code, depth, reason, operations }) =>
        [`${code.slice(0, 22)} ${depth}`, reason.count, operations.length, reason.why])""")
    rows = {line: tuple(reason) for line, *reason in found}
    assert rows["h1 = tf.nn.elu(affine( 2"] == (0, 21, "z is fed")
    assert rows["z = mean + std * tf.ra 1"] == (0, 8, "fed")
    assert rows["X_out = tf.clip_by_val 1"] == (4, 4, "for X_out")
    assert rows["h4 = tf.nn.elu(affine( 1"] == (0, 5, "not needed")
    assert rows["h4 = tf.nn.elu(affine( 2"] == (7, 21, "for X_out")
    assert browser.execute_script(
        "return lines.find(({ own }) => own.length === 21).row.style.getPropertyValue('--share')") == "0%"
    assert float(browser.execute_script("""return lines.find(({ reason, operations }) =>
        reason.count === 7 && operations.length === 21).row.style.getPropertyValue('--share').slice(0, -1)""")
                 ) == pytest.approx(100 / 3)
    browser.execute_script("openRun({ fetches: [], feeds: [['save/Const:0', 'x']], selected: 'save/restore_all' })")
    assert "Does not run: no fetch needs it." in text(browser, "line-why")
    browser = open_page("#scene-3")
    assert browser.execute_script("return lines.find(({ code }) => code.startsWith('h1')).reason") == {
        "count": 7, "why": "for all fetches", "sentence": "Runs because ELBO and z need it.",
        "isFed": False, "isFetched": False}


def test_a_line_that_assigns_several_names_says_whose_value_it_shows(open_page):
    rows = "return lines.filter(({ name }) => !name).map(({ row }) => row.querySelector('.shape').textContent)"
    assert open_page("#scene-3").execute_script(rows)[:2] == ["ELBO: []", "std: [4,2]"]


def test_the_groups_of_all_variables_are_one_box_and_many_reads_one_entry(open_page):
    browser = open_page("#scene-9")                                  # the group of Adam, which 12 updates read
    titles = "return [...document.querySelectorAll('#graph .link .large')].map(({ textContent }) => textContent)"
    assert browser.execute_script(titles) == ["12 variables", "12 variables", "global_step"]
    assert browser.execute_script("return document.querySelectorAll('#graph path').length") < 30
    browser.execute_script("select(producer('gradients/encoder_hidden_1/Elu_grad/EluGrad'))")
    assert "encoder_hidden_1/b1" in browser.execute_script(titles)   # a single one
    browser.execute_script("select(producer('save/restore_all'))")
    assert {"39 variables", "filename"} <= {*browser.execute_script(titles)}
    assert (text(browser, "reads"), text(browser, "waits")[:13]) == ("", "39 operations")
    assert not browser.find_element("css selector", "#waits button").is_displayed()
    browser.find_element("css selector", "#waits summary").click()
    browser.find_element("css selector", "#waits button").click()
    assert text(browser, "operation-type") == "AssignVariableOp"


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
