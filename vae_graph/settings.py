"""What determines a training run, besides its data."""

from dataclasses import dataclass

from vae_graph.errors import UserError


class SettingsError(UserError):
    """A setting does not fit the data or the run to resume. The message names the flag and both values."""


@dataclass(frozen=True)
class Settings:
    """The first nine are the original's flags, with the defaults of its code; keep_prob has that of its README."""

    n_hidden_encoder: int = 500      # units in each of the encoder's two hidden layers
    n_z: int = 2                     # latent dimensions
    n_hidden_decoder: int = 500      # units in each of the decoder's two hidden layers
    num_epoch: int = 200
    batch_size: int = 128            # images per step
    learning_rate: float = 1e-4      # Adam's, at step 0
    decay_rate: float = 0.96         # factor by which the learning rate decays, continuously ...
    decay_step: int = 2000           # ... over this many steps
    keep_prob: float = 0.6           # probability of KEEPING a hidden unit
    seed: int = 0
    checkpoint_every: int = 20       # epochs
    shuffle: bool = False            # reorder the images in every epoch, which the original does not do
    add_noise: bool = False          # the encoder sees noisy images: see `model.add_noise`
