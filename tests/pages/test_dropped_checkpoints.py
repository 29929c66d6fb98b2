"""Checkpoints that are dropped on the explorer or chosen, in headless Chromium."""

import base64
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import flip_a_byte, write_checkpoint, write_network
from tests.numpy_network import PREFIX, decode, weights_of
from tests.pages.helpers import (
    FULL_SIZE,
    ORIGINAL,
    POINTS,
    choose_image,
    decoded,
    fragment_of,
    readout,
    text,
    wait,
)
from vae_graph import checkpoints, evaluation, pictures


def files_of(prefix):
    """The files of a checkpoint, in base64 by their names."""
    return {path.name: base64.b64encode(path.read_bytes()).decode() for path in checkpoints.files_of(prefix)}


@pytest.fixture(scope="module")
def old_format(tmp_path_factory):
    """A checkpoint in the single file of TensorFlow 0.x."""
    values = checkpoints.read_variables(PREFIX)
    return write_checkpoint(tmp_path_factory.mktemp("v1") / "parameter20.ckpt", values,
                            write_version=tf.train.SaverDef.V1)


def choose(browser, *prefixes):
    """Choose all files of some checkpoints in the page's dialog."""
    browser.find_element("id", "files").send_keys("\n".join(
        str(path) for prefix in prefixes for path in checkpoints.files_of(prefix)))


N_DAMAGED = 10_000
READ = """
    const files = Object.fromEntries(Object.entries(arguments[0]).map(([name, content]) => [name, bytes(content)]));
"""


@pytest.mark.parametrize("prefix", [
    pytest.param(None, id="V1"), pytest.param(PREFIX, id="1.4.0"),
    *(pytest.param(prefix, id=name, marks=pytest.mark.slow)
      for name, prefix in (("1.15.5", ORIGINAL), ("ours", FULL_SIZE)))])
def test_arrays_have_tensorflows_bits(explorer_page, old_format, prefix):
    prefix = prefix or old_format
    found = explorer_page.execute_script(READ + """
        const { variables } = readCheckpoint(files);
        return Object.fromEntries(Array.from(variables, ([name, { shape, values }]) => {
          let text = "";
          for (const byte of new Uint8Array(values.buffer)) text += String.fromCharCode(byte);
          return [name, [shape, btoa(text)]];
        }));
    """, files_of(prefix))
    reader = tf.train.load_checkpoint(prefix)
    assert found.keys() == reader.get_variable_to_shape_map().keys()
    for name, (shape, content) in found.items():
        expected = np.asarray(reader.get_tensor(name))
        assert (tuple(shape), base64.b64decode(content)) == (expected.shape, expected.tobytes()), name


def test_a_chosen_checkpoint_is_shown_beside_the_first(open_explorer, tmp_path, digits):
    browser = open_explorer(PREFIX)
    choose_image(browser, 23)
    prefix = write_network(tmp_path / "my_model-7", n_z=3)
    choose(browser, prefix)
    wait(browser, "models.length === 2 && !waiting")
    shown = text(browser, "models")
    assert "B: my_model-7, format V2, no step counter, n_input 784, n_hidden_encoder 16, n_z 3" in shown
    assert "12 variables, all checksums match" in shown
    with evaluation.restored(prefix, seed=0) as model:
        z = np.float32([[0.1, -1, 2]])
        expected = model.session.run(model.X_out, {model.z: z})
    np.testing.assert_allclose(decoded(browser, z.tolist(), model=1), expected, atol=1e-5)
    assert browser.execute_script("return $('decoded').children.length") == 2
    assert len(text(browser, "encoded").splitlines()) == 2               # test image 23, which was encoded before
    assert [line[:2] for line in readout(browser).splitlines()[:2]] == ["A:", "B:"]      # both z
    assert "The same z means nothing in two latent spaces" in browser.find_element("id", "on-two").text
    browser.find_element("css selector", "#models button").click()
    assert browser.execute_script("return models.map(({ name }) => name)") == ["my_model-7"]
    assert not browser.find_element("id", "on-two").is_displayed()


