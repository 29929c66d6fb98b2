"""The network as ONNX graphs, from its weights: the operations of `model` with dropout off, one for one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from vae_graph.checkpoints.format import LayerSizes

# Of 2020, so that older runtimes can read them.
OPSET, IR_VERSION = 13, 7


def graphs(sizes: LayerSizes, network: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """ONNX models by their names; for their inputs, outputs and shapes see `export.onnx`.

    Args:
        sizes: the layer sizes.
        network: the twelve variables by their names.
    """
    images, z = ("images", sizes.n_input), ("z", sizes.n_z)
    mean, std = ("mean", sizes.n_z), ("std", sizes.n_z)
    reconstructions = ("reconstructions", sizes.n_input)     # not `images`: an ONNX graph's names are unique
    autoencoder = _encoder() + _decoder("mean", "reconstructions")
    models = (_model("encode", _encoder(), images, [mean, std], network),
              _model("decode", _decoder("z", "images"), z, [images], network),
              _model("reconstruct", autoencoder, images, [reconstructions], network))
    return {model.graph.name: model.SerializeToString() for model in models}


def _model(name: str, nodes: Sequence[NodeProto], model_input: tuple[str, int], outputs: Sequence[tuple[str, int]],
           network: Mapping[str, Any]) -> ModelProto:
    def description(name: str, size: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])

    used = {name for node in nodes for name in node.input}
    constants = {**network, "tiny": np.full((), 1e-6, np.float32)}
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
    graph = helper.make_graph(nodes, name, [description(*model_input)],
                              [description(*output) for output in outputs], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                              producer_name="vae_graph")
    checker.check_model(model, full_check=True)
    return model


def _encoder() -> list[NodeProto]:
    return [*_layer("images", "encoder_hidden_1", 1, "Elu"), *_layer("encoder_hidden_1", "encoder_hidden_2", 2, "Elu"),
            *_layer("encoder_hidden_2", "encoder_z", 3),
            helper.make_node("Split", ["encoder_z"], ["mean", "encoder_z/rest"], axis=1),
            helper.make_node("Softplus", ["encoder_z/rest"], ["encoder_z/Softplus"]),
            helper.make_node("Add", ["encoder_z/Softplus", "tiny"], ["std"])]


def _decoder(z: str, images: str) -> list[NodeProto]:
    return [*_layer(z, "decoder_hidden_1", 4, "Elu"), *_layer("decoder_hidden_1", "decoder_hidden_2", 5, "Elu"),
            *_layer("decoder_hidden_2", "decoder_output", 6, "Sigmoid", images)]


def _layer(x: str, scope: str, number: int, activation: str = "", output: str = "") -> list[NodeProto]:
    """activation(x W + b), named as its scope, or as `output`."""
    name = output or scope
    product, sums = f"{scope}/MatMul", f"{scope}/add" if activation else name
    nodes = [helper.make_node("MatMul", [x, f"{scope}/w{number}"], [product]),
             helper.make_node("Add", [product, f"{scope}/b{number}"], [sums])]
    return [*nodes, helper.make_node(activation, [sums], [name])] if activation else nodes
