"""Defines small games of four kinds, and compares one on a mesh with one on a single device.

python tests/_game/games.py    # prints the largest difference, on all devices
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgan
from jaxgan import Pair, distributed, training

RATE = 0.1
softplus = jax.nn.softplus


def normal(key, *shape):
    return 0.5 * jax.random.normal(key, shape)


def bigan_init(key, batch):
    keys = jax.random.split(key, 3)
    mappings = {"generator": normal(keys[0], 2, 3), "encoder": normal(keys[1], 3, 2)}
    return Pair(mappings, normal(keys[2], 5, 1))


def bigan_pairs(mappings, images, key):
    """Returns pairs of the encoder and pairs of the generator."""
    latents = jax.random.normal(key, (images.shape[0], 2))
    encoded = jnp.concatenate([images, images @ mappings["encoder"]], 1)
    return encoded, jnp.concatenate([jnp.tanh(latents @ mappings["generator"]), latents], 1)


def bigan_value(discriminator, pairs):
    logits = [jnp.tanh(x) @ discriminator for x in pairs]
    return jnp.mean(softplus(-logits[0]) + softplus(logits[1]))


def bigan_losses(params, images, key):
    value = bigan_value(params.discriminator, bigan_pairs(params.generator, images, key))
    return Pair(-value, value)


def sde_init(key, batch):
    keys = jax.random.split(key, 2)
    return Pair({"drift": normal(keys[0]), "noise": jnp.ones(())}, normal(keys[1], 5))


def sde_paths(params, num, key):
    """Returns paths of dx = drift x dt + noise dW, by Euler's method."""
    increments = jax.random.normal(key, (4, num)) * 0.5

    def step(x, increment):
        x = x + 0.25 * params["drift"] * x + params["noise"] * increment
        return x, x

    start = jnp.ones(num)
    return jnp.concatenate([start[None], jax.lax.scan(step, start, increments)[1]]).T


def sde_losses(params, paths, key):
    fake = sde_paths(params.generator, paths.shape[0], key)
    score = jnp.mean(jnp.tanh(paths) @ params.discriminator)
    score -= jnp.mean(jnp.tanh(fake) @ params.discriminator)
    return Pair(score, -score)


def dann_init(key, batch):
    keys = jax.random.split(key, 3)
    return Pair(
        {"features": normal(keys[0], 3, 4), "labels": normal(keys[1], 4)}, normal(keys[2], 4)
    )


def dann_losses(params, batch, key):
    (source, labels), target = batch
    features = [jnp.tanh(x @ params.generator["features"]) for x in (source, target)]
    domains = [x @ params.discriminator for x in features]
    domain = jnp.mean(softplus(-domains[0])) + jnp.mean(softplus(domains[1]))
    logits = features[0] @ params.generator["labels"]
    return Pair(jnp.mean(softplus(jnp.where(labels > 0, -logits, logits))) - domain, domain)


INITS = {"bigan": bigan_init, "sde": sde_init, "dann": dann_init}
LOSSES = {"bigan": bigan_losses, "sde": sde_losses, "dann": dann_losses}


def make_game(name):
    sgd = optax.sgd(RATE)
    return jaxgan.game(jaxgan.objective(INITS[name], LOSSES[name]), Pair(sgd, sgd))


def make_data(name, num=24):
    draw = np.random.default_rng(0).standard_normal
    a, b = (draw((num, 3)).astype(np.float32) for _ in range(2))
    paths = draw((num, 5)).astype(np.float32)
    labels = np.arange(num, dtype=np.int32) % 2
    return {"bigan": a, "sde": paths, "dann": ((a, labels), b + 1)}[name]


def difference_on_mesh(name):
    game, data, mesh = make_game(name), make_data(name), distributed.mesh()
    state = game.init(jax.random.key(0), data)
    steps = functools.partial(training.steps, game, num_steps=4, batch_size=12)
    expected, _ = jax.jit(steps)(state, data)
    split = jax.jit(functools.partial(steps, mesh=mesh))
    found, _ = split(distributed.place(mesh, state), distributed.place(mesh, data))
    pairs = zip(*(map(jax.tree.leaves, (expected.params, found.params))), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


if __name__ == "__main__":
    assert jax.device_count() == 4
    print(max(map(difference_on_mesh, INITS)))
