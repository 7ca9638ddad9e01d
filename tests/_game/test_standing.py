"""Compares standing statistics with the statistics of separate passes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LATENT_DIM, SHAPE, assert_trees_equal, make_gan

from jaxgan.networks import ConditionalBatchNorm

PASSES, BATCH = 4, 6
LATENTS = jax.random.normal(jax.random.key(1), (PASSES, BATCH, LATENT_DIM))
IMAGES = jnp.linspace(-1, 1, 16).reshape(1, *SHAPE)


class Normed(nn.Module):
    """Normalizes twice, with a slow and a fast average."""

    @nn.compact
    def __call__(self, x, train):
        norm = nn.BatchNorm(not train, momentum=0.99, use_bias=False, use_scale=False)
        x = nn.relu(norm(nn.Dense(5)(x)))
        norm = nn.BatchNorm(not train, momentum=0.5, use_bias=False, use_scale=False)
        return nn.tanh(norm(nn.Dense(16)(x))).reshape(-1, *SHAPE)


def in_numpy(params, latents, statistics=None):
    """Computes a pass of `Normed` in float64: the images, and the statistics that it used."""
    x, used = np.asarray(latents, np.float64), []
    for i in (0, 1):
        dense = params[f"Dense_{i}"]
        x = x @ np.asarray(dense["kernel"], np.float64) + np.asarray(dense["bias"], np.float64)
        used.append((x.mean(0), x.var(0)) if statistics is None else statistics[i])
        x = (x - used[-1][0]) / np.sqrt(used[-1][1] + 1e-5)
        x = np.maximum(x, 0) if i == 0 else np.tanh(x).reshape(-1, *SHAPE)
    return x, used


def test_standing_statistics_are_means_over_passes_of_the_averaged_generator():
    gan = make_gan(generator=Normed(), ema_half_life=10.0)
    state = gan.init(jax.random.key(0), IMAGES)
    averaged = jax.tree.map(lambda x: 0.7 * x + 0.1, state.params.generator)
    own = state.model_state.generator
    old = own | {"network": jax.tree.map(lambda x: jnp.full_like(x, 9.0), own["network"])}
    state = state.replace(
        ema_params=averaged, model_state=state.model_state._replace(generator=old)
    )
    standing = jax.jit(gan.standing_statistics)(state, LATENTS)

    passes = [in_numpy(averaged, x)[1] for x in LATENTS]
    means = [[np.mean([one[i][k] for one in passes], axis=0) for k in (0, 1)] for i in (0, 1)]
    found = standing.model_state.generator["network"]["batch_stats"]
    for i, expected in enumerate(means):
        for name, value in zip(("mean", "var"), expected, strict=True):
            # Rounding of the momentum, 2^-25, moves an average by up to 2^-25 / (1 - 0.99).
            np.testing.assert_allclose(found[f"BatchNorm_{i}"][name], value, rtol=2e-5, atol=1e-6)

    # Samples use the averaged parameters with the statistics of the given state.
    sample = jax.jit(gan.sample)
    expected, _ = in_numpy(averaged, LATENTS[0], means)
    np.testing.assert_allclose(sample(standing, LATENTS[0]), expected, atol=1e-5)
    expected, _ = in_numpy(averaged, LATENTS[0], [(9.0, 9.0)] * 2)
    np.testing.assert_allclose(sample(state, LATENTS[0]), expected, atol=1e-5)
    assert_trees_equal(standing.replace(model_state=state.model_state), state)
    assert_trees_equal(standing.model_state.discriminator, state.model_state.discriminator)


class Rich(nn.Module):
    """Has labels, spectral normalization, dropout, counters and a constant."""

    momentum: float = 0.9

    @nn.compact
    def __call__(self, x, labels, train):
        x = nn.SpectralNorm(nn.Dense(5))(x, update_stats=train)
        x = ConditionalBatchNorm(3, momentum=self.momentum)(x, labels, train=train)
        x = nn.SpectralNorm(nn.Dense(16))(nn.relu(x), update_stats=train)
        x = ConditionalBatchNorm(3, momentum=self.momentum)(x, labels, train=train)
        for dtype in (jnp.int32, jnp.float32):
            count = self.variable("counts", dtype.__name__, lambda d=dtype: jnp.full((), 3, d))
            count.value += jnp.asarray(train, dtype)
        self.variable("buffers", "constant", lambda: jnp.ones(4))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.tanh(x).reshape(-1, *SHAPE)


class Labeled(nn.Module):
    @nn.compact
    def __call__(self, images, labels):
        return nn.Dense(1)(images.reshape(len(images), -1))[:, 0]


def labeled_gan():
    return make_gan(generator=Rich(), discriminator=Labeled(), num_classes=3)


def test_standing_statistics_of_a_population_with_labels_keep_other_values():
    # With a negligible momentum, the averages after a pass are the statistics of the pass.
    gan, one_pass = labeled_gan(), Rich(momentum=1e-30)
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    labels = jax.random.randint(jax.random.key(2), (PASSES, BATCH), 0, 3)
    init = jax.jit(jax.vmap(gan.init, in_axes=(0, None)))
    states = init(keys, (IMAGES, jnp.zeros(1, jnp.int32)))
    standing = jax.jit(jax.vmap(gan.standing_statistics, in_axes=(0, None, None)))
    found = standing(states, LATENTS, labels).model_state.generator["network"]

    @jax.jit
    @jax.vmap
    def after_each_pass(params, model_state):
        def after(x, y):
            variables = {"params": params, **model_state}
            mutable, rngs = list(model_state), jax.random.key(5)
            return one_pass.apply(variables, x, y, train=True, mutable=mutable, rngs=rngs)[1]

        return jax.vmap(after)(LATENTS, labels)

    old = states.model_state.generator["network"]
    passes = after_each_pass(states.params.generator, old)
    for (path, x), y, z in zip(
        jax.tree_util.tree_flatten_with_path(found)[0],
        *map(jax.tree.leaves, (passes, old)),
        strict=True,
    ):
        name = jax.tree_util.keystr(path)
        expected = np.asarray(y, np.float64).mean(axis=1)
        if "counts" in name or name.endswith("/u']"):
            np.testing.assert_array_equal(x, z, err_msg=name)
        else:
            np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_standing_statistics_keep_dtypes():
    gan = make_gan(generator=Normed())
    state = jax.eval_shape(gan.init, jax.random.key(0), IMAGES)
    narrow = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), state.model_state.generator
    )
    state = state.replace(model_state=state.model_state._replace(generator=narrow))
    with jax.numpy_dtype_promotion("standard"):
        after = jax.eval_shape(gan.standing_statistics, state, LATENTS)
    assert after.model_state.generator == narrow


def test_standing_statistics_of_a_network_without_averages_change_nothing(gan, state):
    assert_trees_equal(gan.standing_statistics(state, LATENTS), state)


def test_standing_statistics_reject_bad_inputs(gan, state):
    with pytest.raises(ValueError, match=r"Latents must be \[passes, batch, 3\]; got \(6, 3\)"):
        gan.standing_statistics(state, LATENTS[0])
    with pytest.raises(ValueError, match=r"Latents must be finite; 1 of 72 values are not"):
        gan.standing_statistics(state, LATENTS.at[0, 0, 0].set(jnp.nan))
    with pytest.raises(TypeError, match=r"The generator must be a network of \(latents, cond"):
        gan.standing_statistics(state, LATENTS, jnp.zeros((PASSES, BATCH), jnp.int32))
    labeled = labeled_gan()
    with pytest.raises(ValueError, match=r"Labels must be in \[0, 3\); got 3 to 3"):
        labeled.standing_statistics(state, LATENTS, jnp.full((PASSES, BATCH), 3))
    with pytest.raises(ValueError, match=r"one for each example, of shape \(4, 6\); got \(6,\)"):
        labeled.standing_statistics(state, LATENTS, jnp.zeros(BATCH, jnp.int32))
    other = make_gan(generator=Normed())
    with pytest.raises(ValueError, match=r"The generator's state must be .* not of another GAN"):
        other.standing_statistics(state, LATENTS)
