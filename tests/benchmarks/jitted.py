"""An experiment for GPUs: the training step as one function that XLA compiles once and that is called for each step.

XLA would compile the unrolled steps of `training_graph` one by one, which takes 80 s on a GPU. On a CPU, XLA's matrix
products are slower than oneDNN's.
"""

import tensorflow.compat.v1 as tf

from vae_graph.settings import Settings
from vae_graph.training_graph import (
    Step,
    TrainingGraph,
    build_prototype,
    build_towers,
    inputs,
    learning_rate,
    split_rows,
    stateless_noise,
)


def jitted_training_graph(n_input: int, settings: Settings, n_steps: int, n_towers: int) -> TrainingGraph:
    """In place of `training_graph`: the same variables and, up to rounding, the same steps. Their noise is not given.

    For one device: XLA compiles no function that spans several.
    """
    input_data, dropout_rate, global_step = inputs(n_input)
    rows = split_rows(settings.batch_size, n_towers)
    prototypes = {n_images: build_prototype(n_input, settings, n_images) for n_images in sorted({*map(len, rows)})}
    random_ops = prototypes[len(rows[0])].random_ops
    [normal] = (number for number, op in enumerate(random_ops) if op.type == "RandomStandardNormal")

    # The counter is passed by value: as an integer, its variable is not on the GPU.
    @tf.function(jit_compile=True, autograph=False)
    def train(counter: tf.Tensor, images: tf.Tensor, keep_prob: tf.Tensor, normals: list[tf.Tensor]
              ) -> list[tf.Tensor]:
        noise = stateless_noise(random_ops, rows, settings, counter)
        for of_tower, numbers in zip(noise, normals, strict=True):
            of_tower[normal] = numbers
        # Only a copy that waits for something reads the variables by operations of its own, as a function has to.
        errors, gradients = build_towers([prototypes[len(some)] for some in rows], images, keep_prob, noise,
                                         [tf.no_op()], "step")
        optimizer = tf.train.AdamOptimizer(learning_rate(settings, counter))
        with tf.control_dependencies([optimizer.apply_gradients(gradients)]):
            return [tf.identity(error) for error in errors]

    step_before, steps = global_step.read_value(), list[Step]()
    for number in range(n_steps):
        images = input_data[number * settings.batch_size:(number + 1) * settings.batch_size]
        counter = step_before + number
        # XLA draws other normal numbers from a key than TensorFlow does, though the same uniform ones.
        noise = stateless_noise(random_ops, rows, settings, counter)
        with tf.control_dependencies([step.train_op for step in steps[-1:]]):
            errors = train(counter, images, dropout_rate, [of_tower[normal] for of_tower in noise])
        with tf.control_dependencies(errors):
            steps.append(Step(errors, global_step.assign_add(1).op, []))
    return TrainingGraph(input_data, dropout_rate, global_step, tuple(steps))
