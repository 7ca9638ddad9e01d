"""Compares PacGAN's networks with numpy and the papers' numbers of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from network_tools import TRAIN, apply, count, init, latents, network_of, random_like

import jaxgan
from jaxgan import networks

# Each term is one layer's weights and biases, or a batch normalization's scales and shifts,
# computed by hand from the paper's table.
FIGURES = {
    # 2 x 400, three of 400 x 400, four normalizations, 400 x 2
    "PacGAN generator": (
        networks.PacGANGenerator(),
        (latents(2),),
        TRAIN,
        800 + 3 * 160_000 + 4 * 800 + 802,
    ),
    # 2 x 1000, two of 200 x 1000, 200 x 1
    "PacGAN discriminator": (
        networks.PacGANDiscriminator(),
        (latents(2),),
        {},
        3_000 + 2 * 201_000 + 201,
    ),
    # two points at once: 4 x 1000
    "PacGAN2 discriminator": (
        networks.PacGANDiscriminator(),
        (latents(4),),
        {},
        5_000 + 2 * 201_000 + 201,
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_number_of_parameters_matches_the_paper(name):
    module, inputs, options, expected = FIGURES[name]
    assert count(module, *inputs, **options) == expected


def test_pacgan_pair_updates_with_packed_points():
    gan = jaxgan.gan(
        network_of(networks.PacGANGenerator(features=(8, 8), dtype=jnp.bfloat16)),
        network_of(networks.PacGANDiscriminator(features=(8, 8), dtype=jnp.bfloat16)),
        jaxgan.losses.non_saturating(),
        jaxgan.Pair(optax.adam(1e-4), optax.adam(1e-4)),
        latents=2,
        augmentation=jaxgan.augment.pack(2),
    )
    points = jax.random.normal(jax.random.key(1), (8, 2))
    state = gan.init(jax.random.key(0), points)
    assert state.params.discriminator["Dense_0"]["kernel"].shape == (4, 8 * 5)
    state, metrics = jax.jit(gan.update)(state, points)
    assert int(metrics["generator_skipped"]) == int(metrics["discriminator_skipped"]) == 0
    assert jax.eval_shape(gan.sample, state, latents(2)).dtype == jnp.float32


def test_maxout_is_the_largest_of_its_pieces():
    discriminator = networks.PacGANDiscriminator(features=(3,), pieces=4)
    x = latents(2, batch=5)
    params = random_like(init(discriminator, x)["params"])
    first, last = (jax.tree.map(np.float64, params[f"Dense_{i}"]) for i in range(2))
    pieces = (np.float64(x) @ first["kernel"] + first["bias"]).reshape(5, 3, 4)
    expected = pieces.max(axis=-1) @ last["kernel"] + last["bias"]
    found = apply(discriminator, {"params": params}, x)
    np.testing.assert_allclose(found, expected[:, 0], rtol=1e-5)
