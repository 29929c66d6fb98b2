"""`TF_CONFIG`: the cluster that it describes, and one line if it is invalid."""

import json
import socket

import pytest

import run_mnist
from tests.helpers import PS, one_line_error
from vae_graph.cluster import config
from vae_graph.cluster.config import Cluster, Task


@pytest.mark.parametrize("n_replicas", [1, 2, 3, 7])
def test_shards_make_up_the_batch_and_replica_steps_the_epochs(n_replicas):
    tasks = [Task("worker", index) for index in range(n_replicas)]
    places = dict.fromkeys((PS, *tasks), "")
    shards = [Cluster(places, task).shard(50) for task in tasks]
    assert [image for shard in shards for image in shard] == list(range(50))
    assert {len(shard) for shard in shards} <= {50 // n_replicas, -(-50 // n_replicas)}
    asynchronous = [Cluster(places, task, sync_replicas=False) for task in tasks]
    assert {len(cluster.shard(50)) for cluster in asynchronous} == {50}
    steps = [cluster.replica_step(0, local_step, 0) for local_step in range(5) for cluster in asynchronous]
    assert steps == list(range(5 * n_replicas))


GOOD = {"cluster": {"ps": ["a:1"], "chief": ["b:2"], "worker": ["c:3"]}, "task": {"type": "worker", "index": 0}}


class TestFromEnvironment:
    def test_is_read(self, monkeypatch):
        monkeypatch.setenv("TF_CONFIG", json.dumps(GOOD | {"environment": "cloud"}))
        cluster = config.from_environment(60, True)
        assert cluster.task == Task("worker", 0)
        assert cluster.replicas == [Task("chief", 0), Task("worker", 0)]
        assert (cluster.replica, cluster.is_chief, cluster.parameter_servers) == (1, False, [PS])

    @pytest.mark.parametrize("host", ["a", "10.0.0.1", "my-job-worker-0.ns.svc.cluster.local", "[::1]", "my_host"])
    def test_hosts_of_all_kinds(self, monkeypatch, host):
        monkeypatch.setenv("TF_CONFIG", json.dumps(
            {"cluster": {"ps": [f"{host}:1"], "worker": ["c:2"]}, "task": {"type": "worker", "index": "0"}}))
        assert config.from_environment(60, True).addresses[PS] == f"{host}:1"

    @pytest.mark.parametrize("text", ["", " ", "{}x", json.dumps({
        "cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}})])
    def test_a_single_task_is_no_cluster(self, monkeypatch, text):
        monkeypatch.setenv("TF_CONFIG", text.removesuffix("{}x"))
        assert config.from_environment(60, True) is None

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
        (GOOD | {"cluster": GOOD["cluster"] | {"worker": ["a:1"]}}, "a different address for each task, "
                                                                   "found 'a:1 twice'"),
        (GOOD | {"cluster": GOOD["cluster"] | {"worker": "c:3"}}, "a list of addresses for \"worker\", found 'c:3'"),
        (GOOD | {"cluster": GOOD["cluster"] | {"worker": []}}, "a list of addresses for \"worker\", found '[]'"),
        (GOOD | {"cluster": GOOD["cluster"] | {"chief": ["a:4", "a:5"]}}, 'expected one address for "chief"'),
        *((GOOD | {"cluster": GOOD["cluster"] | {"worker": [host]}}, 'expected addresses host:port for "worker"')
          for host in ("c", ":3", "c:", "c:x", "c:0", "c:65536", "c:-1", "c:٣", 3, None, "a b:3", "c..d:3", "c:3\n",
                       f"{'c' * 300}:3", "-c:3")),
        *((GOOD | {"task": {"type": "worker", "index": index}}, "expected a task of the cluster")
          for index in (0.0, 0.9, True, False, float("inf"), -1, "-0", "1.0", None)),
        ({"cluster": {"worker": ["a:1", "b:2"]}, "task": GOOD["task"]}, 'expected at least one "ps" and one'),
        ({"cluster": {"ps": ["a:1", "b:2"]}, "task": {"type": "ps", "index": 0}}, 'expected at least one "ps" and one'),
    ])
    def test_an_invalid_one_is_one_line(self, monkeypatch, capsys, config, message):
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
        assert "with a free port, found 127.0.0.1:" in one_line_error(capsys)
