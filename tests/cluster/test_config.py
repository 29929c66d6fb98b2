"""`TF_CONFIG`: the cluster that it describes, and one line if it is invalid."""

import json

import pytest

import run_mnist
from tests.helpers import one_line_error
from vae_graph.cluster import config
from vae_graph.cluster.config import Cluster

GOOD = {"cluster": {"ps": ["a:1"], "chief": ["b:2"], "worker": ["c:3"]}, "task": {"type": "worker", "index": 0}}


def changed(task=None, **roles):
    """`GOOD` with another task, or other addresses."""
    return {"cluster": {**GOOD["cluster"], **roles}, "task": task or GOOD["task"]}


def test_is_read(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(GOOD | {"environment": "cloud"}))
    assert config.from_environment(60) == Cluster(
        GOOD["cluster"], ["/job:chief/task:0", "/job:worker/task:0"], ["/job:ps/task:0"], "/job:worker/task:0",
        "worker", 0, 60)


@pytest.mark.parametrize("host", ["10.0.0.1", "my-job-worker-0.ns.svc.cluster.local", "[::1]", "my_host"])
def test_a_cluster_without_chief_and_hosts_of_all_kinds(monkeypatch, host):
    addresses = {"ps": [f"{host}:1", "b:1"], "worker": ["c:2", "d:2"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": addresses, "task": {"type": "ps", "index": "1"}}))
    cluster = config.from_environment(60)
    assert (cluster.addresses, cluster.task) == (addresses, "/job:ps/task:1")
    assert cluster.replicas == ["/job:worker/task:0", "/job:worker/task:1"]


@pytest.mark.parametrize("text", [None, "", " ", "{}", json.dumps(GOOD | {"cluster": {"chief": ["a:1"]}})])
def test_a_single_task_is_no_cluster(monkeypatch, text):
    if text is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", text)
    assert config.from_environment(60) is None


@pytest.mark.parametrize("invalid", [
    "{", "[" * 10_000, "[]", "null", {"cluster": ["a:1"]}, {"cluster": GOOD["cluster"]},
    changed({"type": "worker"}), changed({"type": "cook", "index": 0}), changed({"type": ["worker"], "index": 0}),
    *(changed({"type": "worker", "index": index})
      for index in (1, -1, "x", 0.0, 0.9, True, False, float("inf"), float("nan"), "-0", "1.0", None, "1" * 5_000)),
    changed(evaluator=["e:1"]), changed(worker=["a:1"]), changed(worker=["c:3", "c:3"]),
    changed(worker="c:3"), changed(worker=[]), changed(worker=None), changed(chief=["a:4", "a:5"]),
    changed(worker=["c"]), changed(worker=[3]), changed(worker=[None]), changed(worker=[["c:3"]]),
    changed(ps=[]), {"cluster": {"worker": ["a:1", "b:2"]}, "task": GOOD["task"]},
    {"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}},
], ids=lambda invalid: str(invalid)[-30:])
def test_an_invalid_one_is_one_line(monkeypatch, capsys, invalid):
    text = invalid if isinstance(invalid, str) else json.dumps(invalid)
    monkeypatch.setenv("TF_CONFIG", text)
    assert run_mnist.main([]) == 2
    assert one_line_error(capsys) == f"TF_CONFIG: expected {config.EXPECTED}, found {text[:200]!r}"