def test_two_models_are_swapped(open_explorer, tmp_path, digits):
    """The map of a dropped checkpoint shows the test images' means, which are computed while the page can be used."""
    browser = open_explorer(PREFIX)
    prefix = write_network(tmp_path / "x", n_z=3)
    choose(browser, prefix)
    wait(browser, "models.length === 2")
    browser.execute_script("moveTo(0.5, 0.5); pin()")
    assert browser.execute_script("return models.map(model => !model.means)") == [False, True]
    introduction = text(browser, "introduction")
    # There are no dots until the images are encoded.
    assert browser.execute_script("$('swap').click(); return [$('dot').hidden, $('legend').hidden]") == [True, True]
    wait(browser, "models[0].means && !waiting")
    assert browser.execute_script("return [models.map(({ name }) => name), pins.length, models[0].sizes.z]") == [
        ["x", "tf-1.4.0/parameter20.ckpt"], 0, 3]
    # One z, and no pin of the other model.
    assert [place.count(",") for place in fragment_of(browser).split(";")] == [2, 0]
    np.testing.assert_allclose(np.reshape(browser.execute_script("return Array.from(models[0].means)"), (-1, 3)),
                               pictures.means(prefix, digits.test.images), atol=1e-4)
    assert text(browser, "progress") == ""
    assert text(browser, "introduction") == introduction


def test_of_two_files_of_one_name_none_is_dropped_silently(open_explorer, tmp_path):
    browser = open_explorer()
    for folder in "ab":
        (tmp_path / folder).mkdir()
    choose(browser, *(write_network(tmp_path / folder / "x") for folder in "ab"))
    wait(browser, "!$('message').hidden")
    assert re.search(r"found two files x\.\S+; open one checkpoint after the other$", text(browser, "error"))


def test_without_a_checkpoint_the_page_says_so(open_explorer):
    browser = open_explorer(PREFIX)
    assert text(browser, "introduction").startswith("Every dot is one of ")
    browser.execute_script("[...$('models').querySelectorAll('button')].forEach(button => button.click())")
    assert text(browser, "introduction").startswith("No checkpoint is shown.")
    assert fragment_of(browser) == ""                                # or the next one had pins of another latent space
    browser = open_explorer()
    assert text(browser, "introduction").startswith("No checkpoint is shown.")
    choose(browser, PREFIX)
    wait(browser, "models.length === 1")
    assert text(browser, "introduction").startswith("The map shows the digits that the decoder draws.")
    assert not browser.find_element("id", "dot").is_displayed()


@pytest.mark.parametrize("beside", [
    pytest.param(True, id="beside a model", marks=pytest.mark.slow), pytest.param(False, id="on a blank page")])
def test_of_several_checkpoints_two_are_opened(open_explorer, tmp_path, beside):
    browser = open_explorer(PREFIX if beside else None)
    choose(browser, *(write_network(tmp_path / f"parameter{number}.ckpt") for number in (7, 12, 0)))
    wait(browser, "models.length === 2 && models[1].name.includes('12')")
    assert browser.execute_script("return models.map(({ name }) => name)") == ["parameter7.ckpt", "parameter12.ckpt"]
    assert text(browser, "error") == ("Opened parameter7.ckpt and parameter12.ckpt, of the highest numbers among "
                                      "3 checkpoints: the page shows 2.")


@pytest.mark.slow
def test_a_sound_checkpoint_is_opened_beside_a_damaged_one(open_explorer, tmp_path):
    browser = open_explorer()
    prefixes = [write_network(tmp_path / f"parameter{number}.ckpt") for number in (0, 1)]
    flip_a_byte(tmp_path / "parameter1.ckpt.data-00000-of-00001")
    choose(browser, *prefixes)
    wait(browser, "models.length === 1")
    assert re.fullmatch(r"parameter1.ckpt.\S+: expected a checkpoint of this network, found a variable \S+ whose "
                        "checksum does not match", text(browser, "error"))


def test_shards_of_another_save_are_ignored(explorer_page, tmp_path):
    """A checkpoint may have been written again, in another number of shards."""
    prefix = write_network(tmp_path / "x")
    (tmp_path / "x.data-00000-of-00002").write_bytes(b"of another save")
    choose(explorer_page, prefix)
    wait(explorer_page, "models.length === 2")
    assert text(explorer_page, "error") == ""


