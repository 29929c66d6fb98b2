"""The scenes of the graph page: one for each section of the guide that runs something."""

from typing import Any, NamedTuple


class Scene(NamedTuple):
    """A call of `session.run`, and what to look at."""

    number: str                  # of the guide's section; `#scene-<number>` is the scene's address
    title: str
    text: str
    code: str                    # the call, with the names of program.py
    fetches: list[str]           # its fetches and feeds by the names of tensors and operations;
    feeds: dict[str, Any]        # "images" stands for the chosen images, a number for a tensor of this number
    selected: str                # the operation that is shown first


def scenes(n_z: int) -> list[Scene]:
    """The scenes for a network of `n_z` latent dimensions."""
    z = [[0.5, -1.0, *[0.0] * n_z][:n_z]]
    return [
        Scene("3", "Forward pass",
              "ELBO, here the loss, the lower the better, needs the encoder, the noise, the decoder and both errors. "
              "The optimizer and the second decoder do not run. Run again: the noise is drawn anew, so z and ELBO "
              "change.",
              "session.run([ELBO, z], {X: images, keep_prob: 1.0})",
              ["add_5:0", "add:0"], {"input_data:0": "images", "dropout_rate:0": 1.0}, "add"),
        Scene("4", "Tensors",
              "Each line has added operations to the graph; none has been executed. Only variables have values. "
              "Click a line to see its operations. The guide's graph has 17 fewer: no step counter, and a constant "
              "learning rate.",
              "session.run([])", [], {}, "encoder_hidden_1/Elu"),
        Scene("5", "One layer",
              "Fetching h1 runs one layer: two variables, a read of each, a product, a sum and the activation. The "
              "operations that initialize w1 and b1 belong to the same line, but h1 does not need them.",
              'session.run("encoder_hidden_1/Elu:0", {X: images})',
              ["encoder_hidden_1/Elu:0"], {"input_data:0": "images"}, "encoder_hidden_1/Elu"),
        Scene("6", "Two decoders",
              "The same z goes into both decoders, and both pictures are equal: they read the same variables. The "
              "operations that create and initialize these belong to the first decoder.",
              f"session.run([X_out, decoded], {{z: {z}, any_z: {z}, keep_prob: 1.0}})",
              ["clip_by_value:0", "decoder_output_1/Sigmoid:0"], {"add:0": z, "any_z:0": z, "dropout_rate:0": 1.0},
              "decoder_hidden_1_1/MatMul"),
        Scene("7", "z is fed",
              "z is given, so nothing that computes it runs: the encoder is cut off. Move the sliders and watch the "
              "digit change.",
              f"session.run(X_out, {{z: {z}, keep_prob: 1.0}})",
              ["clip_by_value:0"], {"add:0": z, "dropout_rate:0": 1.0}, "clip_by_value"),
        Scene("7b", "Noise is fed",
              "With noise of 0, z is the mean, in every run. Only the operations that draw random numbers are cut off.",
              f'session.run(z, {{X: images, keep_prob: 1.0, "random_normal:0": np.zeros([4, {n_z}])}})',
              ["add:0"], {"input_data:0": "images", "dropout_rate:0": 1.0, "random_normal:0": 0}, "add"),
        Scene("8", "Initializers",
              "The initializer runs an assignment for each of the 39 variables. Run it: the weights are drawn anew, "
              "the trained ones are lost, and the loss in scene 3 is far higher. Then undo it.",
              "session.run(initializer)", ["init"], {}, "encoder_hidden_1/w1/Initializer/random_uniform"),
        Scene("9", "Training step",
              "minimize has added the gradients and an update for each variable. Fetching train_op runs them; ELBO is "
              "computed before the update. Run some steps: the loss of these few images falls, the weights move, and "
              "Adam's slots, here 0 at first, fill. The page has only test images to train on.",
              "session.run([train_op, ELBO], {X: images, keep_prob: 0.6})",
              ["Adam", "add_5:0"], {"input_data:0": "images", "dropout_rate:0": 0.6}, "Adam"),
        Scene("10", "Saver",
              "saver.save runs SaveV2, which writes all 39 variables, each under its name; the other operations read "
              "them. Only the file's name is fed. Run it, then draw new weights in scene 8. Back here, remove the "
              "fetch, find save/restore_all by its name, fetch it and run it: that restores the saved weights.",
              'session.run("save/control_dependency:0", {"save/Const:0": "parameter0.ckpt"})',
              ["save/control_dependency:0"], {"save/Const:0": "parameter0.ckpt"}, "save/SaveV2/tensor_names"),
    ]
