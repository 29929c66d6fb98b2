"""The parts of the graph, for display: input, encoder, sampling, decoder, loss, optimizer."""

import tensorflow.compat.v1 as tf

from vae_graph.model import Variational_autoencoder, add_noise
from vae_graph.settings import Settings
from vae_graph.training_graph import learning_rate


def schematic(n_input: int, settings: Settings) -> tf.GraphDef:
    """The graph of one step, its nodes grouped: input, encoder, sampling, decoder, loss, optimizer.

    For display in TensorBoard only. The graph that is run has other copies and towers and no groups, since the names
    of variables are a file format: `encoder/encoder_hidden_1/w1` is `encoder_hidden_1/w1` there.
    """
    with tf.Graph().as_default() as graph:
        X = tf.placeholder(tf.float32, [None, n_input], name="input_data")
        keep_prob = tf.placeholder(tf.float32, [], name="dropout_rate")
        *_, ELBO = Variational_autoencoder(
            X, settings.n_hidden_encoder, settings.n_z, settings.n_hidden_decoder, keep_prob,
            add_noise(X) if settings.add_noise else None)
        global_step = tf.train.get_or_create_global_step()
        tf.train.AdamOptimizer(learning_rate(settings, global_step)).minimize(ELBO)
        graph_def = graph.as_graph_def(add_shapes=True)

    parts = graph_parts(graph_def, ELBO.op.name)
    for node in graph_def.node:
        node.name = f"{parts[node.name]}/{node.name}"
        for number, name in enumerate(node.input):
            control = "^" * name.startswith("^")
            name = name.removeprefix("^")
            node.input[number] = f"{control}{parts[name.partition(':')[0]]}/{name}"
        node.attr.pop("_class", None)        # colocation constraints, which name other nodes too
    return graph_def


def graph_parts(graph_def: tf.GraphDef, loss: str) -> dict[str, str]:
    """The part of each node, by its name: input, encoder, sampling, decoder, loss or optimizer.

    The builders add the network's parts in order; what follows the loss is the optimizer.
    """
    groups: dict[str, str] = {}
    group = "input"
    for node in graph_def.node:
        if loss in groups:
            group = "optimizer"
        elif node.name.startswith("encoder_"):
            group = "encoder"
        elif node.name.startswith("decoder_"):
            group = "decoder"
        else:
            group = {"encoder": "sampling", "decoder": "loss"}.get(group, group)
        groups[node.name] = group
    return groups
