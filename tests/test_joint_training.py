"""Compares the training of several processes with that of one device and of other processes."""

import functools
import shutil
from pathlib import Path

import clusters
import jax
import numpy as np
import pytest
import trainer

from jaxgan import checkpoint, images, training

SCRIPT = Path(trainer.__file__)
EPOCHS = 2  # ten steps


def train(folder, num, devices, epochs=EPOCHS, *options):
    """Trains, and returns the last line of process 0, which has the digest of the state."""
    done = clusters.run(SCRIPT, str(folder), f"{epochs}", *options, num=num, devices=devices)
    for process in done:
        assert process.returncode == 0, process.output
    return done[0].output.splitlines()[-1]


def train_here(*, batch_norm=False):
    """Returns the state and the generator's losses of one device, without a mesh."""
    gan = trainer.make_gan(batch_norm=batch_norm)
    state = gan.init(jax.random.key(0), images.normalize(trainer.IMAGES[:1]))
    epochs = functools.partial(training.epochs, gan, num_epochs=EPOCHS, batch_size=trainer.BATCH)
    state, metrics = jax.jit(epochs)(state, trainer.IMAGES)
    return state, np.ravel(metrics["generator_loss"])


def check_close(folder, expected):
    """Compares a checkpoint with a state and losses. Other images would differ by about 1e-2."""
    state, losses = expected
    found = checkpoint.restore(folder / "checkpoints", like=state)
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5)
    jax.tree.map(close, found.replace(key=0), state.replace(key=0))
    close(checkpoint.info(folder / "checkpoints").metadata, losses)


@pytest.mark.filterwarnings("ignore:.*another environment")  # of other devices
def test_two_processes_train_like_one_device(tmp_path):
    assert train(tmp_path, 2, 2).startswith("step 10 ")
    check_close(tmp_path, train_here())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*another environment")  # the processes compile quickly
@pytest.mark.parametrize("batch_norm", [False, True])
def test_run_continues_on_other_processes_and_devices(tmp_path, batch_norm):
    """Two processes of two devices add in the order of four processes, so the bits are equal."""
    options = ["--batch-norm"] if batch_norm else []
    expected = train_here(batch_norm=batch_norm)
    whole = train(tmp_path / "2x2", 2, 2, EPOCHS, *options)
    check_close(tmp_path / "2x2", expected)
    train(tmp_path / "begun", 4, 1, 1, *options)
    for num, devices in [(2, 2), (1, 4), (2, 1), (1, 1)]:
        folder = tmp_path / f"continued_on_{num}x{devices}"
        shutil.copytree(tmp_path / "begun", folder)
        line = train(folder, num, devices, EPOCHS, *options)
        assert line == whole or (num, devices) != (2, 2)
        check_close(folder, expected)
