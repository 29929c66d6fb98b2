"""A cluster is one run: what it computes, what it says, and what becomes of it when a process dies."""

import dataclasses
import json
import socket
import threading

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import run_mnist
from tests.conftest import one_line_error
from tests.test_oracle import ORACLE_DIR
from tests.test_training import SETTINGS, variables_as_bytes
from vae_graph import checkpoints, cluster, local_cluster, resume, training
from vae_graph.cluster import Cluster, Task
from vae_graph.replica import replica_graph, replica_session

PS, CHIEF, WORKER = Task("ps", 0), Task("worker", 0), Task("worker", 1)


def addresses(*tasks):
    ports = local_cluster.free_ports(len(tasks))
    return {task: f"127.0.0.1:{port}" for task, port in zip(tasks, ports, strict=True)}


def in_threads(clusters, act):
    """What each of some tasks comes to, each in a thread of this process."""
    results = {}

    def run(here):
        results[here.task] = act(here)

    threads = [threading.Thread(target=run, args=(here,)) for here in clusters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def train_as(digits, folder, tasks=(PS, CHIEF, WORKER), sync_replicas=True, **changes):
    """A run of a cluster whose tasks are threads of this process."""
    def act(here):
        if here.task.role == "ps":
            return cluster.serve(here, training.session_config(1))
        return training.train(digits.train.pixels, digits.sha256, dataclasses.replace(SETTINGS, **changes), folder,
                              n_towers=1, here=here)

    folder.mkdir(exist_ok=True)
    places = addresses(*tasks)
    results = in_threads([Cluster(places, task, 30, sync_replicas) for task in tasks], act)
    assert results.keys() == set(tasks)
    return results[min(task for task in tasks if task.role != "ps")]


class TestOneRun:
    @pytest.mark.parametrize("changes", [{}, {"shuffle": True, "add_noise": True}], ids=["as the original", "more"])
    def test_replicas_are_the_towers_of_one_process(self, digits, tmp_path, changes):
        """The same bytes, in all 39 variables."""
        ours = train_as(digits, tmp_path / "cluster", **changes)
        folder = tmp_path / "alone"
        folder.mkdir()
        settings = dataclasses.replace(SETTINGS, **changes)
        theirs = training.train(digits.train.pixels, digits.sha256, settings, folder, n_towers=2)
        assert variables_as_bytes(ours[0]) == variables_as_bytes(theirs[0])
        assert ours[1]["epoch"] == theirs[1]["epoch"]
        # The chief means the errors of its own half of each batch.
        np.testing.assert_allclose(ours[1]["ELBO"], theirs[1]["ELBO"], rtol=0.02)

    def test_parts_of_any_sizes_and_variables_on_two_servers(self, digits):
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

        def act(here):
            if here.task.role == "ps":
                return cluster.serve(here, training.session_config(1))
            server = here.server(training.session_config(1))
            with tf.Graph().as_default(), tf.device(here.device):
                tf.set_random_seed(7)
                graph, ends = replica_graph(784, settings, here)
                initializer = tf.global_variables_initializer()
                slots = [v for v in tf.global_variables() if v.op.name.endswith("/Adam")]
                with replica_session(here, server, ends, lambda session: session.run(initializer)) as session:
                    first = step(graph, session, images[here.part(5)])
                    return first, step(graph, session, images[here.part(5)]), session.run(slots)

        results = in_threads([Cluster(places, task, 30) for task in tasks], act)
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(7)
            graph = training.training_graph(784, settings)
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
    def test_goes_on_alone_and_in_a_cluster_again(self, digits, tmp_path):
        train_as(digits, tmp_path / "a", num_epoch=2)
        training.train(digits.train.pixels, digits.sha256, dataclasses.replace(SETTINGS, num_epoch=3), tmp_path / "a",
                       n_towers=2)
        mixed = train_as(digits, tmp_path / "a", num_epoch=5)
        whole = train_as(digits, tmp_path / "b", num_epoch=5)
        assert variables_as_bytes(mixed[0]) == variables_as_bytes(whole[0])

    @pytest.mark.slow
    def test_asynchronous_replicas_take_as_many_steps_together(self, digits, tmp_path):
        prefix, history = train_as(digits, tmp_path, sync_replicas=False, num_epoch=6)
        assert 24 <= checkpoints.read_variables(prefix)["Variable"] <= 25
        assert history["ELBO"][-1] < history["ELBO"][0] - 50

    def test_a_checkpoint_with_steps_of_its_own_is_refused(self, digits):
        """One written by TensorFlow 1.4.0 after 20 epochs of a single step, where ours would have four."""
        here = Cluster(addresses(PS, CHIEF, WORKER), CHIEF)
        with pytest.raises(resume.SettingsError, match=r"--batch_size: expected that of the run that .*parameter20"):
            training.train(digits.train.pixels, digits.sha256, SETTINGS, ORACLE_DIR, here=here)

    def test_a_batch_smaller_than_the_cluster_is_refused(self, digits, tmp_path):
        here = Cluster(addresses(PS, CHIEF, WORKER), CHIEF)
        with pytest.raises(resume.SettingsError, match="--batch_size: expected at least 2, an image for each replica"):
            training.train(digits.train.pixels, digits.sha256, dataclasses.replace(SETTINGS, batch_size=1), tmp_path,
                           here=here)


@pytest.mark.parametrize("n_replicas", [1, 2, 3, 7])
def test_parts_make_up_the_batch_and_own_steps_the_epochs(n_replicas):
    tasks = [Task("worker", index) for index in range(n_replicas)]
    places = dict.fromkeys((PS, *tasks), "")
    parts = [Cluster(places, task).part(50) for task in tasks]
    assert [image for part in parts for image in part] == list(range(50))
    assert {len(part) for part in parts} <= {50 // n_replicas, -(-50 // n_replicas)}
    free = [Cluster(places, task, sync_replicas=False) for task in tasks]
    assert {len(here.part(50)) for here in free} == {50}
    steps = [here.own_step(0, turn, 0) for turn in range(5) for here in free]
    assert steps == list(range(5 * n_replicas))


GOOD = {"cluster": {"ps": ["a:1"], "chief": ["b:2"], "worker": ["c:3"]}, "task": {"type": "worker", "index": 0}}


class TestPlace:
    def test_is_read(self, monkeypatch):
        monkeypatch.setenv("TF_CONFIG", json.dumps(GOOD | {"environment": "cloud"}))
        here = cluster.from_environment(60, True)
        assert here.task == Task("worker", 0)
        assert here.replicas == [Task("chief", 0), Task("worker", 0)]
        assert (here.number, here.is_chief, here.parameter_servers) == (1, False, [PS])

    @pytest.mark.parametrize("text", ["", " ", "{}x", json.dumps({
        "cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}})])
    def test_without_others_there_is_no_cluster(self, monkeypatch, text):
        monkeypatch.setenv("TF_CONFIG", text.removesuffix("{}x"))
        assert cluster.from_environment(60, True) is None

    @pytest.mark.parametrize(("config", "message"), [
        ("{", "expected JSON, found '{'"),
        ("[" * 10_000, "expected JSON, found '[[["),
        ([], 'expected an object with "cluster" and "task" in it, found \'[]\''),
        ({"cluster": []}, 'expected an object with "cluster" and "task" in it'),
        ({"cluster": GOOD["cluster"]}, "expected a \"task\" with \"type\" and \"index\", found 'None'"),
        (GOOD | {"task": {"type": "worker"}}, "expected a \"task\" with \"type\" and \"index\""),
        (GOOD | {"task": {"type": "cook", "index": 0}}, "expected a task of the cluster (ps 0, chief 0, worker 0), "
                                                         "found 'cook 0'"),
        (GOOD | {"task": {"type": "worker", "index": 1}}, "found 'worker 1'"),
        (GOOD | {"task": {"type": "worker", "index": "x"}}, "found 'worker x'"),
        (GOOD | {"task": {"type": ["worker"], "index": 0}}, "found \"['worker'] 0\""),
        (GOOD | {"cluster": GOOD["cluster"] | {"evaluator": ["e:1"]}}, "expected the roles chief, worker, ps, found "
                                                                      "'evaluator'"),
        (GOOD | {"cluster": GOOD["cluster"] | {"worker": ["a:1"]}}, "another address for each task, found 'a:1 twice'"),
        (GOOD | {"cluster": GOOD["cluster"] | {"worker": "c:3"}}, "a list of addresses for \"worker\", found 'c:3'"),
        (GOOD | {"cluster": GOOD["cluster"] | {"worker": []}}, "a list of addresses for \"worker\", found '[]'"),
        (GOOD | {"cluster": GOOD["cluster"] | {"chief": ["a:4", "a:5"]}}, 'expected one address for "chief"'),
        *((GOOD | {"cluster": GOOD["cluster"] | {"worker": [host]}}, 'expected addresses host:port for "worker"')
          for host in ("c", ":3", "c:", "c:x", "c:0", "c:65536", "c:-1", "c:٣", 3, None)),
        ({"cluster": {"worker": ["a:1", "b:2"]}, "task": GOOD["task"]}, 'expected at least one "ps" and one'),
        ({"cluster": {"ps": ["a:1", "b:2"]}, "task": {"type": "ps", "index": 0}}, 'expected at least one "ps" and one'),
    ])
    def test_that_cannot_be_used_is_one_line(self, monkeypatch, capsys, config, message):
        monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
        assert run_mnist.main([]) == 2
        error = one_line_error(capsys)
        assert error.startswith("TF_CONFIG: expected ")
        assert message in error

    def test_an_address_of_another_machine_is_one_line(self, monkeypatch, capsys):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            servers = [f"127.0.0.1:{taken.getsockname()[1]}"]
            monkeypatch.setenv("TF_CONFIG", json.dumps({
                "cluster": {"ps": servers, "worker": ["127.0.0.1:1"]}, "task": {"type": "ps", "index": 0}}))
            assert run_mnist.main([]) == 2
        assert "with a port that is free, found 127.0.0.1:" in one_line_error(capsys)
