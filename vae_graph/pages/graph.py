"""The graph page: one HTML file that shows which operations of the graph a `Session.run` executes, and their values.

The graph is the builders' own: one network, its loss, Adam, a second decoder on the same weights, and a Saver. The
page, `graph.html`, prunes it as TensorFlow does; the values are recorded here.
"""

import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from vae_graph import checkpoints, model
from vae_graph.evaluation import check_images
from vae_graph.graph_parts import graph_parts
from vae_graph.model import Bernoulli_decoder, Variational_autoencoder
from vae_graph.pages.template import fill
from vae_graph.settings import Settings
from vae_graph.training_graph import learning_rate

N_IMAGES = 4                     # in the recorded batch
MAX_SIZE = 64, 256               # rows and columns of the picture of a value; of larger ones every n-th is shown
LARGE_PARTS = ("optimizer", "saver")         # which no scene opens


class Built(NamedTuple):
    """The graph, and the tensors and operations of its scenes."""

    graph: tf.Graph
    images: tf.Tensor
    keep_prob: tf.Tensor
    z: tf.Tensor
    X_out: tf.Tensor
    ELBO: tf.Tensor
    train_op: tf.Operation
    any_z: tf.Tensor             # the second decoder's input
    decoded: tf.Tensor           # its output
    parts: dict[str, str]        # the part of the graph to which each operation belongs, by its name


def build(sizes: checkpoints.LayerSizes) -> Built:
    """Build the graph of the page, as the guide does, for a network of these sizes."""
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(0)
        images = tf.placeholder(tf.float32, [None, sizes.n_input], name="input_data")
        keep_prob = tf.placeholder(tf.float32, [], name="dropout_rate")
        z, X_out, _, _, ELBO = Variational_autoencoder(
            images, sizes.n_hidden_encoder, sizes.n_z, sizes.n_hidden_decoder, keep_prob)
        global_step = tf.Variable(0, trainable=False, use_resource=True)
        optimizer = tf.train.AdamOptimizer(learning_rate(Settings(), global_step))
        train_op = optimizer.minimize(ELBO, global_step=global_step)
        of_parts = graph_parts(graph.as_graph_def(), ELBO.op.name)
        any_z = tf.placeholder(tf.float32, [None, sizes.n_z], name="any_z")
        decoded = Bernoulli_decoder(any_z, sizes.n_hidden_decoder, sizes.n_input, keep_prob=1.0)
        tf.train.Saver()
        for op in graph.get_operations():
            of_parts.setdefault(op.name, "saver" if op.name.startswith("save/") else "decoder again")
        return Built(graph, images, keep_prob, z, X_out, ELBO, train_op, any_z, decoded, of_parts)


def page(prefix: str, images: np.ndarray) -> bytes:
    """The page of a checkpoint's network, with the values of one run on some images.

    Args:
        prefix: the checkpoint.
        images: float32 [n, n_input] in [0, 1]; the first four are fed.

    Raises:
        CheckpointError: the checkpoint is invalid, not of this network, has NaN or infinity in it, is for images of
            another size, or gives no finite errors.
    """
    sizes, network = checkpoints.read_network(prefix)
    check_images(prefix, images, sizes)
    built = build(sizes)
    values = record(built, network, images[:N_IMAGES])
    if not np.isfinite(ELBO := values[built.ELBO.name]):
        raise checkpoints.CheckpointError(f"{prefix}: expected finite errors on these images, found an ELBO of {ELBO}")
    data = {"name": checkpoints.label(prefix),
            "recorded": {"images": len(images[:N_IMAGES]), "keep_prob": Settings.keep_prob},
            "operations": operations(built), "scenes": scenes(built), "closed": LARGE_PARTS,
            "meanings": {op.name: meaning for meaning, op in _meanings(built).items()},
            "source": Path(model.__file__).read_text(encoding="utf-8").splitlines(),
            "values": {name: _described(value) for name, value in values.items()}}
    return fill("graph.html", ("dom.js", "operations.js", "layout.js", "graph.js"), data)


def operations(built: Built) -> list[dict[str, Any]]:
    """Every operation, in the order of creation: what it reads, what it gives, which line of `model.py` made it."""
    return [{
        "name": op.name, "type": op.type, "part": built.parts[op.name], "line": _line(op),
        "inputs": [tensor.name for tensor in op.inputs],
        "control": sorted(other.name for other in op.control_inputs),    # TensorFlow's order changes from run to run
        "outputs": [{"dtype": tensor.dtype.base_dtype.name, "shape": tensor.shape.as_list() if tensor.shape else None,
                     "feedable": built.graph.is_feedable(tensor)} for tensor in op.outputs],
    } for op in built.graph.get_operations()]


def _line(op: tf.Operation) -> int | None:
    """The line of `model.py` that called for an operation: the innermost one in it."""
    lines = [frame.lineno for frame in op.traceback if frame.filename == model.__file__]
    return lines[-1] if lines else None


