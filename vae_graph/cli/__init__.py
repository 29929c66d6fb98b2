"""The command line: flags, commands, printed text.

`run_mnist.py` starts here: `parser` parses the flags, which `flag_groups` defines, before TensorFlow is imported, and
`execution` runs the command and reports its errors. `commands` has a function for each command that takes a checkpoint;
`inputs` finds checkpoints and data sets, `outputs` writes the results, `report` formats them.
"""
