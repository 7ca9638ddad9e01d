"""Compares leading eigenvalues with those of dense Jacobians, in float64."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgan
from jaxgan import Pair, diagnostics, dynamics, networks


@pytest.fixture(autouse=True)
def _in_float64():
    with jax.enable_x64(True):
        yield


def small_gan(moves):
    """A GAN with about 500 parameters."""

    def dense(sizes, end):
        def init(key, x):
            keys = jax.random.split(key, len(sizes))
            shapes = zip((x.shape[-1], *sizes), sizes, strict=False)
            return [
                jax.random.normal(k, s, x.dtype) / 3 for k, s in zip(keys, shapes, strict=True)
            ], {}

        def apply(params, model_state, x, *, train, key=None):
            for w in params[:-1]:
                x = jnp.tanh(x @ w)
            return end(x @ params[-1]), model_state

        return jaxgan.Network(init, apply)

    return jaxgan.gan(
        dense((14, 14, 2), lambda x: x),
        dense((14, 14, 1), lambda x: x[:, 0]),
        jaxgan.losses.non_saturating(1.0),
        Pair(optax.sgd(0.1, momentum=0.5), optax.sgd(0.1)),
        latents=4,
        dynamics=moves,
    )


POINTS = np.random.default_rng(0).normal(size=(16, 2))  # float64


def leading(matrix, k, order=np.abs):
    found = np.linalg.eigvals(matrix)
    return found[np.argsort(-order(found), kind="stable")][:k]


def assert_same(found, expected):
    """Compares up to the order of conjugates."""
    key = lambda z: np.round([abs(z), z.real, z.imag], 7).tolist()
    found, expected = sorted(found, key=key), sorted(expected, key=key)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(("which", "order"), [("LM", np.abs), ("LR", np.real)])
def test_spectrum_of_the_field_equals_the_dense_one(which, order):
    gan = small_gan(dynamics.simultaneous())
    state = gan.init(jax.random.key(0), POINTS)
    flat, unravel = jax.flatten_util.ravel_pytree(state.params)
    key = jax.random.fold_in(state.key, state.step)

    def field(x):
        params = unravel(x)
        grads = []
        for player in Pair._fields:
            own = lambda p, player=player: getattr(
                gan.losses(params._replace(**{player: p}), state, jnp.asarray(POINTS), key)[0],
                player,
            )
            grads.append(jax.grad(own)(getattr(params, player)))
        return jax.flatten_util.ravel_pytree(grads)[0]

    dense = np.asarray(jax.jit(jax.jacfwd(field))(flat))
    assert 400 < len(dense) < 600
    found = diagnostics.spectrum(gan, state, POINTS, k=6, which=which)
    assert_same(found, leading(dense, 6, order))


def test_spectrum_of_an_update_equals_that_of_its_field():
    """With SGD, the update's eigenvalues are 1 - rate * those of the field."""
    gan = small_gan(dynamics.simultaneous())
    gan = jaxgan.game(gan.rules.objective, Pair(optax.sgd(0.1), optax.sgd(0.1)), gan.dynamics)
    state = gan.init(jax.random.key(0), POINTS)
    found = diagnostics.spectrum(gan, state, POINTS, k=600, of="update")
    expected = 1 - 0.1 * diagnostics.spectrum(gan, state, POINTS, k=600)
    np.testing.assert_allclose(sorted(abs(found)), sorted(abs(expected)), atol=1e-6)


def test_spectrum_of_an_update_includes_momentum():
    """Momentum doubles the dimensions: a bilinear game with two numbers has four."""
    losses = lambda params, batch, key: Pair(
        params.generator * params.discriminator, -params.generator * params.discriminator
    )
    init = lambda key, batch: Pair(jnp.array(1.0), jnp.array(0.5))
    sgd = optax.sgd(0.1, momentum=0.3)
    moves = dynamics.simultaneous()
    game = jaxgan.game(jaxgan.objective(init, losses), Pair(sgd, sgd), moves)
    found = diagnostics.spectrum(game, game.init(jax.random.key(0)), of="update")
    # z^2 - (1 + m - i h s) z + m with s = 1 and -1
    roots = [np.roots([1, -(1.3 - 0.1j * s), 0.3]) for s in (1, -1)]
    assert_same(found, np.concatenate(roots))


def test_invalid_arguments_are_rejected():
    gan = small_gan(dynamics.alternating())
    state = gan.init(jax.random.key(0), POINTS)
    for changes, error, message in (
        ({"k": 0}, ValueError, "k must be at least 1"),
        ({"of": "loss"}, ValueError, r"of must be one of \['field', 'update'\]; got 'loss'"),
        ({"which": "SM"}, ValueError, "which must be one of"),
        ({"tolerance": -1.0}, ValueError, "tolerance must be"),
    ):
        with pytest.raises(error, match=message):
            diagnostics.spectrum(gan, state, POINTS, **changes)
    with pytest.raises(TypeError, match=r"gan must be a jaxgan\.GAN or a jaxgan\.Game"):
        diagnostics.spectrum(networks, state, POINTS)
