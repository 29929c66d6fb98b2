"""A run's TensorBoard events, as TensorBoard reads them."""

import contextlib
import io
import itertools
import threading
from collections import Counter
from pathlib import Path

import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

import run_mnist
from tests.helpers import files_of_at_most, posix_only, train, variables_as_bytes
from tests.small import SETTINGS, SMALL
from vae_graph import checkpoints
from vae_graph.runs import events
from vae_graph.settings import Settings
from vae_graph.training_graph import training_graph

schematic = events.schematic     # replaced in the tests that train
FOLDER = Path("checkpoints", "other")
FLAGS = ["--dataset", "other", *SMALL, "--checkpoint_every", "2"]


def read(folder):
    """The events of all a folder's files, the oldest file first."""
    files = sorted(folder.glob(events.EVENT_FILES), key=lambda path: path.stat().st_mtime_ns)
    return [[tf.Event.FromString(record) for record in tf.python_io.tf_record_iterator(str(path))] for path in files]


def summaries(file):
    """The values of a file's summaries, by step and tag."""
    return {(event.step, value.tag): value for event in file for value in event.summary.value}


def test_scalars_match_the_printed_errors_and_adams_learning_rate(digits, tmp_path, monkeypatch):
    clock = (second**2 for second in itertools.count())      # read before and after each epoch: 1, 5, 9, 13 s
    monkeypatch.setattr(events.time, "perf_counter", lambda: next(clock))
    _, history = train(digits, tmp_path)
    [file] = read(tmp_path)
    found = {key: value.simple_value for key, value in summaries(file).items()}
    assert {tag for _, tag in found} == {"Recon_error", "Regularization_error", "ELBO", "KL", "learning_rate",
                                         "images_per_second"}
    assert sorted({step for step, _ in found}) == [4, 8, 12, 16]
    for epoch, step in enumerate((4, 8, 12, 16)):
        for name in ("Recon_error", "Regularization_error", "ELBO"):
            assert found[step, name] == pytest.approx(history[name][epoch], rel=1e-6)
        assert found[step, "KL"] == pytest.approx(history["Regularization_error"][epoch] - 2, rel=1e-5)
        assert found[step, "images_per_second"] == pytest.approx(4 * 50 / (1 + 4 * epoch))
    with tf.Graph().as_default() as graph, tf.Session() as session:
        training_graph(784, SETTINGS)
        [decay] = (op for op in graph.get_operations() if op.name.endswith("ExponentialDecay"))
        rate, step = decay.outputs[0], graph.get_tensor_by_name(f"{decay.name}/Cast_2:0")
        assert session.run(rate, {step: 12}) == pytest.approx(found[12, "learning_rate"], rel=1e-6)


def test_the_pictures_of_each_checkpoint_are_there(in_tmp, without_drawing):
    assert run_mnist.main([*FLAGS, "--num_epoch", "3"]) == 0
    [file] = read(FOLDER)
    found = {key: value.image for key, value in summaries(file).items() if value.HasField("image")}
    names = ("result1_reconstruction", "result2_latent", "result3_manifold")
    steps = sorted({step for step, _ in found})
    assert found.keys() == {(step, name) for step in steps for name in names}
    assert len(steps) == 2
    for name in names:
        assert found[steps[-1], name].encoded_image_string == Path("figures", "other", f"{name}.png").read_bytes()
        Image.open(io.BytesIO(found[steps[0], name].encoded_image_string)).verify()


def test_histograms_are_written_on_request(in_tmp, without_pictures):
    assert run_mnist.main([*FLAGS, "--num_epoch", "1", "--histograms"]) == 0
    found = {tag: value for (_, tag), value in summaries(read(FOLDER)[0]).items() if value.HasField("histo")}
    newest, _ = checkpoints.latest_valid(FOLDER)
    network = checkpoints.read_network(newest.prefix)[1]
    assert found.keys() == {f"weights/{name}" for name in network}
    for name, values in network.items():
        histogram = found[f"weights/{name}"].histo
        assert (histogram.num, histogram.max) == (values.size, pytest.approx(values.max()))


def test_histograms_change_no_byte_of_a_run(digits, tmp_path):
    with_them, without = (train(digits, tmp_path / name, histograms=on)[0] for name, on in (("a", True), ("b", False)))
    assert variables_as_bytes(with_them) == variables_as_bytes(without)


def test_a_resumed_run_marks_its_first_step(digits, tmp_path):
    train(digits, tmp_path, num_epoch=1)
    train(digits, tmp_path, num_epoch=3)
    first, second = read(tmp_path)
    starts = [[event.step for event in file if event.session_log.status == tf.SessionLog.START]
              for file in (first, second)]
    assert starts == [[1], [5]]
    assert [sum(event.HasField("graph_def") for event in file) for file in (first, second)] == [1, 0]
    assert {step for step, _ in summaries(second)} == {8, 12}


