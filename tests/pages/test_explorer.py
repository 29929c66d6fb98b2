"""The explorer page, in headless Chromium if it is installed."""

import base64
import gzip
import json
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import ROOT, write_checkpoint
from tests.numpy_network import PREFIX, decode, encode, weights_of
from tests.pages.helpers import wait
from vae_graph import checkpoints, evaluation, pictures, plot
from vae_graph.pages import explorer

COMMITTED = ROOT / "figures" / "reference" / "checkpoint" / "explorer.html"
BLANK = ROOT / "figures" / "explorer.html"
ORIGINAL, FULL_SIZE = (str(ROOT / "figures" / "weights" / name / "parameter199.ckpt") for name in ("original", "ours"))


def numbers_of(page):
    return json.loads(re.search(rb'<script id="numbers" type="application/json">(.*?)</script>', page)[1])


def float16(text):
    return np.frombuffer(base64.b64decode(text), "<f2")


@pytest.fixture(scope="module")
def page(digits):
    return explorer.page([PREFIX], digits.test.images, digits.test.digits, "some </script> digits")


def test_the_page_contains_the_network_the_map_and_the_images(page, digits):
    found, weights = numbers_of(page), weights_of()
    assert (found["data"], found["colours"]) == ("some </script> digits", plot.colours("accessible"))
    [model] = found["models"]
    assert model["name"] == "tf-1.4.0/parameter20.ckpt"
    assert model["sizes"] == {"input": 784, "encoder": 16, "z": 2, "decoder": 12}
    assert len(model["weights"]) == 12
    for name, values in model["weights"].items():
        np.testing.assert_allclose(float16(values), weights[name.split("/")[1]].ravel(), rtol=1e-3, atol=1e-7)
    means = encode(weights, digits.test.images)[0]
    np.testing.assert_allclose(float16(model["means"]).reshape(-1, 2), means, rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(found["digits"]), np.uint8), digits.test.digits)
    assert gzip.decompress(base64.b64decode(found["images"])) == digits.test.pixels.tobytes()


def test_the_page_loads_no_external_resources(page):
    assert not re.findall(rb"https?:|src=|@import|fetch\(|XMLHttp|import\(", page)


def test_weights_beyond_float16_are_refused(digits, tmp_path):
    values = checkpoints.read_variables(PREFIX)
    values["decoder_output/b6"] = np.full_like(values["decoder_output/b6"], -7e4)
    with pytest.raises(checkpoints.CheckpointError, match=r"expected numbers in the range of float16, found 7e\+04"):
        explorer.page([write_checkpoint(tmp_path / "x", values)], digits.test.images, digits.test.digits, "")


def network(tmp_path, name, n_z=2, n_hidden=16, scale=1.5):
    """A checkpoint of random weights, whose pixels range from 0 to 1."""
    random = np.random.default_rng(n_z)
    shapes = checkpoints.model_shapes(checkpoints.LayerSizes(784, n_hidden, n_z, n_hidden))
    return write_checkpoint(tmp_path / name, {
        name: random.normal(0, scale / np.sqrt(shape[0]), shape).astype(np.float32) for name, shape in shapes.items()})


@pytest.fixture
def open_page(browser, tmp_path, digits):
    """Opens the page of some checkpoints; its console must stay empty."""
    def open_page(*prefixes, fragment=""):
        path = tmp_path / "explorer.html"
        path.write_bytes(explorer.page(prefixes, digits.test.images, digits.test.digits, "digits") if prefixes
                         else explorer.blank_page())
        browser.get("about:blank")
        browser.get(path.as_uri() + fragment)
        wait(browser, "!waiting && (images !== null || !digits.length)")
        return browser

    yield open_page
    # Chromium advises against what only these tests do, reading the same canvas again and again.
    assert [entry for entry in browser.get_log("browser") if "willReadFrequently" not in entry["message"]] == []


@pytest.fixture
def opened(open_page):
    """The page of TensorFlow 1.4.0's small network."""
    return open_page(PREFIX)


POINTS = [(0, 0), (1, 1), (-1, 2), (2, -2), (0.3, -0.7), (-2.5, 0.1), (3, 3), (-3, -3), (0.01, 1.7), (-0.6, -1.1)]


def decoded(browser, points=POINTS, model=0):
    return np.array(browser.execute_script(
        "return arguments[0].map(z => Array.from(decode(models[arguments[1]], z)))", points, model))


