"""Write the twelve weights and biases of a checkpoint, without Adam's slots, as a checkpoint of a third of its size.

    python -m tests.benchmarks.weights CHECKPOINT FOLDER

Their names are the original's; FOLDER/SHA256SUMS has the digests of the files, for `sha256sum --check`.
"""

import argparse
import hashlib
from pathlib import Path

import tensorflow.compat.v1 as tf

from vae_graph import checkpoints


def write_weights(prefix: str, folder: Path) -> None:
    """Write the weights of the checkpoint `prefix`, under its name, to a new folder."""
    _, weights = checkpoints.read_network(prefix)
    folder.mkdir(parents=True)
    with tf.Graph().as_default(), tf.Session() as session:
        for name, value in weights.items():
            tf.get_variable(name, initializer=value)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder / Path(prefix).name), write_meta_graph=False)
    digests = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(digests))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a folder or a prefix")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a new folder")
    flags = parser.parse_args()
    write_weights(checkpoints.find(flags.checkpoint).prefix, flags.folder)


if __name__ == "__main__":
    main()
