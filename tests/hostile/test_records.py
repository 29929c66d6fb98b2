"""Records (`resume.json`) that were changed by hand: one line, and nothing is lost."""

import json

import run_mnist
from tests.helpers import one_line_error
from tests.hostile.commands import arguments, contents, every_command, first_by_default
from vae_graph.runs import record

RECORDS = {
    "no JSON": lambda content: b"\xff",
    "nested": lambda content: b"[" * 100_000,
    "another type": lambda content: b"[]",
    "no settings": lambda content: json.dumps(content | {"settings": None}).encode(),
    "a step that the checkpoint has not reached": lambda content: json.dumps(content | {"first_step": 10**6}).encode(),
    "too large": lambda content: json.dumps(content).encode() + b" " * record.MAX_RECORD_SIZE,
    "an epoch twice": lambda content: json.dumps(content | {"errors": {
        name: [column[0], column[0]] for name, column in content["errors"].items()}}).encode(),
}


@every_command
@first_by_default("change", RECORDS)
def test_a_record_that_was_changed(run, capsys, command, change):
    for path in run.rglob("resume.json"):
        path.write_bytes(change(json.loads(path.read_bytes())))
    before = contents(run)
    capsys.readouterr()
    status = run_mnist.main(arguments(command, run, run.parent / "figures"))
    assert status == (2 if run_mnist.COMMANDS[command].is_training else 0)
    if status:
        assert "resume.json: expected " in one_line_error(capsys)
    assert contents(run) == before
