"""Inputs and programs of networks, for the tests of every family."""

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


# As one program each: operation by operation, every one of them would be compiled by itself.
def init(module, *inputs, **options):
    return jax.jit(functools.partial(module.init, **options))(jax.random.key(1), *inputs)


def apply(module, variables, *inputs, **options):
    return jax.jit(functools.partial(module.apply, **options))(variables, *inputs)


def network_of(module) -> jaxgan.Network:
    """As a network that makes its parameters in one program, also where `gan.init` is not one."""
    network = networks.from_linen(module)
    return network._replace(init=jax.jit(network.init))


def latents(num: int, batch: int = 2) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (batch, num))


def images(size: int, channels: int, batch: int = 2) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (batch, size, size, channels))


def random_like(params):
    """Biases begin at zero; a test that adds them up should see them."""
    generator = np.random.default_rng(1)
    draw = lambda leaf: jnp.asarray(generator.normal(0, 0.1, leaf.shape), leaf.dtype)
    return jax.tree.map(draw, params)