def readout(browser):
    return wait(browser, "waiting ? null : $('readout').textContent")


def text(browser, name):
    return browser.execute_script(f"return $('{name}').textContent")


class TestNetwork:
    def test_pixels_are_tensorflows(self, opened):
        with evaluation.restored(PREFIX, seed=0) as model:
            expected = model.session.run(model.X_out, {model.z: POINTS})
        np.testing.assert_allclose(decoded(opened), expected, atol=2e-3)
        np.testing.assert_allclose(expected, decode(weights_of(), np.array(POINTS)), atol=1e-5)

    def test_every_float16_is_decoded_as_by_numpy(self, opened):
        values = np.arange(1 << 16, dtype="<u2").view("<f2")
        values = values[np.isfinite(values)]
        read = opened.execute_script("return Array.from(float16(arguments[0]))", base64.b64encode(values).decode())
        np.testing.assert_array_equal(read, values.astype(float))

    def test_float16_is_precise_enough_at_full_size(self, open_page, tmp_path, digits):
        prefix = network(tmp_path, "x", n_hidden=500)
        browser = open_page(prefix)
        with evaluation.restored(prefix, seed=0) as model:
            expected = model.session.run(model.X_out, {model.z: POINTS})
        assert expected.min() < 0.01 < 0.99 < expected.max()
        np.testing.assert_allclose(decoded(browser), expected, atol=2e-3)

    def test_mean_and_std_are_tensorflows(self, open_page, digits):
        """Of the reference run's weights."""
        browser = open_page(FULL_SIZE)
        with evaluation.restored(FULL_SIZE, seed=0) as model:
            expected = model.session.run([model.mean, model.std], {model.X: digits.test.images[:20]})
        found = browser.execute_script("""return Array.from({ length: 20 }, (_, i) => {
            const { mean, std } = encode(models[0], image(i));
            return [Array.from(mean), Array.from(std)];
        })""")
        np.testing.assert_allclose(np.array(found).transpose(1, 0, 2), expected, atol=1e-3)

    @pytest.mark.parametrize("n_z", [1, 3, 5])
    def test_the_plane_is_that_of_the_pictures(self, open_page, tmp_path, digits, n_z):
        prefix = network(tmp_path, "x", n_z)
        browser = open_page(prefix)
        codes = pictures.means(prefix, digits.test.images)
        origin, axes = pictures.latent_plane(codes)
        found = browser.execute_script(
            "const { origin, axes } = models[0].plane; return [Array.from(origin), axes.map(axis => Array.from(axis))]")
        np.testing.assert_allclose(found[0], origin, atol=2e-3)
        np.testing.assert_allclose(found[1], axes, atol=2e-2)


