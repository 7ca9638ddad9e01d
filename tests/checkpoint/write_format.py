"""Writes a small checkpoint of the current format, and its values, as data for test_format.py.

    python tests/checkpoint/write_format.py

Later versions of jaxgan must restore the checkpoint of each version. Run this script only after a
change of `FORMAT` or of `TrainState`, and add its two files to the repository.
"""

import json
import tempfile
import zipfile
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgan
from jaxgan import checkpoint, losses, penalties
from jaxgan.checkpoint import _manifest as manifest

HERE = Path(__file__).parent


class Generator(nn.Module):
    @nn.compact
    def __call__(self, latents, *, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(3)(latents))
        return jnp.tanh(nn.Dense(4)(nn.relu(x))).reshape(-1, 2, 2, 1)


class Discriminator(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        x = nn.Dense(3)(images.reshape(images.shape[0], -1))
        return nn.Dense(1)(nn.leaky_relu(x, 0.2))[:, 0]


def make_images() -> jax.Array:
    return jax.random.uniform(jax.random.key(1), (8, 2, 2, 1), minval=-1.0)


def make_gan() -> jaxgan.GAN:
    """Makes a GAN that uses all fields of the state."""
    return jaxgan.gan(
        generator=Generator(),
        discriminator=Discriminator(),
        loss=losses.hinge(),
        optimizer=jaxgan.Pair(optax.inject_hyperparams(optax.adam)(1e-2), optax.adam(1e-2)),
        latents=2,
        penalty=penalties.lecam(),
        ema_half_life=100.0,
    )


def values(state: jaxgan.TrainState) -> dict[str, list]:
    """Returns the dtype and the numbers of each leaf, by path."""
    found = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        numbers = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        found[jax.tree_util.keystr(path)] = [str(leaf.dtype), numbers.tolist()]
    return found


def write_zip(path: Path, folder: Path) -> None:
    files = sorted(file for file in folder.rglob("*") if file.name != ".lock")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(folder))


def main() -> None:
    gan, images = make_gan(), make_images()
    state = gan.init(jax.random.key(7), images)
    for _ in range(3):
        state, _ = jax.jit(gan.update)(state, images)
    name = f"format_{manifest.FORMAT}"
    lines = [f"{json.dumps(key)}: {json.dumps(x)}" for key, x in values(state).items()]
    (HERE / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(folder, state, metadata={"epochs": 3}).result()
        write_zip(HERE / f"{name}.zip", Path(folder))


if __name__ == "__main__":
    main()
