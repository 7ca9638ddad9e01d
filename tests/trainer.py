"""Trains a small GAN on a mesh of the devices of all processes, with a save in each epoch.

    python tests/trainer.py FOLDER EPOCHS [--batch-norm] [--slow-saves]

Resumes the newest checkpoint in the folder. Prints each epoch and each save, and the digest of the
last state. `tests/test_killed_processes.py` kills the processes.
"""

import functools
import hashlib
import sys
import time
from pathlib import Path

import jax
import mesh_programs
import numpy as np
import optax
import worker

from jaxgan import GAN, Pair, checkpoint, distributed, images, runs, training
from jaxgan.checkpoint import _storage as storage

STEPS, BATCH = 5, 28  # in each epoch of the 150 images; four devices divide the batch
IMAGES = mesh_programs.IMAGES


def make_gan(*, batch_norm: bool) -> GAN:
    momentum = optax.sgd(0.05, momentum=0.9)  # Adam amplifies rounding
    networks = mesh_programs.CONVOLUTIONS if batch_norm else {}
    return mesh_programs.make_gan(optimizer=Pair(momentum, momentum), **networks)


def main() -> None:
    folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
    worker.join(heartbeat_timeout_seconds=10, shutdown_timeout_seconds=10)
    if "--slow-saves" in sys.argv:
        slow_down()
    gan, mesh = make_gan(batch_norm="--batch-norm" in sys.argv), distributed.mesh()
    workdir = runs.begin(folder, {"epochs": epochs}, resume=(folder / "config.json").exists())
    state = distributed.init(gan, mesh, jax.random.key(0), images.normalize(IMAGES[:1]))
    losses = []
    if checkpoint.steps(workdir / "checkpoints"):
        state = checkpoint.restore(workdir / "checkpoints", like=state)
        losses = checkpoint.info(workdir / "checkpoints").metadata
    data = distributed.place(mesh, IMAGES)
    epoch = functools.partial(training.epochs, gan, batch_size=BATCH, mesh=mesh)
    train = jax.jit(epoch, donate_argnums=0)
    saving, received = None, []
    with runs.stop_signals() as stopped:
        for number in range(int(state.step) // STEPS, epochs):
            state, metrics = train(state, data)
            losses += np.ravel(metrics["generator_loss"]).tolist()
            saving = checkpoint.save(workdir / "checkpoints", state, metadata=losses)
            print(f"epoch {number}", flush=True)
            if received := runs.agree(stopped):
                break
        if saving:
            saving.result()
    leaves = jax.tree.leaves(state.replace(key=jax.random.key_data(state.key)))
    bits = b"".join(np.asarray(leaf.addressable_data(0)).tobytes() for leaf in leaves)
    print(f"step {int(state.step)} {hashlib.sha256(bits).hexdigest()}", flush=True)
    sys.exit(128 + received[0] if received else 0)


def slow_down() -> None:
    """Lets each save take a second, so that a test can kill a process meanwhile."""
    save = storage._save_arrays

    def save_slowly(path, arrays):
        print("saving", flush=True)
        time.sleep(0.5)
        save(path, arrays)
        time.sleep(0.5)

    storage._save_arrays = save_slowly


if __name__ == "__main__":
    main()