class TestMap:
    def test_the_decoded_digit_is_drawn_and_described(self, opened):
        z = opened.execute_script("moveTo(centre[0] + 0.03, centre[1] - 0.07); return point")
        assert readout(opened).startswith(f"z = ({z[0]:.2f}, {z[1]:.2f})\n")
        drawn = opened.execute_script(
            "return Array.from(models[0].digit.getContext('2d').getImageData(0, 0, 28, 28).data)")
        np.testing.assert_allclose(np.array(drawn).reshape(-1, 4)[:, 0], 255 * decoded(opened, [z])[0], atol=1)
        label = opened.execute_script("return models[0].digit.getAttribute('aria-label')")
        assert label == f"Digit decoded from z = ({z[0]:.2f}, {z[1]:.2f})"

    def test_a_pointer_on_a_dot_names_and_draws_its_image(self, opened, digits):
        from selenium.webdriver.common.action_chains import ActionChains

        number = 17
        x, y, side = opened.execute_script(
            f"return [fromLeft(models[0].dots[{2 * number}]), fromTop(models[0].dots[{2 * number} + 1]), side]")
        canvas = opened.find_element("id", "map")
        ActionChains(opened).move_to_element_with_offset(canvas, round(x - side / 2), round(y - side / 2)).perform()
        z = encode(weights_of(), digits.test.images)[0]
        named = int(re.search(r"test image (\d+): a (\d)", readout(opened))[1])
        assert readout(opened).endswith(f": a {digits.test.digits[named]}")
        # Many dots may lie closer together than a pixel is wide.
        reach = opened.execute_script("return reach")
        assert np.abs(z[named] - z[number]).max() < 4 * reach / side
        drawn = opened.execute_script(
            "return Array.from($('nearest').getContext('2d').getImageData(0, 0, 28, 28).data)")
        np.testing.assert_allclose(np.array(drawn).reshape(-1, 4)[:, 0], digits.test.pixels[named], atol=1)

    def test_arrow_keys_move_the_point(self, opened):
        from selenium.webdriver.common.keys import Keys

        opened.execute_script("moveTo(...centre)")
        before = opened.execute_script("return point")
        opened.find_element("id", "map").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_UP)
        opened.find_element("id", "map").send_keys(Keys.SHIFT + Keys.ARROW_LEFT)
        moved = np.subtract(opened.execute_script("return point"), before)
        np.testing.assert_allclose(moved, [0.09, 0.2], atol=1e-9)

    def test_two_pins_show_the_walk_between_them_and_a_link_shows_the_same_place(self, open_page):
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        browser = open_page(PREFIX)
        canvas = browser.find_element("id", "map")
        ActionChains(browser).move_to_element_with_offset(canvas, -50, 40).click().perform()
        canvas.send_keys(Keys.ARROW_RIGHT, Keys.ENTER)
        ActionChains(browser).move_to_element_with_offset(canvas, 60, -70).perform()      # loses no pin
        pins = browser.execute_script("return pins")
        assert len(pins) == 2
        walk = browser.execute_script("""return Array.from($('walk').children, canvas =>
            Array.from(canvas.getContext('2d').getImageData(0, 0, 28, 28).data))""")
        assert len(walk) == 10
        np.testing.assert_allclose(np.reshape(walk, (10, 784, 4))[..., 0],
                                   255 * decoded(browser, np.linspace(*pins, 10).tolist()), atol=1)
        fragment = browser.execute_script("return location.hash")
        browser = open_page(PREFIX, fragment=fragment)
        np.testing.assert_allclose(browser.execute_script("return pins"), pins, atol=1e-3)
        assert browser.execute_script("return $('walk').children.length") == 10
        browser.find_element("id", "map").send_keys(Keys.ESCAPE)
        assert browser.execute_script("return [pins.length, $('walk').children.length]") == [0, 0]

    @pytest.mark.parametrize("fragment", ["#", "#a,b", "#1", "#1,2,3", "#NaN,1", "#%ff", "#1e999,0"])
    def test_a_fragment_that_is_no_place_is_ignored(self, open_page, fragment):
        assert open_page(PREFIX, fragment=fragment).execute_script("return pins.length") == 0

    def test_sliders_for_the_dimensions_that_vary_most(self, open_page, tmp_path, digits):
        prefix = network(tmp_path, "x", n_z=12)
        browser = open_page(prefix)
        variances = pictures.means(prefix, digits.test.images).var(0)
        shown = browser.execute_script(
            "return Array.from($('sliders').querySelectorAll('input'), slider => Number(slider.dataset.dimension))")
        assert shown == list(np.argsort(-variances)[:10])
        z = browser.execute_script("""
            const slider = $('sliders').querySelector('input');
            slider.value = 1.5;
            slider.dispatchEvent(new Event('input'));
            return Array.from(models[0].z);
        """)
        assert z[shown[0]] == 1.5
        assert readout(browser).startswith("z = (")

    @pytest.mark.parametrize("width", [1200, 520])
    def test_the_page_fits_its_window(self, opened, width):
        opened.set_window_size(width, 900)
        assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        map_box = opened.find_element("id", "map").rect
        digit_box = opened.find_element("id", "decoded").rect
        beside = digit_box["x"] >= map_box["x"] + map_box["width"]
        below = digit_box["y"] >= map_box["y"] + map_box["height"]
        assert (beside, below) == ((True, False) if width == 1200 else (False, True))
        opened.set_window_size(1200, 900)

    def test_a_frame_of_the_full_size_takes_less_than_a_sixtieth_of_a_second(self, browser):
        browser.get(COMMITTED.as_uri())
        wait(browser, "!waiting && images !== null")
        times = browser.execute_script("""
            return Array.from({ length: 50 }, (_, i) => {
              moveTo(i / 25 - 1, 0.3);
              const begin = performance.now();
              drawFrame();
              return performance.now() - begin;
            })""")
        assert min(times) < 16              # not the median: the tests run beside others
        assert browser.get_log("browser") == []


