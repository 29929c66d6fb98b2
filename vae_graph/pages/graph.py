"""The graph page: one HTML file with a TensorFlow 1 program, its graph, and a session in JavaScript that runs it.

The graph is the one that TensorFlow built from `program.py`; the page prunes and computes it with the weights of a
checkpoint. This module writes the graph, the weights, the test images and the scenes into `graph.html`.
"""

import base64
import gzip
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints
from vae_graph.evaluation import check_images
from vae_graph.pages import lines, program
from vae_graph.pages.scenes import scenes
from vae_graph.pages.template import fill, float16

SCRIPTS = ("dom.js", "numbers.js", "tensors.js", "operations.js", "session.js", "lines.js", "pictures.js", "layered.js",
           "feeds.js", "scenes.js", "computing.js", "listing.js", "drawing.js", "details.js", "training.js",
           "stepping.js", "graph.js")
ATTRIBUTES = "transpose_a", "transpose_b", "keep_dims", "begin_mask", "end_mask", "DstT", "value"    # that it uses


def page(prefix: str, images: np.ndarray) -> bytes:
    """The page of a checkpoint's network.

    Weights are float16, which halves the page's size.

    Args:
        prefix: the checkpoint.
        images: float32 [n, n_input] in [0, 1], those that can be fed.

    Raises:
        CheckpointError: the checkpoint is invalid, not of this network, has NaN or infinity in it, weights that float16
            cannot represent, or is for images of another size.
    """
    sizes, network = checkpoints.read_network(prefix)
    check_images(prefix, images, sizes)
    pixels = np.rint(255 * images).astype(np.uint8)
    data = {"name": checkpoints.label(prefix), **graph_data(sizes),
            "scenes": [scene._asdict() for scene in scenes(sizes.n_z)],
            "weights": {name: _gzipped(float16(prefix, values)) for name, values in network.items()},
            "images": _gzipped(pixels)}
    return fill("graph.html", SCRIPTS, data)


def graph_data(sizes: checkpoints.LayerSizes) -> dict[str, Any]:
    """The program's graph for a network of these sizes, its lines, and what the program's names stand for."""
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(0)
        names = program.build(sizes.n_input, sizes.n_hidden_encoder, sizes.n_z, sizes.n_hidden_decoder)
        code, of_operations = lines.code_map(graph)
        groups = lines.groups(graph)
    return {"operations": [_described(op) | {"line": of_operations[op.name]} | (
                {"group": groups[op.name]} if op.name in groups else {}) for op in graph.get_operations()],
            "lines": [line._asdict() for line in code],
            # Of tensors, operations and variables.
            "names": {name: value.name for name, value in names.items() if hasattr(value, "name")}}


def _described(op: tf.Operation) -> dict[str, Any]:
    """An operation of the GraphDef, with the shapes that TensorFlow inferred; false and 0 are left out."""
    attributes = {name: _attribute(op, name) for name in ATTRIBUTES if name in op.node_def.attr}
    return {
        "name": op.name, "type": op.type, "inputs": [tensor.name for tensor in op.inputs],
        "control": sorted(other.name for other in op.control_inputs),        # TensorFlow's order varies between runs
        "outputs": [{"dtype": tensor.dtype.base_dtype.name, "shape": tensor.shape.as_list() if tensor.shape else None}
                    | ({} if op.graph.is_feedable(tensor) else {"unfeedable": True}) for tensor in op.outputs],
        "attributes": {name: value for name, value in attributes.items() if value}}


def _attribute(op: tf.Operation, name: str) -> Any:
    value = op.get_attr(name)
    if isinstance(value, tf.DType):
        return value.name
    if name != "value":
        return value
    array = tf.make_ndarray(value)
    numbers = [item.decode() if isinstance(item, bytes) else item for item in array.ravel().tolist()]
    # As in a TensorProto, one number stands for many that are equal.
    return {"shape": array.shape, "numbers": numbers[:1] if len({*numbers}) == 1 else numbers}


def _gzipped(values: np.ndarray) -> str:
    return base64.b64encode(gzip.compress(values.tobytes(), mtime=0)).decode()
