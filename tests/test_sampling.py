"""Latents to look at, and diversity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import sampling


def test_traversal_of_the_recipe():
    latent = jax.random.normal(jax.random.key(0), (100,))
    walk = np.asarray(sampling.traversal(latent))
    assert walk.shape == (100, 100)
    np.testing.assert_allclose(walk[:, 0], [0.02 * i - 1 for i in range(100)], atol=1e-6)
    np.testing.assert_array_equal(walk[:, 1:], np.tile(latent[1:], (100, 1)))


def test_traversal_of_another_coordinate_under_jit():
    walk = jax.jit(lambda z: sampling.traversal(z, 2, num=3, start=1.0, step=-1.0))(jnp.zeros(4))
    np.testing.assert_array_equal(walk, [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, -1, 0]])


@pytest.mark.parametrize(("shape", "coordinate"), [((3,), 3), ((3,), -1), ((2, 3), 0)])
def test_traversal_refuses_what_it_cannot_walk(shape, coordinate):
    with pytest.raises(ValueError, match=r"(latent|coordinate) must be"):
        sampling.traversal(jnp.zeros(shape), coordinate)


def test_pixel_diversity_is_the_mean_standard_deviation():
    images = np.random.default_rng(0).normal(size=(10, 4, 4, 1)).astype(np.float32)
    np.testing.assert_allclose(
        sampling.pixel_diversity(jnp.asarray(images)), images.std(0).mean(), rtol=1e-5
    )


def test_pixel_diversity_of_a_collapsed_batch_is_zero():
    images = jnp.tile(jax.random.normal(jax.random.key(0), (1, 4, 4, 1)), (8, 1, 1, 1))
    assert float(sampling.pixel_diversity(images)) < 1e-6


@pytest.mark.parametrize("num", [0, -1])
def test_traversal_needs_a_step(num):
    with pytest.raises(ValueError, match=f"num must be at least 1; got {num}"):
        sampling.traversal(jnp.zeros(3), num=num)


@pytest.mark.parametrize("shape", [(), (4,), (1, 4, 4, 1)])
def test_pixel_diversity_needs_two_images(shape):
    with pytest.raises(ValueError, match=r"two images or more|\[batch, ...\]; got shape"):
        sampling.pixel_diversity(jnp.zeros(shape))