class TestDrawing:
    def draw(self, browser):
        from selenium.webdriver.common.action_chains import ActionChains

        field = browser.find_element("id", "sketch")
        chain = ActionChains(browser).move_to_element_with_offset(field, -30, -40).click_and_hold()
        for x, y in ((30, -40), (0, 40)):
            chain = chain.move_to_element_with_offset(field, x, y)
        chain.release().perform()

    def seen(self, browser):
        data = browser.execute_script("return Array.from($('seen').getContext('2d').getImageData(0, 0, 28, 28).data)")
        return np.reshape(data, (28, 28, 4))[..., 0]

    def test_a_drawing_is_scaled_and_centred_as_in_mnist(self, opened):
        self.draw(opened)
        seen = self.seen(opened)
        rows, columns = np.nonzero(seen)
        assert 20 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 22        # shifted by parts of a pixel
        middle = [(seen * (axis + 0.5)).sum() / seen.sum() for axis in np.mgrid[:28, :28]]
        np.testing.assert_allclose(middle, [14, 14], atol=0.3)

    def test_it_is_encoded_and_reconstructed(self, opened):
        self.draw(opened)
        images = self.seen(opened).reshape(1, 784) / 255
        mean, std = encode(weights_of(), images)
        shown = [[float(number) for number in re.findall(r"-?[\d.]+", part)]
                 for part in text(opened, "encoded").split(";")]
        np.testing.assert_allclose(shown, [mean[0], std[0]], atol=0.03)
        assert opened.execute_script("return samples.length") == 10
        opened.find_element("id", "clear").click()
        assert opened.execute_script("return samples.length") == 0
        assert text(opened, "encoded") == ""
        assert not self.seen(opened).any()

    def test_a_test_image_is_encoded(self, opened, digits):
        opened.find_element("id", "number").send_keys("23")
        np.testing.assert_allclose(self.seen(opened).ravel(), digits.test.pixels[23], atol=1)
        [mean], _ = encode(weights_of(), digits.test.images[23:24])
        np.testing.assert_allclose(opened.execute_script("return point"), mean, atol=2e-3)

    def test_a_stroke_of_the_full_size_takes_less_than_a_sixtieth_of_a_second(self, browser):
        browser.get(COMMITTED.as_uri())
        wait(browser, "!waiting && images !== null")
        times = browser.execute_script("""
            const box = sketch.getBoundingClientRect();
            return Array.from({ length: 50 }, (_, i) => {
              const begin = performance.now();
              draw({ type: "pointerdown", clientX: box.left + 20 + i, clientY: box.top + 20 + 2 * i });
              drawFrame();
              return performance.now() - begin;
            })""")
        assert min(times) < 16              # not the median: the tests run beside others


def files_of(prefix):
    """The files of a checkpoint, in base64 by their names."""
    return {path.name: base64.b64encode(path.read_bytes()).decode() for path in checkpoints.files_of(prefix)}


@pytest.fixture(scope="module")
def old_format(tmp_path_factory):
    """A checkpoint in the single file of TensorFlow 0.x."""
    values = checkpoints.read_variables(PREFIX)
    return write_checkpoint(tmp_path_factory.mktemp("v1") / "parameter20.ckpt", values,
                            write_version=tf.train.SaverDef.V1)


READ = """
    const files = Object.fromEntries(Object.entries(arguments[0]).map(([name, content]) => [name, bytes(content)]));
"""


