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
    """In place of `training_graph`: the same variables and, up to rounding, the same steps."""
    input_data, dropout_rate, global_step = inputs(n_input)
    rows = split_rows(settings.batch_size, n_towers)
    prototypes = {n_images: build_prototype(n_input, settings, n_images) for n_images in sorted({*map(len, rows)})}
    optimizer = tf.train.AdamOptimizer(lambda: learning_rate(settings, global_step))

    random_ops = prototypes[len(rows[0])].random_ops
    [normal] = (number for number, op in enumerate(random_ops) if op.type == "RandomStandardNormal")

    @tf.function(jit_compile=True, autograph=False)
    def step(images: tf.Tensor, keep_prob: tf.Tensor, normals: list[tf.Tensor]) -> list[tf.Tensor]:
        noise = stateless_noise(random_ops, rows, settings, global_step.read_value())
        for of_tower, numbers in zip(noise, normals, strict=True):
            of_tower[normal] = numbers
        # A function captures the variables' handles only by an operation, which a copy has if it waits for something.
        errors, gradients = build_towers([prototypes[len(some)] for some in rows], images, keep_prob, noise,
                                         [tf.no_op()], "step")
        with tf.control_dependencies([optimizer.apply_gradients(gradients, global_step)]):
            return [tf.identity(error) for error in errors]

    step_before, steps = global_step.read_value(), list[Step]()
    for number in range(n_steps):
        images = input_data[number * settings.batch_size:(number + 1) * settings.batch_size]
        # XLA's normal numbers are not TensorFlow's: these are drawn outside. Its uniform ones are.
        noise = stateless_noise(random_ops, rows, settings, step_before + number)
        with tf.control_dependencies([step.train_op for step in steps[-1:]]):
            errors = step(images, dropout_rate, [of_tower[normal] for of_tower in noise])
        steps.append(Step(errors, errors[0].op, noise))
    return TrainingGraph(input_data, dropout_rate, global_step, tuple(steps))
