"""What several test files use: small networks, small data, files made by hand, processes, and checks."""

import contextlib
import dataclasses
import functools
import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import run_mnist
from tests.small import ROOT, SETTINGS
from vae_graph import checkpoints, files, training
from vae_graph.checkpoints import writing
from vae_graph.cli import parser
from vae_graph.training_graph import Step, TrainingGraph, training_graph

BLOCK = r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?"              # of a page, and what it prints
UPDATES = ("AssignVariableOp", "AssignAddVariableOp", "ResourceApplyAdam", "SaveV2", "RestoreV2")
NO_PROCESS = f"{files.HOST}-{2**22 + 1}"           # in the name of an incomplete file; Linux has fewer processes

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no equivalent")
# The examples of a test share a folder, in which each writes its own files.
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def train(digits, folder, on_checkpoint=lambda prefix: None, histograms=False, n_towers=1, **changes):
    """Train a network of `SETTINGS`, with some changes; return the last checkpoint's prefix and the epochs' errors."""
    folder.mkdir(exist_ok=True)
    prefix, record = training.train(digits.train.pixels, digits.sha256, dataclasses.replace(SETTINGS, **changes),
                                    folder, on_checkpoint, n_towers, histograms)
    return prefix, record.errors


def variables_as_bytes(prefix):
    return {name: value.tobytes() for name, value in checkpoints.read_variables(prefix).items()}


def import_training_graph(n_input, settings, n_steps, n_towers):
    """`training_graph`, imported from a copy that is built once: three times as fast."""
    # These settings do not change the graph.
    settings = dataclasses.replace(settings, num_epoch=1, checkpoint_every=1, keep_prob=1)
    meta_graph, names = _export_training_graph(n_input, settings, n_steps, n_towers)
    tf.train.import_meta_graph(meta_graph)
    graph = tf.get_default_graph()
    [global_step] = (variable for variable in tf.global_variables() if variable.op.name == "Variable")
    return TrainingGraph(
        graph.get_tensor_by_name("input_data:0"), graph.get_tensor_by_name("dropout_rate:0"), global_step,
        tuple(Step([graph.get_tensor_by_name(name) for name in errors], graph.get_operation_by_name(train_op), {})
              for errors, train_op in names))


@functools.cache
def _export_training_graph(n_input, settings, n_steps, n_towers):
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(settings.seed)
        steps = training_graph(n_input, settings, n_steps, n_towers).steps
        names = [([error.name for error in step.errors], step.train_op.name) for step in steps]
        # Without the name of a saver, each import would build one.
        saver = tf.train.SaverDef(filename_tensor_name="none", save_tensor_name="none", restore_op_name="none")
        return tf.train.export_meta_graph(graph=graph, saver_def=saver), names


def save_training_graph(folder, epoch):
    """Write the checkpoint of an untrained network."""
    with tf.Graph().as_default(), tf.Session() as session:
        training_graph(784, SETTINGS)
        session.run(tf.global_variables_initializer())
        return writing.save(session, tf.train.Saver(), folder, epoch)


def write_checkpoint(prefix, variables, write_version=tf.train.SaverDef.V2):
    """Write arrays, by their names, as a checkpoint: by the operations of a Saver without a graph, which is faster."""
    names, values = [*variables], [*variables.values()]
    if write_version == tf.train.SaverDef.V1:
        tf.raw_ops.Save(filename=str(prefix), tensor_names=names, data=values)
    else:
        tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    return str(prefix)


def write_network(prefix, n_z=2, n_hidden=16, seed=None):
    """Write a checkpoint of random weights, whose pixels range from 0 to 1."""
    random = np.random.default_rng(n_z if seed is None else seed)
    shapes = checkpoints.model_shapes(checkpoints.LayerSizes(784, n_hidden, n_z, n_hidden))
    return write_checkpoint(prefix, {
        name: random.normal(0, 1.5 / np.sqrt(shape[0]), shape).astype(np.float32) for name, shape in shapes.items()})


def damaged(content):
    """The bytes truncated, or some of them changed, or others appended."""
    place = st.integers(0, len(content) - 1)
    changes = st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=4)

    def change(places):
        changed = bytearray(content)
        for at, byte in places:
            changed[at] = byte
        return bytes(changed)
    return st.one_of(place.map(lambda end: content[:end]), changes.map(change),
                     st.binary(min_size=1, max_size=9).map(lambda more: content + more))


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextlib.contextmanager
def files_of_at_most(n_bytes):
    """A limit with the effect of a full disk, of a quota and of `ulimit -f`."""
    resource = pytest.importorskip("resource", reason="Windows has no limits of this kind")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def closed_output():
    """Standard output is a pipe whose reader has gone."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "w") as output, contextlib.redirect_stdout(output):
        yield


def assert_one_line(error, beginning):
    assert str(error).startswith(beginning)
    assert "\n" not in str(error)


def one_line_error(capsys):
    """The message on the error stream, which must be one line."""
    captured = capsys.readouterr()
    program, _, message = captured.err.partition(": error: ")
    assert program in ("run_mnist.py", *(f"run_mnist.py {name}" for name in run_mnist.COMMANDS))
    assert captured.err.count("\n") == 1
    return message.rstrip("\n")


def parse_flags(argv):
    """The program's flags."""
    return parser.parse_flags(run_mnist.COMMANDS, argv)


def without_optimizations():
    """The configuration of a session in which each operation runs under its own name."""
    config = tf.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
    config.graph_options.optimizer_options.do_constant_folding = False
    return config


def is_of_variables(op):
    """Whether an operation initializes, saves or restores variables."""
    return "/Initializer/" in op.name or op.type == "VarIsInitializedOp" or op.name.startswith("save/")


def after_updates(graph):
    """The operations that update a variable or wait for an update."""
    found = set()
    for op in graph.get_operations():
        if op.type in UPDATES or found & {*(tensor.op for tensor in op.inputs), *op.control_inputs}:
            found.add(op)
    return found


def comparable(printed):
    """The lines without the numbers that depend on the data: losses and others in nats."""
    return [re.sub(r"\d+\.\d+", "#", line) if "loss" in line or "nats" in line else line
            for line in printed.splitlines()]


def run_blocks(page, names):
    """Run a page's Python blocks; each prints the text shown below it, as far as that is `comparable`."""
    for code, shown in re.findall(BLOCK, page, re.DOTALL):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        assert comparable(printed.getvalue()) == comparable(shown), code


def command(*flags):
    """Arguments of `subprocess` for the program in a new process, with its own default log level."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return {"args": [sys.executable, str(ROOT / "run_mnist.py"), *flags], "env": environment, "text": True,
            "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
