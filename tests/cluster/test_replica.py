"""Replicas compute together what one process computes."""

import dataclasses
import threading
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tests.helpers import (
    CHIEF,
    ORACLE_DIR,
    PS,
    SETTINGS,
    WORKER,
    addresses,
    variables_as_bytes,
)
from vae_graph import checkpoints, training
from vae_graph.cluster import health, replica, server
from vae_graph.cluster import replica_graph as replica_graph_module
from vae_graph.cluster.config import Cluster, Task
from vae_graph.cluster.replica_graph import replica_graph
from vae_graph.settings import SettingsError
from vae_graph.training_graph import training_graph


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch):
    """Poll the other tasks, and wait for them at the end, in a tenth of the time."""
    for module in (health, replica, replica_graph_module, server):
        monkeypatch.setattr(module, "POLL_S", 0.1)


def in_threads(clusters, act):
    """The result of each of some tasks, by the task, each run in a thread of this process.

    The first error is raised without waiting for the other tasks: a parameter server would wait forever.
    """
    results, errors = {}, []

    def run(cluster):
        try:
            results[cluster.task] = act(cluster)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(cluster,), daemon=True) for cluster in clusters]
    for thread in threads:
        thread.start()
    while not errors and any(thread.is_alive() for thread in threads):
        time.sleep(0.05)
    if errors:
        raise errors[0]
    return results


def train_as(digits, folder, tasks=(PS, CHIEF, WORKER), sync_replicas=True, **changes):
    """A run of a cluster whose tasks are threads of this process."""
    def act(cluster):
        if cluster.task.role == "ps":
            return server.serve(cluster, training.session_config(1))
        return replica.train(digits.train.pixels, digits.sha256, dataclasses.replace(SETTINGS, **changes), folder,
                             cluster=cluster)

    folder.mkdir(exist_ok=True)
    places = addresses(*tasks)
    results = in_threads([Cluster(places, task, 30, sync_replicas) for task in tasks], act)
    assert results.keys() == set(tasks)
    return results[min(task for task in tasks if task.role != "ps")]


def assert_close(prefix, other):
    """The same variables, up to 2e-5 of the largest number in each or of 1.

    Adam divides by the size of the gradients, so that rounding weighs most where they are smallest.
    """
    found, expected = checkpoints.read_variables(prefix), checkpoints.read_variables(other)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-5 * max(1, np.max(np.abs(value))), err_msg=name)


class TestOneRun:
    @pytest.mark.parametrize("changes", [{}, {"shuffle": True, "add_noise": True}], ids=["as the original", "more"])
    def test_replicas_equal_the_towers_of_one_process(self, digits, tmp_path, changes):
        """All 39 variables, up to the rounding of sums in another order."""
        ours = train_as(digits, tmp_path / "cluster", **changes)
        folder = tmp_path / "alone"
        folder.mkdir()
        settings = dataclasses.replace(SETTINGS, **changes)
        theirs = training.train(digits.train.pixels, digits.sha256, settings, folder, n_towers=2)
        assert_close(ours[0], theirs[0])
        assert ours[1]["epoch"] == theirs[1]["epoch"]
        # The chief's errors are those of its own half of each batch.
        np.testing.assert_allclose(ours[1]["ELBO"], theirs[1]["ELBO"], rtol=0.04)

    def test_shards_of_any_sizes_and_variables_on_two_servers(self, digits):
        """Two images and three, without dropout, the noise fed: the errors and gradients of five in one process."""
        settings = dataclasses.replace(SETTINGS, batch_size=5, learning_rate=1.0)
        images = digits.train.images[:5]
        tasks = PS, Task("ps", 1), CHIEF, WORKER
        places = addresses(*tasks)

        def feeds(graph, images):
            noise = {tensor: np.zeros(tensor.shape)
                     for name, tensor in graph.steps[0].noise.items() if "normal" in name}
            return {graph.input_data: images, graph.dropout_rate: 1.0, **noise}

        def step(graph, session, images):
            _, errors, after = session.run([graph.steps[0].train_op, graph.steps[0].errors,
                                            graph.steps[0].global_step], feeds(graph, images))
            return after, np.array(errors)

        def act(cluster):
            if cluster.task.role == "ps":
                return server.serve(cluster, training.session_config(1))
            own_server = server.start_server(cluster, training.session_config(1))
            with tf.Graph().as_default(), tf.device(server.device_function(cluster)):
                tf.set_random_seed(7)
                graph, ops = replica_graph(784, settings, cluster)
                initializer = tf.global_variables_initializer()
                slots = [v for v in tf.global_variables() if v.op.name.endswith("/Adam")]
                session = replica.replica_session(cluster, own_server, ops, lambda session: session.run(initializer))
                with session as session:
                    shard = images[cluster.shard(5)]
                    return step(graph, session, shard), step(graph, session, shard), session.run(slots)

        results = in_threads([Cluster(places, task, 30) for task in tasks], act)
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(7)
            graph = training_graph(784, settings)
            session.run(tf.global_variables_initializer())
            slots = [v for v in tf.global_variables() if v.op.name.endswith("/Adam")]
            alone = [step(graph, session, images) for _ in range(2)]
            for number in range(2):
                (after, chiefs), (_, workers) = results[CHIEF][number], results[WORKER][number]
                assert after == alone[number][0] == number + 1
                np.testing.assert_allclose(0.4 * chiefs + 0.6 * workers, alone[number][1], rtol=1e-5)
            for ours, theirs in zip(results[CHIEF][2], session.run(slots), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)

    @pytest.mark.slow
    def test_resumes_in_one_process_and_in_a_cluster_again(self, digits, tmp_path):
        """In one process, up to rounding; in a cluster alone, to the byte."""
        train_as(digits, tmp_path / "a", num_epoch=2)
        training.train(digits.train.pixels, digits.sha256, dataclasses.replace(SETTINGS, num_epoch=3), tmp_path / "a",
                       n_towers=2)
        mixed = train_as(digits, tmp_path / "a", num_epoch=5)
        whole = train_as(digits, tmp_path / "b", num_epoch=5)
        assert_close(mixed[0], whole[0])
        train_as(digits, tmp_path / "c", num_epoch=2)
        parts = train_as(digits, tmp_path / "c", num_epoch=5)
        assert variables_as_bytes(parts[0]) == variables_as_bytes(whole[0])

    @pytest.mark.slow
    def test_asynchronous_replicas_share_the_steps(self, digits, tmp_path):
        prefix, history = train_as(digits, tmp_path, sync_replicas=False, num_epoch=6)
        assert 24 <= checkpoints.read_variables(prefix)["Variable"] <= 25
        assert history["ELBO"][-1] < history["ELBO"][0] - 50

    def test_a_checkpoint_within_an_epoch_is_refused(self, digits):
        """Written by TensorFlow 1.4.0 after 20 epochs of one step each; ours have four."""
        cluster = Cluster(addresses(PS, CHIEF, WORKER), CHIEF)
        with pytest.raises(SettingsError, match=r"--batch_size: expected that of the run of .*parameter20"):
            replica.train(digits.train.pixels, digits.sha256, SETTINGS, ORACLE_DIR, cluster=cluster)

    def test_a_batch_smaller_than_the_cluster_is_refused(self, digits, tmp_path):
        cluster = Cluster(addresses(PS, CHIEF, WORKER), CHIEF)
        with pytest.raises(SettingsError, match="--batch_size: expected at least 2, an image for each replica"):
            replica.train(digits.train.pixels, digits.sha256, dataclasses.replace(SETTINGS, batch_size=1), tmp_path,
                          cluster=cluster)
