"""What a training run keeps besides its variables, and how it is resumed.

A run is two objects: `progress.Progress`, what was loaded (the record, the checkpoint to restore, the position), and
`recorder.Recorder`, what records while a session is open. Behind them are `record` (the errors so far, in
`resume.json`), `folder` (the files of a run: retention, checkpoints within an epoch, archives of earlier runs),
`signals` and `streams` (what stops a run before its end) and `events` (TensorBoard).
"""
