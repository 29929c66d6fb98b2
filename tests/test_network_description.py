"""What other files say about the network is what `model.py` builds: a change there has to be made in all of them."""

import itertools
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorflow.compat.v1 as tf

import vae_graph
from vae_graph import _onnx_graphs, model, plot
from vae_graph.checkpoints import LayerSizes, model_shapes

pytestmark = pytest.mark.quick

PACKAGE = Path(vae_graph.__file__).parent
SIZES = LayerSizes(784, 11, 3, 22)
with tf.Graph().as_default() as GRAPH:
    model.Variational_autoencoder(tf.placeholder(tf.float32, [None, 784]), 11, 3, 22, keep_prob=1.0)
    SHAPES = {variable.op.name: tuple(variable.shape.as_list()) for variable in tf.trainable_variables()}
OPERATIONS = {operation.name: operation for operation in GRAPH.get_operations()}
# An activation is the only operation with one input that is directly in its layer's scope.
ACTIVATIONS = {name.split("/")[0]: operation.type for name, operation in OPERATIONS.items()
               if re.fullmatch(r"(en|de)coder_\w+/\w+", name) and len(operation.inputs) == 1}


def in_format():
    return model_shapes(SIZES), SHAPES


def in_onnx():
    weights = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    shapes, activations = {}, {}
    for content in _onnx_graphs.graphs(SIZES, weights).values():
        graph = onnx.load_from_string(content).graph
        shapes |= {values.name: tuple(values.dims) for values in graph.initializer if values.dims}
        activations |= {node.input[0].split("/")[0]: node.op_type for node in graph.node
                        if len(node.input) == 1 and node.op_type != "Split"}
    return (shapes, activations), (SHAPES, ACTIVATIONS)


def in_reader_of_checkpoints():
    code = (PACKAGE / "pages" / "checkpoint.js").read_text(encoding="utf-8")
    sizes = {"input": 784, "encoder": 11, "z": 3, "decoder": 22}
    return {name: eval(f"({shape},)", sizes) for name, shape in re.findall(r'"(\w+/\w+)": \[(.*?)\]', code)}, SHAPES


def in_javascript():
    code = (PACKAGE / "pages" / "network.js").read_text(encoding="utf-8")
    layers = re.findall(r'affine\(\w+, weights, "(\w+)", (\d)\)(?:\.map\((\w+)\))?', code)
    [of_std] = re.findall(r"std: both\.slice\(sizes\.z\)\.map\(x => (\w+)\(x\)", code)
    names = [f"{scope}/{kind}{number}" for scope, number, _ in layers for kind in "wb"]
    return (names, {scope: (name or of_std).capitalize() for scope, _, name in layers}), ([*SHAPES], ACTIVATIONS)


def in_schematic():
    [ax] = plot.schematic(784, 11, 3, 22, 0.5).axes
    texts = [text.get_text() for text in ax.texts]
    scopes = {scope: re.search(r"(\d+)(?: units| pixels)?\n(\w+)", text) for text, scope in itertools.pairwise(texts)
              if "coder_" in scope}
    units = {scope: SHAPES[name][-1] // (2 if scope == "encoder_z" else 1)          # where mean and std have a box each
             for name in SHAPES for scope in [name.split("/")[0]]}
    return ({scope: (int(found[1]), found[2].capitalize()) for scope, found in scopes.items()},
            {scope: (units[scope], ACTIVATIONS[scope]) for scope in units})


@pytest.mark.parametrize(("file", "described"), {
    "checkpoints/format.py": in_format, "pages/checkpoint.js": in_reader_of_checkpoints, "_onnx_graphs.py": in_onnx,
    "pages/network.js": in_javascript, "plot.py": in_schematic}.items())
def test_the_network_is_the_same_everywhere(file, described):
    found, expected = described()
    assert found == expected, f"{file} describes another network than model.py"