def test_a_partitioned_variable_is_refused_as_such(explorer_page, tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("w", [7, 4], partitioner=tf.fixed_size_partitioner(3))
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver().save(session, str(tmp_path / "x"), write_meta_graph=False)
    choose(explorer_page, prefix)
    assert wait(explorer_page, "$('error').textContent").endswith(
        "found a variable that is stored in parts")


def drop(browser, *paths):
    """Drop files or folders on the page, at its top left, as from a file manager."""
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.execute_cdp_cmd("Input.dispatchDragEvent", {
            "type": kind, "x": 5, "y": 5,
            "data": {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}})


def test_a_folder_is_dropped(open_explorer, tmp_path):
    browser = open_explorer()
    (tmp_path / "run" / "deeper").mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_text("{}")
    write_network(tmp_path / "run" / "deeper" / "parameter3.ckpt")
    drop(browser, tmp_path / "run")
    wait(browser, "models.length === 1")
    assert browser.execute_script("return models[0].name") == "run/deeper/parameter3.ckpt"
    assert text(browser, "error") == ""


def test_a_folder_is_read_as_firefox_gives_it(explorer_page):
    """Which has entries for it, whose reader gives some at a time, and no handles."""
    paths = explorer_page.execute_async_script("""
        const done = arguments[0];
        const file = name => ({ name, isFile: true, file: resolve => resolve(new File(["x"], name)) });
        const folder = (name, ...content) => ({ name, isFile: false, isDirectory: true, createReader: () => {
          const rest = [...content];
          return { readEntries: resolve => resolve(rest.splice(0, 1)) };
        } });
        const run = folder("run", file("a"), folder("deeper", file("b")), file("c"));
        const items = [run, null].map(entry => (
          { webkitGetAsEntry: () => entry, getAsFile: () => new File(["x"], "d") }));
        dropped({ items }).then(files => done(files.map(([path, content]) => [path, content.size])));""")
    assert paths == [[path, 1] for path in ("run/a", "run/deeper/b", "run/c", "d")]


@pytest.mark.parametrize("place", ["bottom", pytest.param("top", marks=pytest.mark.slow)])
def test_a_refusal_is_said_where_it_is_seen(explorer_page, tmp_path, place):
    (tmp_path / "x.png").write_bytes(b"no checkpoint")
    explorer_page.set_window_size(1280, 800)
    explorer_page.execute_script(f"scrollTo(0, {0 if place == 'top' else 10_000})")
    drop(explorer_page, tmp_path / "x.png")
    assert wait(explorer_page, "$('error').textContent") == (
        "x.png: expected a checkpoint of this network, found a file that is not a checkpoint")
    top, bottom, height = explorer_page.execute_script(
        "const { top, bottom } = $('error').getBoundingClientRect(); return [top, bottom, innerHeight]")
    assert 0 <= top < bottom <= height
    explorer_page.find_element("id", "dismiss").click()
    assert not explorer_page.find_element("id", "message").is_displayed()
    explorer_page.set_window_size(1200, 900)


@pytest.mark.slow
def test_the_step_of_other_programs_is_shown(explorer_page, tmp_path):
    values = checkpoints.read_variables(PREFIX)
    del values["Variable"]
    for version, format_name in ((tf.train.SaverDef.V2, "V2"), (tf.train.SaverDef.V1, "V1")):
        choose(explorer_page, write_checkpoint(tmp_path / format_name, values | {"global_step": np.int64(32)}, version))
        wait(explorer_page, f"models[1]?.facts === 'format {format_name}, step 32'")


@pytest.mark.slow
def test_on_the_page_without_a_checkpoint(open_explorer, old_format):
    browser = open_explorer()
    assert not browser.find_element("id", "map").is_displayed()
    browser.find_element("id", "files").send_keys(old_format)
    wait(browser, "models.length === 1 && !waiting")
    assert browser.find_element("id", "map").is_displayed()
    assert "A: parameter20.ckpt, format V1, step 20, n_input 784, n_hidden_encoder 16" in text(browser, "models")
    np.testing.assert_allclose(decoded(browser), decode(weights_of(), np.array(POINTS)), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "content", "found"), [
    ("x.index", b"", "a file that is not a checkpoint"),
    ("x", b"no checkpoint" * 10, "a file that is not a checkpoint"),
    ("x.data-00000-of-00001", b"abc", "no .index file: choose it together with the .data file"),
    ("x.meta", b"abc", "no .index file: choose it together with the .data file")])
