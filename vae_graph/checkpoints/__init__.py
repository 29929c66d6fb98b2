"""Checkpoints in the original's format: what is in them, and how they are read, validated and written.

`format` has the names and shapes; `finding` finds checkpoints; `reading` reads and validates them, whose files
`variables`, `table`, `protobuf` and `crc32c` parse; `inspection` lists what is in one; `writing` writes atomically;
`safe_names` gives TensorFlow names that it does not take for patterns. TensorFlow is needed only to write and to
restore.
"""

from vae_graph.checkpoints.finding import Found, by_epoch, find, latest_valid
from vae_graph.checkpoints.format import (
    FILE_NAME,
    STEP,
    Checkpoint,
    CheckpointError,
    LayerSizes,
    ValuesMissing,
    files_of,
    label,
    model_shapes,
    training_shapes,
)
from vae_graph.checkpoints.reading import (
    assign,
    check_finite,
    layer_sizes,
    read_network,
    read_shapes,
    read_variables,
    restore,
)

__all__ = ["FILE_NAME", "STEP", "Checkpoint", "CheckpointError", "Found", "LayerSizes", "ValuesMissing", "assign",
           "by_epoch", "check_finite", "files_of", "find", "label", "latest_valid", "layer_sizes", "model_shapes",
           "read_network", "read_shapes", "read_variables", "restore", "training_shapes"]
