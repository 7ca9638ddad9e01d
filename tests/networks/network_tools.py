"""Inputs and helpers for the tests of networks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxgan
from jaxgan import networks

LABELS = jnp.array([0, 2])
TRAIN = {"train": False}


def shapes(module, *inputs, **options):
    return jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, **options))


def count(module, *inputs, **options) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(shapes(module, *inputs, **options)["params"]))


# Jitted, because otherwise every operation would compile separately.
def init(module, *inputs, **options):
    return jax.jit(functools.partial(module.init, **options))(jax.random.key(1), *inputs)


def apply(module, variables, *inputs, **options):
    return jax.jit(functools.partial(module.apply, **options))(variables, *inputs)


def network_of(module) -> jaxgan.Network:
    """Returns a network with a jitted `init`, so that an eager `gan.init` compiles one program."""
    network = networks.from_linen(module)
    return network._replace(init=jax.jit(network.init))


def latents(num: int, batch: int = 2) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (batch, num))


def images(size: int, channels: int, batch: int = 2) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (batch, size, size, channels))


def random_like(params):
    """Draws non-zero parameters, because zero biases would hide errors."""
    generator = np.random.default_rng(1)
    draw = lambda leaf: jnp.asarray(generator.normal(0, 0.1, leaf.shape), leaf.dtype)
    return jax.tree.map(draw, params)


def cosines_like(tree):
    """Computes float64 parameters, cos(n^2) / 2 for the nth number, as the reference figures do."""
    leaves, structure = jax.tree.flatten(tree)
    ends = np.cumsum([leaf.size for leaf in leaves])
    numbers = 0.5 * np.cos(np.arange(ends[-1], dtype=np.float64) ** 2)
    parts = np.split(numbers, ends[:-1])
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)
