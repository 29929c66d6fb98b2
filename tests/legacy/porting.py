"""The calls of 2018 in the two tables of vae_graph/PORTING.md: a function per row, in the order of the rows.

    python porting.py OUT.json

Run by an old Python under real TensorFlow 1.15.5, this writes what each returns: porting-1.15.5.json beside this file.
tests/test_porting_tables.py calls the same functions with today's `tensorflow.compat.v1`. Run by today's Python, this
writes what they return after `disable_v2_behavior()`. So everything is in this one file, in the Python of 2018.
"""

import base64
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

X = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


def value(tf, fetches, feed_dict=None):
    """What a new session fetches after the initializers."""
    with tf.Session() as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        return session.run(fetches, feed_dict)


def encoded(message):
    """What would be the content of a file."""
    return base64.b64encode(message.SerializeToString(deterministic=True)).decode()


def names(tf):
    return sorted(variable.op.name for variable in tf.global_variables())


def variable(tf, initial):
    return tf.get_variable("v", [], initializer=tf.constant_initializer(initial))


# The rows of the first table.

def xavier(tf):
    return value(tf, tf.get_variable("w", [4, 3], initializer=tf.contrib.layers.xavier_initializer(seed=1)))


def he(tf):
    return value(tf, tf.get_variable("w", [4, 3], initializer=tf.contrib.layers.variance_scaling_initializer(seed=1)))


def l2(tf):
    return value(tf, tf.contrib.layers.l2_regularizer(0.1)(tf.constant(X)))


def fully_connected(tf):
    y = tf.contrib.layers.fully_connected(tf.constant(X - 0.5), 2, weights_initializer=tf.ones_initializer())
    return [names(tf), value(tf, y)]


def clipping(tf):
    v = variable(tf, 3.0)
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    gradients = optimizer.compute_gradients(v * v)
    train_op = optimizer.apply_gradients([(tf.clip_by_value(g, -1.0, 1.0), v) for g, v in gradients])
    clipped, norm = tf.clip_by_global_norm([g for g, _ in gradients], 1.0)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run([clipped, norm]), session.run(train_op), session.run(v)


def config(tf):
    proto = tf.ConfigProto(allow_soft_placement=True)
    proto.gpu_options.allow_growth = True
    with tf.Session(config=proto) as session:
        return [session.run(tf.constant(1)), proto.SerializeToString().hex()]


def flags(tf):
    tf.app.flags.DEFINE_integer("batch_size_of_2018", 128, "images per batch")
    tf.app.flags.FLAGS(["program", "--batch_size_of_2018=64"])
    try:
        return tf.app.flags.FLAGS.batch_size_of_2018
    finally:
        delattr(tf.app.flags.FLAGS, "batch_size_of_2018")


def cond(tf):
    p = tf.placeholder(tf.bool)
    y = tf.cond(p, lambda: tf.constant(1.0), lambda: tf.constant(2.0))
    _, z = tf.while_loop(lambda i, z: i < 5, lambda i, z: [i + 1, 2 * z], [0, y])
    return value(tf, z, {p: False})


def group(tf):
    v = variable(tf, 1.0)
    both = tf.group(tf.assign(v, 2.0), tf.no_op())
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(both)
        return session.run(v)


def gradients(tf):
    x = tf.constant([1.0, 2.0])
    return value(tf, tf.gradients([x ** 2, 3 * x], x))


def merge_all(tf):
    tf.summary.scalar("loss", 2.0)
    summary = tf.Summary.FromString(value(tf, tf.summary.merge_all()))
    return [(one.tag, one.simple_value) for one in summary.value]


def batch_norm(tf):
    return three_updates(tf, tf.layers.batch_normalization(tf.constant(X), training=True))


def three_updates(tf, y):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            session.run([y, tf.get_collection(tf.GraphKeys.UPDATE_OPS)])
        return session.run([y, {v.op.name: v for v in tf.global_variables()}])


def queue(tf):
    [x] = tf.train.slice_input_producer([np.arange(6)], num_epochs=1, shuffle=False)
    batch = tf.train.batch([x], 4)
    with tf.Session() as session:
        session.run(tf.local_variables_initializer())
        coordinator = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(session, coordinator)
        found = session.run(batch)
        coordinator.request_stop()
        coordinator.join(threads)
    return found


def dense(tf):
    y = tf.layers.dense(tf.constant(X), 2, tf.nn.relu, kernel_initializer=tf.ones_initializer())
    return [names(tf), value(tf, y)]


def slim(tf):
    y = tf.contrib.slim.conv2d(tf.constant(X.reshape(1, 4, 3, 1)), 2, [3, 3], weights_initializer=tf.ones_initializer())
    return [names(tf), value(tf, y)]


def py_func(tf):
    return value(tf, tf.py_func(np.sort, [tf.constant([2.0, 1.0])], tf.float32))


def average(tf):
    v = variable(tf, 1.0)
    ema = tf.train.ExponentialMovingAverage(0.9)
    with tf.control_dependencies([tf.assign(v, 2.0)]):
        update = ema.apply([v])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(update)
        return [sorted(ema.variables_to_restore()), session.run(ema.average(v))]


def one_shot(tf):
    dataset = tf.data.Dataset.from_tensor_slices(np.arange(4)).batch(3)
    return value(tf, dataset.make_one_shot_iterator().get_next())


