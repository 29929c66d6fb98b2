"""What PORTING.md says of TensorFlow 1 is what 1.15.5 does, and its program agrees there and here, value by value."""

import json

import numpy as np
import pytest

from tests.helpers import run_blocks
from tests.legacy import porting
from tests.small import write_idx
from tests.test_porting import COMPARE, RECORD, RECORDED, program, side_without  # noqa: F401  a fixture
from vae_graph.data import datasets

pytestmark = [pytest.mark.legacy,
              pytest.mark.parametrize("old_python", [("3.7", "1.15.5")], ids=["1.15.5"], indirect=True, scope="module")]


def test_the_calls_of_2018_return_what_was_recorded(run_there, tmp_path):
    run_there(porting.__file__, tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text()) == RECORDED


def test_the_program_of_2018_runs_there_and_its_port_agrees(run_there, program, tmp_path):  # noqa: F811
    folder = tmp_path / "data"
    folder.mkdir()
    random = np.random.default_rng(0)
    for images, labels, n in ((datasets.TRAIN_IMAGES, datasets.TRAIN_LABELS, 5_040),
                              (datasets.TEST_IMAGES, datasets.TEST_LABELS, 10)):
        write_idx(folder / images.name, random.integers(0, 2, (n, 28, 28), np.uint8))
        write_idx(folder / labels.name, random.integers(0, 10, n, np.uint8))
    noise, recording = RECORD.removeprefix("```python\n").removesuffix("```").split("\n\n")
    main, start = side_without("+").split("if __name__")
    (tmp_path / "old.py").write_text(f"""\
{main.replace("500", "20")}
{noise}
{recording}
tf.reset_default_graph()
if __name__{start}""")
    run_there("old.py", "--num_epoch=1", "--batch_size=20", cwd=tmp_path)
    assert np.load(tmp_path / "codes.npy").shape == (10, 2)
    exec(noise, program)
    run_blocks(COMPARE, program)