def test_other_files_get_one_sentence(explorer_page, tmp_path, name, content, found):
    path = tmp_path / name
    path.write_bytes(content)
    explorer_page.find_element("id", "files").send_keys(str(path))
    assert wait(explorer_page, "$('error').textContent") == (
        f"{name}: expected a checkpoint of this network, found {found}")
    assert explorer_page.execute_script("return models.length") == 1


@pytest.mark.slow
def test_an_index_alone_gets_one_sentence(explorer_page):
    explorer_page.find_element("id", "files").send_keys(f"{PREFIX}.index")
    assert wait(explorer_page, "$('error').textContent") == (
        "parameter20.ckpt.index: expected a checkpoint of this network, found no file .data-00000-of-00001 beside the "
        ".index")


@pytest.mark.parametrize(("change", "found"), [
    ({"decoder_output/b6": None}, "no variable decoder_output/b6"),
    *(pytest.param(change, found, marks=pytest.mark.slow) for change, found in (
        ({"encoder_z/w3": np.zeros((16, 5), np.float32)}, "encoder_z/w3 of shape [16,5] where [16,4] was expected"),
        ({"encoder_z/b3": np.full(4, np.nan, np.float32)}, "NaN or infinity in encoder_z/b3"),
        ({"encoder_z/b3": np.zeros(4)}, "encoder_z/b3 of type float64"),
        ({"decoder_hidden_1/w4": np.zeros(4, np.float32)}, "weights that are not matrices")))])
def test_another_network_gets_one_sentence(explorer_page, tmp_path, change, found):
    values = {name: value for name, value in (checkpoints.read_variables(PREFIX) | change).items()
              if value is not None}
    prefix = write_checkpoint(tmp_path / "x", values)
    choose(explorer_page, prefix)
    assert wait(explorer_page, "$('error').textContent").endswith(
        f": expected a checkpoint of this network, found {found}")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_damaged_files_are_read_or_refused(explorer_page, old_format, version):
    """Half of them have valid checksums, so that the damage reaches what is behind them."""
    explorer_page.set_script_timeout(600)
    outcomes = explorer_page.execute_script(READ + """
        let state = 1;
        const random = n => (state = (state * 48271) % 2147483647) % n;
        const outcomes = { read: 0, refused: 0 };
        const name = Object.keys(files).find(name => !name.includes(".data-"));
        const whole = files[name], blocks = [];
        const [, at] = handle(whole.subarray(-FOOTER_SIZE), 0), [index] = handle(whole.subarray(-FOOTER_SIZE), at);
        blocks.push(index, ...Array.from(blockEntries(whole, index), ([, value]) => handle(value, 0)[0]));
        for (let i = 0; i < arguments[1]; i++) {
          let damaged = whole.slice();
          for (let change = random(4); change >= 0; change--) {
            const begin = random(damaged.length), kind = random(4);
            if (kind === 0) damaged[begin] ^= 1 << random(8);
            if (kind === 1) damaged[begin] = random(256);
            if (kind === 2) damaged.copyWithin(begin, random(damaged.length), random(damaged.length));
            if (kind === 3 && random(4) === 0) damaged = damaged.slice(0, begin);
          }
          if (i % 2) {
            for (const [start, size] of blocks) {
              if (start + size + 5 > damaged.length) continue;
              new DataView(damaged.buffer).setUint32(start + size + 1,
                maskedCrc32c(damaged.subarray(start, start + size + 1)), true);
            }
          }
          try {
            networkIn(readCheckpoint({ ...files, [name]: damaged }).variables);
            outcomes.read++;
          } catch (error) {
            if (!(error instanceof CheckpointError)) throw error;
            outcomes.refused++;
          }
        }
        return outcomes;
    """, files_of(old_format if version == "V1" else PREFIX), N_DAMAGED)
    assert outcomes["read"] + outcomes["refused"] == N_DAMAGED
    assert outcomes["refused"] > 0.5 * N_DAMAGED