def frozen(tf):
    y = tf.multiply(variable(tf, 3.0), tf.placeholder(tf.float32, [], name="x"), name="y")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        graph_def = tf.graph_util.convert_variables_to_constants(session, y.graph.as_graph_def(), ["y"])
    return {"file": encoded(graph_def), "y": run_frozen(tf, graph_def)}


def run_frozen(tf, graph_def):
    return value(tf, tf.import_graph_def(graph_def, {"x": tf.constant(2.0)}, ["y:0"])[0])


def meta_graph(tf):
    tf.multiply(variable(tf, 3.0), 2.0, name="y")
    tf.train.Saver()
    meta = tf.train.export_meta_graph()
    return {"file": encoded(meta), "y": run_meta_graph(tf, meta)}


def run_meta_graph(tf, meta):
    with tf.Graph().as_default():
        tf.train.import_meta_graph(meta)
        return value(tf, "y:0")


def lstm(tf):
    cell = tf.nn.rnn_cell.BasicLSTMCell(2)
    y, _ = tf.nn.dynamic_rnn(cell, tf.constant(X.reshape(2, 2, 3)), dtype=tf.float32)
    return names(tf), value(tf, y).shape


def estimator(tf):
    return tf.estimator.Estimator.__name__


def initialize_all(tf):
    v = tf.get_variable("v", [4], initializer=tf.constant_initializer([1.0, 2.0]))
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        return session.run(v)


def dimension_value(tf):
    return tf.placeholder(tf.float32, [None, 3]).get_shape()[1].value


def new_shape(tf):
    v = tf.get_variable("v", [2])
    return value(tf, tf.assign(v, [1.0, 2.0, 3.0], validate_shape=False))


def by_name(tf):
    variable(tf, 3.0)
    return value(tf, "v:0")


def read_then_assign(tf):
    v = variable(tf, 0.0)
    before = tf.identity(v)
    with tf.control_dependencies([before]):
        assign = tf.assign(v, 1.0)
    with tf.control_dependencies([assign]):
        later = before + 0.0
    return value(tf, later)


def graph_seed(tf):
    tf.set_random_seed(1)
    return value(tf, tf.random_normal([3]))


# The rows of the second table.

def dropout(tf):
    return value(tf, tf.nn.dropout(tf.ones([8]), 0.9, seed=3))


def adam(tf):
    v = variable(tf, 1e-8)
    return three_steps(tf, tf.train.AdamOptimizer(0.1), v)


def rms_prop(tf):
    v = variable(tf, 1.0)
    return three_steps(tf, tf.train.RMSPropOptimizer(0.1), v)


def three_steps(tf, optimizer, v):
    train_op = optimizer.minimize(v * v)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return [session.run(v) for _ in range(3) if session.run(train_op) is None]


def where(tf):
    return value(tf, tf.where([True, False], [[1, 2], [3, 4]], [[5, 6], [7, 8]]))


def resize(tf):
    return value(tf, tf.image.resize_images(tf.reshape([0.0, 1.0], [1, 1, 2, 1]), [1, 4]))


def cross_entropy(tf):
    labels, logits = tf.constant([[0.3, 0.7]]), tf.constant([[1.0, 2.0]])
    return tf.gradients(tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits), labels) == [None]


# What the text says.

def by_other_name(tf):
    variable(tf, 3.0)
    return value(tf, "v/read:0")


def op_seeds(tf):
    tf.set_random_seed(1)
    return value(tf, [draw([3], seed=2) for draw in (tf.random_normal, tf.truncated_normal, tf.random_uniform)])


def second_derivative(tf):
    x = tf.constant(2.0)
    _, y = tf.while_loop(lambda i, y: i < 3, lambda i, y: [i + 1, y * x], [0, 1.0])
    return value(tf, tf.gradients(tf.gradients(y, x), x))


def images_norm(tf):
    return three_updates(tf, tf.layers.batch_normalization(tf.constant(X.reshape(1, 2, 2, 3)), training=True))


WITH_COMPAT_V1 = [
    xavier, he, l2, fully_connected, clipping, config, flags, cond, group, gradients, merge_all, batch_norm, queue,
    dense, slim, py_func, average, one_shot, frozen, meta_graph, lstm, estimator, initialize_all, dimension_value,
    new_shape, by_name, read_then_assign, graph_seed]
IN_TENSORFLOW_2 = [dropout, adam, rms_prop, where, resize, cross_entropy]
IN_THE_TEXT = [by_other_name, op_seeds, second_derivative, images_norm]


def run(tf, row):
    """What a row returns, in JSON's types; what it raises, as {"raises": name}."""
    with tf.Graph().as_default():
        try:
            return plain(row(tf))
        except Exception as error:
            return {"raises": type(error).__name__}


def plain(result):
    if isinstance(result, dict):
        return {name: plain(one) for name, one in result.items()}
    if isinstance(result, (list, tuple)):
        return [plain(one) for one in result]
    return result.tolist() if isinstance(result, (np.ndarray, np.generic)) else result


def main(file):
    import tensorflow

    if not tensorflow.__version__.startswith("1."):
        tensorflow = tensorflow.compat.v1
        tensorflow.disable_v2_behavior()
    found = {row.__name__: run(tensorflow, row) for row in WITH_COMPAT_V1 + IN_TENSORFLOW_2 + IN_THE_TEXT}
    with open(file, "w") as out:
        json.dump(dict(found, tensorflow=tensorflow.__version__), out, indent=1, sort_keys=True)
        out.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
