"""The same training on TensorFlow 1's distributed runtime: `distributed` is the program, whose task `config` reads."""
