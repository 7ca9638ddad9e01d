"""Compares latents along a line with hand-computed values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import latents


def test_traversal_matches_the_recipe():
    latent = jax.random.normal(jax.random.key(0), (100,))
    walk = np.asarray(latents.traversal(latent))
    assert walk.shape == (100, 100)
    np.testing.assert_allclose(walk[:, 0], [0.02 * i - 1 for i in range(100)], atol=1e-6)
    np.testing.assert_array_equal(walk[:, 1:], np.tile(latent[1:], (100, 1)))


def test_traversal_of_another_coordinate_under_jit():
    walk = jax.jit(lambda z: latents.traversal(z, 2, num=3, start=1.0, step=-1.0))(jnp.zeros(4))
    np.testing.assert_array_equal(walk, [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, -1, 0]])


@pytest.mark.parametrize(("shape", "coordinate"), [((3,), 3), ((3,), -1), ((2, 3), 0)])
def test_traversal_rejects_invalid_latents_and_coordinates(shape, coordinate):
    with pytest.raises(ValueError, match=r"(latent|coordinate) must be"):
        latents.traversal(jnp.zeros(shape), coordinate)


@pytest.mark.parametrize("num", [0, -1])
def test_traversal_needs_at_least_one_latent(num):
    with pytest.raises(ValueError, match=f"num must be at least 1; got {num}"):
        latents.traversal(jnp.zeros(3), num=num)