def test_two_runs_within_a_second_write_two_files(tmp_path):
    for _ in range(2):
        with tf.Graph().as_default(), events.open_log(tmp_path, SETTINGS) as log:
            log.start(784, 0)
    # The version of the format, the start; the graph once.
    assert [len(file) for file in read(tmp_path)] == [3, 2]


def test_tensorboard_discards_superseded_events(digits, tmp_path, monkeypatch, caplog):
    """Checked with its own reader."""
    monkeypatch.setattr(events, "schematic", schematic)
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator",
                                 reason="there is no TensorBoard")
    train(digits, tmp_path, histograms=True)
    for path in tmp_path.glob("parameter3.ckpt*"):       # the last of 0, 2 and 3
        path.unlink()
    train(digits, tmp_path, num_epoch=5, histograms=True)
    found = reader.EventAccumulator(str(tmp_path), {"histograms": 0}).Reload()       # 0: all of them
    assert [event.step for event in found.Scalars("ELBO")] == [4, 8, 12, 16, 20]
    assert [event.step for event in found.Histograms("weights/encoder_z/w3")] == [4, 12, 20]
    assert "encoder/encoder_hidden_1/w1" in {node.name for node in found.Graph().node}
    assert "more than one graph" not in caplog.text


def test_a_restart_archives_the_events_of_the_earlier_run(in_tmp, without_pictures):
    for more in ([], ["--restart"]):
        assert run_mnist.main([*FLAGS, "--num_epoch", "1", *more]) == 0
    assert len(read(FOLDER)) == len(read(FOLDER / "earlier-1")) == 1


@pytest.fixture(scope="module", params=[False, True], ids=["clean", "noisy"])
def graph(request):
    settings = Settings(n_hidden_encoder=16, n_hidden_decoder=12, add_noise=request.param)
    graph_def = schematic(784, settings)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")              # which refuses an input that is not there
    return graph


class TestSchematic:
    def test_it_has_six_groups_and_nothing_else(self, graph):
        boxes = Counter(operation.name.partition("/")[0] for operation in graph.get_operations())
        assert set(boxes) == {"input", "encoder", "sampling", "decoder", "loss", "optimizer"}

    def test_each_part_is_in_its_group(self, graph):
        names = {operation.name for operation in graph.get_operations()}
        for name in ("input/input_data", "encoder/encoder_hidden_1/w1", "encoder/encoder_z/Softplus",
                     "sampling/random_normal/RandomStandardNormal", "decoder/decoder_output/Sigmoid",
                     "loss/clip_by_value", "loss/Log", "optimizer/encoder_hidden_1/w1/Adam"):
            assert name in names

    def test_the_groups_are_connected_as_the_model(self, graph):
        joined = {(tensor.op.name.partition("/")[0], operation.name.partition("/")[0])
                  for operation in graph.get_operations() for tensor in operation.inputs}
        assert {("input", "encoder"), ("encoder", "sampling"), ("sampling", "decoder"), ("decoder", "loss"),
                ("loss", "optimizer")} <= joined
        assert not {(b, a) for a, b in joined if a != b} & joined - {("optimizer", "encoder"), ("optimizer", "decoder")}


@posix_only
def test_events_that_cannot_be_written_do_not_stop_a_run(digits, tmp_path, capfd):
    with files_of_at_most(1_000_000):
        prefix, history = train(digits, tmp_path, lambda prefix: {"a.png": bytes(2_000_000)})
    assert len(history["epoch"]) == 4
    checkpoints.read_variables(prefix)
    assert capfd.readouterr().err == ""


@posix_only
def test_events_that_cannot_be_written_are_one_line(tmp_path, monkeypatch, capfd):
    """Without output of the writer's thread, whose exception the writer's next call raises again."""
    reported = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    with tf.Graph().as_default(), files_of_at_most(1000), events.open_log(tmp_path, SETTINGS) as log:
        log.reset_timer(0)
        for step in range(1, 40):
            log.add_epoch(step, (1, 2, 3))
            log.add_checkpoint(step, {}, None)
    captured = capfd.readouterr()
    [path] = tmp_path.iterdir()
    assert captured.err.startswith(f"TensorBoard events end here: {path}")
    assert captured.err.count("\n") == 1
    assert (captured.out, reported) == ("", [])


def test_the_hooks_of_a_run_are_removed(digits, tmp_path):
    before = threading.excepthook, list(tf.get_logger().filters)
    with contextlib.suppress(KeyboardInterrupt):
        train(digits, tmp_path, lambda prefix: exec("raise KeyboardInterrupt"))
    assert (threading.excepthook, tf.get_logger().filters) == before


def test_an_exception_in_another_thread_is_reported(tmp_path, monkeypatch):
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))
    with events.open_log(tmp_path, SETTINGS):
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    assert reported == [ZeroDivisionError]