def scenes(built: Built) -> list[dict[str, Any]]:
    """The scenes of the guide's sections: what is fetched, what is fed, and the selected operation, by name."""
    noise = built.graph.get_tensor_by_name("random_normal/RandomStandardNormal:0")
    fed = [built.images, built.keep_prob]
    layer = built.graph.get_tensor_by_name("encoder_hidden_1/Elu:0")
    save, names = (built.graph.get_operation_by_name(f"save/{name}")
                   for name in ("control_dependency", "SaveV2/tensor_names"))
    found: tuple[tuple[str, str, list, list, tf.Operation | None], ...] = (
        ("1", "A placeholder must be fed", [built.ELBO], [], None),
        ("2", "One layer", [layer], [built.images], None),
        ("3", "AUTO_REUSE: two decoders, one set of weights", [built.X_out, built.decoded], [*fed, built.any_z], None),
        ("4", "One forward pass", [built.ELBO, built.z], fed, None),
        ("5a", "z fed: the encoder is cut off", [built.X_out], [built.z, built.keep_prob], None),
        ("5b", "The noise fed", [built.z], [*fed, noise], None),
        ("6", "A training step", [built.train_op], fed, None),
        ("7", "Saver: the 39 variables", [save], [], names))
    return [{"section": section, "title": title, "fetches": [item.name for item in fetches],
             "feeds": [item.name for item in feeds], "selected": selected and selected.name}
            for section, title, fetches, feeds, selected in found]


def _meanings(built: Built) -> dict[str, tf.Operation]:
    """The operations that compute what the program's variables are named for."""
    return {"z": built.z.op, "X_out": built.X_out.op, "ELBO": built.ELBO.op, "train_op": built.train_op}


def session_config() -> tf.ConfigProto:
    """Without the optimizations that replace, merge or fold operations: each runs under its own name."""
    config = tf.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
    config.graph_options.optimizer_options.do_constant_folding = False
    return config


def record(built: Built, network: Mapping[str, np.ndarray], images: np.ndarray) -> dict[str, np.ndarray]:
    """The value of every tensor of a training step, of the second decoder, and of every constant text, by its name.

    The network's variables have the values of a checkpoint, the others their initial ones. What reads variables is run
    before they are updated: in one run the order would be any. The operations of the Saver and of the initializers are
    not run: they write files and variables.
    """
    with built.graph.as_default(), tf.Session(config=session_config()) as session:
        variables, n_z = tf.global_variables(), built.z.shape[1]
        session.run([variable.initializer for variable in variables])
        for variable in tf.trainable_variables():
            session.run(variable.initializer, {variable.initializer.inputs[1]: network[variable.op.name]})
        tensors = [tensor for op in built.graph.get_operations() if _is_recorded(built, op) for tensor in op.outputs
                   if tensor.dtype.base_dtype not in (tf.resource, tf.string, tf.variant)]
        updated = _after_updates(built)
        before = [tensor for tensor in tensors if tensor.op not in updated]
        after = [tensor for tensor in tensors if tensor.op in updated]
        feeds = {built.images: images, built.keep_prob: Settings.keep_prob, built.any_z: np.zeros((len(images), n_z))}
        values = [*session.run(before, feeds), *session.run(after, feeds)]
    constants = {op.outputs[0].name: tf.make_ndarray(op.get_attr("value")) for op in built.graph.get_operations()
                 if op.type == "Const" and op.outputs[0].dtype == tf.string}
    return constants | {tensor.name: value for tensor, value in zip(before + after, values, strict=True)}


def _after_updates(built: Built) -> set[tf.Operation]:
    """The operations of a training step that update a variable or wait for an update."""
    found: set[tf.Operation] = set()
    for op in built.graph.get_operations():
        if _is_recorded(built, op) and (
                op.type in ("ResourceApplyAdam", "AssignAddVariableOp")
                or found & {*(tensor.op for tensor in op.inputs), *op.control_inputs}):
            found.add(op)
    return found


def _is_recorded(built: Built, op: tf.Operation) -> bool:
    """Whether an operation is part of the recorded run."""
    return built.parts[op.name] != "saver" and "/Initializer/" not in op.name and "IsInitialized" not in op.name


def _described(value: np.ndarray) -> dict[str, Any]:
    """A value's shape, minimum, mean and maximum; and a picture, if it is an image, a matrix or a code.

    What is not finite, as an intermediate result may be, is only counted.
    """
    description: dict[str, Any] = {"shape": list(value.shape)}
    if value.dtype == object:
        return description | {"texts": [text.decode() for text in value.ravel()]}
    numbers = value.astype(np.float64)
    if n_not_finite := int((~np.isfinite(numbers)).sum()):
        return description | {"not_finite": n_not_finite}
    if not value.size:
        return description
    description |= {"min": float(numbers.min()), "mean": float(numbers.mean()), "max": float(numbers.max())}
    if value.size <= 8:
        description["numbers"] = numbers.ravel().tolist()
    if value.ndim == 2 and value.size > 8:
        description["picture"] = _picture(numbers)
    return description


def _picture(matrix: np.ndarray) -> dict[str, Any]:
    """A matrix as gray values from its minimum to its maximum: a batch of images as images, others as they are."""
    if matrix.shape[1] == 28 * 28:
        matrix = np.concatenate(matrix[:N_IMAGES].reshape(-1, 28, 28), 1)
    rows, columns = (math.ceil(size / most) for size, most in zip(matrix.shape, MAX_SIZE, strict=True))
    matrix = matrix[::rows, ::columns]
    gray = np.uint8(255 * (matrix - matrix.min()) / (np.ptp(matrix) or 1)).tobytes()
    return {"height": len(matrix), "width": len(gray) // len(matrix), "gray": base64.b64encode(gray).decode()}
