"""Names that TensorFlow takes for patterns, or cannot decode, are names like others."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import run_mnist
from tests.helpers import posix_only, train, write_checkpoint
from tests.small import ORACLE_DIR
from vae_graph import checkpoints
from vae_graph.checkpoints import safe_names
from vae_graph.runs import events

NAMES = ["run[1]?\\1$\\x", os.fsdecode(b"run\xff")]
pytestmark = posix_only


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_run_is_written_and_resumed(digits, tmp_path, name):
    folder = tmp_path / name
    train(digits, folder, num_epoch=2)
    prefix, history = train(digits, folder, num_epoch=3)
    assert prefix == str(folder / "parameter2.ckpt")
    assert history["epoch"] == [0, 1, 2]
    assert {path.name for path in folder.glob("*.index")} == {f"parameter{epoch}.ckpt.index" for epoch in range(3)}
    assert len([*folder.glob(events.EVENT_FILES)]) == 2
    assert not [*folder.glob("earlier-*")]


def test_a_pattern_does_not_match_another_checkpoint(in_tmp, capsys):
    """Two single files of TensorFlow 0.x, the name of one a pattern for the other."""
    for name, value in (("q[1].ckpt", 1), ("q1.ckpt", 2)):
        write_checkpoint("x.ckpt", {"w": np.full(3, value, np.float32)}, write_version=tf.train.SaverDef.V1)
        Path("x.ckpt").rename(name)
    for name, value in (("q[1].ckpt", 1), ("q1.ckpt", 2)):
        np.testing.assert_array_equal(checkpoints.read_variables(name)["w"], value)
        capsys.readouterr()
        assert run_mnist.main(["inspect", name, "--json"]) == 0
        [variable] = json.loads(capsys.readouterr().out)["inspection"]["variables"]
        assert variable["norm"] == pytest.approx(value * np.sqrt(3))


def test_links_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_names.tempfile, "tempdir", str(tmp_path))
    shutil.copytree(ORACLE_DIR, tmp_path / "run[1]")
    with safe_names.safe_dir(tmp_path / "run[1]") as folder:
        assert folder.parent != tmp_path
        tf.train.load_checkpoint(str(folder / "parameter20.ckpt")).get_tensor("Variable")
    assert [path.name for path in tmp_path.iterdir()] == ["run[1]"]
