"""Losses against numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import losses

LOGITS = jnp.array([-1e4, -30.0, -1.5, 0.0, 0.3, 12.0, 1e4], jnp.float32)


def cross_entropy(logits: np.ndarray, target: float) -> np.ndarray:
    """-t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x)), in float64."""
    x = np.asarray(logits, np.float64)
    return target * np.logaddexp(0, -x) + (1 - target) * np.logaddexp(0, x)


@pytest.mark.parametrize("real_label", [0.9, 1.0, 0.5])
def test_non_saturating_is_its_formula_under_jit(real_label):
    loss = losses.non_saturating(real_label)
    real, fake = LOGITS, LOGITS[::-1]
    generator, discriminator = (
        jax.jit(loss.generator)(real, fake),
        jax.jit(loss.discriminator)(real, fake),
    )
    expected = cross_entropy(real, real_label) + cross_entropy(fake, 0.0)
    np.testing.assert_allclose(generator, cross_entropy(fake, 1.0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(discriminator, expected, rtol=1e-6, atol=1e-6)
    assert generator.dtype == discriminator.dtype == jnp.float32


def test_non_saturating_has_literal_values():
    loss = losses.non_saturating(real_label=0.9)
    zero, one = jnp.zeros(1), jnp.ones(1)
    np.testing.assert_allclose(loss.generator(zero, one), [0.3132617], rtol=1e-6)
    # 0.9 log(1 + e^-1) + 0.1 log(1 + e) + log 2
    np.testing.assert_allclose(loss.discriminator(one, zero), [1.1064088], rtol=1e-6)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
@pytest.mark.parametrize("magnitude", [1e4, -1e4])
def test_values_and_gradients_are_finite_at_extreme_logits(player, magnitude):
    loss = getattr(losses.non_saturating(), player)
    logits = jnp.full(3, magnitude)
    gradients = jax.grad(lambda real, fake: loss(real, fake).sum(), argnums=(0, 1))(logits, logits)
    assert jnp.isfinite(loss(logits, logits)).all()
    assert all(jnp.isfinite(g).all() for g in gradients)


def test_gradient_is_sigmoid_minus_target():
    loss = losses.non_saturating(real_label=0.9)
    real, fake = jnp.array([-2.0, 0.0, 3.0]), jnp.array([1.0, -1.0, 0.5])
    gradient = jax.grad(lambda *logits: loss.discriminator(*logits).sum(), argnums=(0, 1))(
        real, fake
    )
    sigmoid = lambda x: 1 / (1 + np.exp(-np.asarray(x, np.float64)))
    np.testing.assert_allclose(gradient[0], sigmoid(real) - 0.9, atol=1e-6)
    np.testing.assert_allclose(gradient[1], sigmoid(fake), atol=1e-6)


def test_smoothed_optimum_is_the_logit_of_the_label():
    loss = losses.non_saturating(real_label=0.9)
    slope = jax.grad(lambda x: loss.discriminator(x, jnp.zeros(1)).sum())
    np.testing.assert_allclose(slope(jnp.array([np.log(9.0)], jnp.float32)), [0.0], atol=1e-6)


@pytest.mark.parametrize("real_label", [0.0, -0.1, 1.1, float("nan")])
def test_real_label_out_of_range_is_refused(real_label):
    with pytest.raises(ValueError, match="real_label must be in"):
        losses.non_saturating(real_label)
