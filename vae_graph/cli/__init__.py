"""The command line: flags, commands, printed text.

`main` is the entry point of `run_mnist.py` and of the console script; it parses the flags, in `flags`, before
TensorFlow is imported. `commands` has a function for each command that takes a checkpoint; `inputs` finds checkpoints
and data sets, `outputs` writes the results, `report` formats them.
"""
