"""What a training run keeps besides its variables, and how it is resumed.

`training_run` is the object that a training loop calls. It brings together what is behind it: `record` (the errors so
far, in `resume.json`), `resume` (which checkpoint to continue from, and whether settings and data still match),
`folder` (the files of a run: retention, checkpoints within an epoch, archives of earlier runs), `signals` and
`events` (TensorBoard).
"""
