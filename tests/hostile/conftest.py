"""A finished run, made once, for every command to work on."""

import pytest


@pytest.fixture(scope="session")
def finished_run(idx_files, tmp_path_factory):
    """The folder of the checkpoints of a small network."""
    from tests.hostile.commands import N_EPOCHS
    from vae_graph import data, training
    from vae_graph.settings import Settings

    folder = tmp_path_factory.mktemp("run")
    digits = data.other(idx_files)
    settings = Settings(n_hidden_encoder=16, n_hidden_decoder=12, batch_size=50, num_epoch=N_EPOCHS)
    training.train(digits.train.pixels, digits.sha256, settings, folder)
    return folder


@pytest.fixture
def run(in_tmp, finished_run, without_pictures):
    """A test's own copy of it, in the working directory."""
    from tests.hostile.commands import lay_out

    return lay_out(finished_run, in_tmp / "run").relative_to(in_tmp)