class TestCheckpoints:
    @pytest.mark.parametrize("prefix", [PREFIX, ORIGINAL, FULL_SIZE, None], ids=["1.4.0", "1.15.5", "ours", "V1"])
    def test_arrays_have_tensorflows_bits(self, opened, old_format, prefix):
        prefix = prefix or old_format
        found = opened.execute_script(READ + """
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

    def test_a_chosen_checkpoint_is_shown_beside_the_first(self, open_page, tmp_path, digits):
        browser = open_page(PREFIX)
        prefix = network(tmp_path, "my_model-7", n_z=3)
        browser.find_element("id", "files").send_keys("\n".join(str(path) for path in checkpoints.files_of(prefix)))
        wait(browser, "models.length === 2 && models[1].means && !waiting")
        shown = text(browser, "models")
        assert "B: my_model-7, format V2, step unknown, n_input 784, n_hidden_encoder 16, n_z 3" in shown
        assert "12 variables, all checksums match" in shown
        with evaluation.restored(prefix, seed=0) as model:
            z = np.float32([[0.1, -1, 2]])
            expected = model.session.run(model.X_out, {model.z: z})
        np.testing.assert_allclose(decoded(browser, z.tolist(), model=1), expected, atol=1e-5)
        np.testing.assert_allclose(np.reshape(browser.execute_script("return Array.from(models[1].means)"), (-1, 3)),
                                   pictures.means(prefix, digits.test.images), atol=1e-4)
        assert browser.execute_script("return $('decoded').children.length") == 2
        browser.execute_script("$('models').querySelector('button').click()")
        assert browser.execute_script("return models.map(({ name }) => name)") == ["my_model-7"]

    def test_on_the_page_without_a_checkpoint(self, open_page, old_format):
        browser = open_page()
        assert browser.execute_script("return models.length") == 0
        browser.find_element("id", "files").send_keys(old_format)
        wait(browser, "models.length === 1 && !waiting")
        assert "A: parameter20.ckpt, format V1, step 20, n_input 784, n_hidden_encoder 16" in text(browser, "models")
        np.testing.assert_allclose(decoded(browser), decode(weights_of(), np.array(POINTS)), atol=1e-5)

    @pytest.mark.parametrize(("name", "content", "found"), [
        ("x.index", b"", "a file that is not a checkpoint"),
        ("x", b"no checkpoint" * 10, "a file that is not a checkpoint"),
        ("x.data-00000-of-00001", b"abc", "no .index file among x.data-00000-of-00001"),
        ("x.meta", b"abc", "no .index file among no files")])
    def test_other_files_get_one_sentence(self, opened, tmp_path, name, content, found):
        path = tmp_path / name
        path.write_bytes(content)
        opened.find_element("id", "files").send_keys(str(path))
        assert wait(opened, "$('error').textContent") == f"Expected a checkpoint of this network, found: {found}"
        assert opened.execute_script("return models.length") == 1

    @pytest.mark.parametrize(("change", "found"), [
        ({"decoder_output/b6": None}, "no variable decoder_output/b6"),
        ({"encoder_z/w3": np.zeros((16, 5), np.float32)}, "encoder_z/w3 of shape [16,5] where [16,4] was expected"),
        ({"encoder_z/b3": np.full(4, np.nan, np.float32)}, "NaN or infinity in encoder_z/b3"),
        ({"encoder_z/b3": np.zeros(4)}, "encoder_z/b3 of type float64"),
        ({"decoder_hidden_1/w4": np.zeros(4, np.float32)}, "weights that are not matrices")])
    def test_another_network_gets_one_sentence(self, opened, tmp_path, change, found):
        values = {name: value for name, value in (checkpoints.read_variables(PREFIX) | change).items()
                  if value is not None}
        prefix = write_checkpoint(tmp_path / "x", values)
        opened.find_element("id", "files").send_keys("\n".join(str(path) for path in checkpoints.files_of(prefix)))
        assert wait(opened, "$('error').textContent") == f"Expected a checkpoint of this network, found: {found}"

    @pytest.mark.parametrize("n_files", [500, pytest.param(10_000, marks=pytest.mark.slow)])
    @pytest.mark.parametrize("version", ["V1", "V2"])
    def test_damaged_files_are_read_or_refused(self, opened, old_format, version, n_files):
        """Half of them have valid checksums, so that the damage reaches what is behind them."""
        opened.set_script_timeout(600)
        outcomes = opened.execute_script(READ + """
            let state = 1;
            const random = n => (state = (state * 48271) % 2147483647) % n;
            const outcomes = { read: 0, refused: 0, longest: 0 };
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
              const begin = performance.now();
              try {
                networkIn(readCheckpoint({ ...files, [name]: damaged }).variables);
                outcomes.read++;
              } catch (error) {
                if (!(error instanceof CheckpointError)) throw error;
                outcomes.refused++;
              }
              outcomes.longest = Math.max(outcomes.longest, performance.now() - begin);
            }
            return outcomes;
        """, files_of(old_format if version == "V1" else PREFIX), n_files)
        assert outcomes["read"] + outcomes["refused"] == n_files
        assert outcomes["refused"] > 0.5 * n_files
        assert outcomes["longest"] < 2000


@pytest.mark.parametrize(("path", "limit"), [(COMMITTED, 6_000_000), (BLANK, 60_000)])
def test_the_committed_pages_are_small_and_current(path, limit):
    page, blank = path.read_bytes(), explorer.blank_page()
    assert len(page) < limit
    numbers = re.compile(rb'(?<=type="application/json">).*(?=</script>\n<script>"use strict";\n\n// A checkpoint)')
    assert numbers.sub(b"", page) == numbers.sub(b"", blank)
