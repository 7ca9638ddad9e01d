"""Compares diagnostics with hand-computed values and with loops over pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import diagnostics


def test_of_logits_matches_hand_computed_values():
    metrics = diagnostics.of_logits(jnp.array([0.0, np.log(3.0)]), jnp.array([-1.0, -np.log(3.0)]))
    expected = {
        "real_probability": 0.625,
        "fake_probability": (1 / (1 + np.e) + 0.25) / 2,
        "real_accuracy": 0.5,  # a logit of 0 counts as wrong
        "fake_accuracy": 1.0,
        "logit_gap": np.log(3.0) / 2 + (1 + np.log(3.0)) / 2,
    }
    assert set(metrics) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-6)


def test_accuracies_of_logits_use_the_boundary():
    real, fake = jnp.array([0.6, 0.4, 0.5, 0.9]), jnp.array([0.6, 0.4, 0.3, 0.2])
    metrics = diagnostics.of_logits(real, fake, boundary=0.5)
    assert (float(metrics["real_accuracy"]), float(metrics["fake_accuracy"])) == (0.5, 0.75)
    assert set(diagnostics.of_logits(real, fake, boundary=None)) == {"logit_gap"}
    with pytest.raises(TypeError, match="boundary must be a number; got 'zero'"):
        diagnostics.of_logits(real, fake, boundary="zero")


def test_of_logits_of_patches_is_that_of_flat_logits():
    real, fake = (np.random.default_rng(i).normal(size=12).astype("float32") for i in range(2))
    patches = diagnostics.of_logits(real.reshape(3, 2, 2), fake.reshape(3, 2, 2))
    for name, value in diagnostics.of_logits(real, fake).items():
        np.testing.assert_allclose(patches[name], value, rtol=1e-6)


def test_of_images_is_the_mean_over_pairs():
    generator = np.random.default_rng(0)
    real = generator.normal(size=(7, 4, 4, 1)) + 100.0
    fake = generator.normal(size=(5, 4, 4, 1))
    found = diagnostics.of_images(jnp.asarray(real, jnp.float32), jnp.asarray(fake, jnp.float32))
    for name, images in (("real_distance", real), ("fake_distance", fake)):
        pairs = [np.linalg.norm(a - b) for i, a in enumerate(images) for b in images[:i]]
        np.testing.assert_allclose(found[name], np.mean(pairs), rtol=1e-4)


def test_of_images_of_a_collapsed_batch_is_zero():
    same = jnp.full((6, 4, 4, 1), 0.7)
    np.testing.assert_allclose(diagnostics.of_images(same, same)["fake_distance"], 0, atol=1e-3)


def test_of_images_needs_pairs():
    with pytest.raises(ValueError, match=r"fake must be at least two images; got shape \(1, 4\)"):
        diagnostics.of_images(jnp.zeros((2, 4)), jnp.zeros((1, 4)))


def test_of_images_needs_images_of_one_shape():
    message = r"real and fake must be images of the same shape; got \(2, 4\) and \(3, 5\)"
    with pytest.raises(ValueError, match=message):
        diagnostics.of_images(jnp.zeros((2, 4)), jnp.zeros((3, 5)))


def test_pixel_diversity_is_the_mean_standard_deviation():
    images = np.random.default_rng(0).normal(size=(10, 4, 4, 1)).astype(np.float32)
    np.testing.assert_allclose(
        diagnostics.pixel_diversity(jnp.asarray(images)), images.std(0).mean(), rtol=1e-5
    )


def test_pixel_diversity_of_a_collapsed_batch_is_zero():
    images = jnp.tile(jax.random.normal(jax.random.key(0), (1, 4, 4, 1)), (8, 1, 1, 1))
    assert float(diagnostics.pixel_diversity(images)) < 1e-6


@pytest.mark.parametrize("shape", [(), (4,), (1, 4, 4, 1)])
def test_pixel_diversity_needs_two_images(shape):
    with pytest.raises(
        ValueError, match=r"images must be (at least two images|float \[batch, ...\]); got shape"
    ):
        diagnostics.pixel_diversity(jnp.zeros(shape))
