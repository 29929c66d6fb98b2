"""Checkpoints that are dropped on the explorer or chosen, in headless Chromium."""

import base64

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import write_checkpoint, write_network
from tests.numpy_network import PREFIX, decode, weights_of
from tests.pages.helpers import (
    FULL_SIZE,
    ORIGINAL,
    POINTS,
    decoded,
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
    browser.find_element("id", "number").send_keys("23")
    prefix = write_network(tmp_path / "my_model-7", n_z=3)
    browser.find_element("id", "files").send_keys("\n".join(str(path) for path in checkpoints.files_of(prefix)))
    wait(browser, "models.length === 2 && models[1].means && !waiting")
    shown = text(browser, "models")
    assert "B: my_model-7, format V2, no step counter, n_input 784, n_hidden_encoder 16, n_z 3" in shown
    assert "12 variables, all checksums match" in shown
    with evaluation.restored(prefix, seed=0) as model:
        z = np.float32([[0.1, -1, 2]])
        expected = model.session.run(model.X_out, {model.z: z})
    np.testing.assert_allclose(decoded(browser, z.tolist(), model=1), expected, atol=1e-5)
    np.testing.assert_allclose(np.reshape(browser.execute_script("return Array.from(models[1].means)"), (-1, 3)),
                               pictures.means(prefix, digits.test.images), atol=1e-4)
    assert browser.execute_script("return $('decoded').children.length") == 2
    assert len(text(browser, "encoded").splitlines()) == 2               # test image 23, which was encoded before
    browser.execute_script("$('models').querySelector('button').click()")
    assert browser.execute_script("return models.map(({ name }) => name)") == ["my_model-7"]


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
    ("x.data-00000-of-00001", b"abc", "no .index file among x.data-00000-of-00001"),
    ("x.meta", b"abc", "no .index file among no files")])
def test_other_files_get_one_sentence(explorer_page, tmp_path, name, content, found):
    path = tmp_path / name
    path.write_bytes(content)
    explorer_page.find_element("id", "files").send_keys(str(path))
    assert wait(explorer_page, "$('error').textContent") == f"Expected a checkpoint of this network, found: {found}"
    assert explorer_page.execute_script("return models.length") == 1


@pytest.mark.slow
def test_an_index_alone_gets_one_sentence(explorer_page):
    explorer_page.find_element("id", "files").send_keys(f"{PREFIX}.index")
    assert wait(explorer_page, "$('error').textContent") == (
        "Expected a checkpoint of this network, found: no file .data-00000-of-... beside the .index")


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
    explorer_page.find_element("id", "files").send_keys("\n".join(str(path) for path in checkpoints.files_of(prefix)))
    assert wait(explorer_page, "$('error').textContent") == f"Expected a checkpoint of this network, found: {found}"


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
