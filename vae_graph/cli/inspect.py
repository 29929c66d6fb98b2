"""The command `inspect`, which needs no TensorFlow and so answers at once."""

import argparse

from vae_graph.checkpoints import inspection
from vae_graph.cli import report
from vae_graph.cli.inputs import find_checkpoint


def inspect(flags: argparse.Namespace) -> str:
    """What is in a checkpoint."""
    found = inspection.inspect(find_checkpoint(flags.checkpoint))
    return report.as_json(flags, inspection=report.fields(found)) if flags.json else report.inspection(found)
