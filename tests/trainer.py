"""Trains a small GAN on the devices of all processes, with a save in each epoch.

    python tests/trainer.py FOLDER EPOCHS [--slow-saves]

Resumes the newest checkpoint in the folder. Prints each epoch and each save, and the digest of the
last state. `tests/test_killed_processes.py` kills the processes.
"""

import hashlib
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import worker

import jaxgan
from jaxgan import checkpoint, runs
from jaxgan.checkpoint import _storage as storage

STEPS = 5  # in each epoch


def main() -> None:
    folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
    worker.join(heartbeat_timeout_seconds=10, shutdown_timeout_seconds=10)
    if "--slow-saves" in sys.argv:
        slow_down()
    gan = jaxgan.gan(
        jaxgan.networks.MLPGenerator((4, 4, 1), features=(8,)),
        jaxgan.networks.MLPDiscriminator(features=(8,)),
        jaxgan.losses.non_saturating(),
        jaxgan.Pair(optax.adam(1e-2), optax.adam(1e-2)),
        latents=3,
    )
    images = np.random.default_rng(0).uniform(-1, 1, (STEPS, 8, 4, 4, 1)).astype(np.float32)
    workdir = runs.begin(folder, {"epochs": epochs}, resume=(folder / "config.json").exists())
    state = worker.place(gan.init(jax.random.key(0), images[0]))
    if checkpoint.steps(workdir / "checkpoints"):
        state = checkpoint.restore(workdir / "checkpoints", like=state)
    batches = [worker.place(batch, "data") for batch in images]
    replicated = jax.tree.map(lambda leaf: leaf.sharding, state)
    update = jax.jit(gan.update, donate_argnums=0, out_shardings=(replicated, None))
    saving, received = None, []
    with runs.stop_signals() as stopped:
        for epoch in range(int(state.step) // STEPS, epochs):
            for batch in batches:
                state, _ = update(state, batch)
            saving = checkpoint.save(workdir / "checkpoints", state)
            print(f"epoch {epoch}", flush=True)
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
