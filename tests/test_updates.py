"""Compares half steps with whole updates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import BATCH, SHAPE, assert_trees_equal, make_gan, tree_differs

import jaxgan
from jaxgan import Pair, dynamics, penalties, updates

SGD = Pair(optax.sgd(0.1), optax.sgd(0.1))


def assert_close(a, b):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-6),
        a.replace(key=0),
        b.replace(key=0),
    )


def test_both_half_steps_equal_an_update(batch):
    gan = make_gan(optimizer=SGD, penalty=penalties.lecam(), ema_half_life=10.0)
    state = gan.init(jax.random.key(0), batch)
    expected, metrics = jax.jit(gan.update)(state, batch)
    half, first = updates.discriminator_step(gan, state, batch)
    assert int(half.step) == 0
    assert_trees_equal(half.params.generator, state.params.generator)
    assert_trees_equal(half.ema_params, state.ema_params)
    whole, second = updates.generator_step(gan, half, batch)
    assert_close(whole, expected)
    assert set(first) | set(second) == set(metrics)
    np.testing.assert_allclose(second["generator_loss"], metrics["generator_loss"], rtol=1e-5)


def test_several_discriminator_steps_equal_an_update_of_shares(batch):
    images = jnp.concatenate([batch, -batch])
    gan = make_gan(optimizer=SGD, dynamics=dynamics.alternating(2))
    state = gan.init(jax.random.key(0), images)
    expected, _ = jax.jit(gan.update)(state, images)
    key = jax.random.fold_in(state.key, 0)
    first, _ = updates.discriminator_step(gan, state, batch, jax.random.fold_in(key, 4))
    second, _ = updates.discriminator_step(gan, first, -batch, key)
    assert tree_differs(first.params.discriminator, second.params.discriminator)
    assert_close(updates.generator_step(gan, second, -batch, key)[0], expected)


def test_key_and_dynamics_of_an_update_can_be_replaced(gan, state, batch):
    key = jax.random.fold_in(state.key, state.step)
    same, _ = gan.update(state, batch, dynamics=dynamics.alternating(), key=key)
    assert_trees_equal(same, gan.update(state, batch)[0])
    other, _ = gan.update(state, batch, key=jax.random.key(5))
    assert tree_differs(other.params.generator, same.params.generator)
    assert_trees_equal(other.key, same.key)


@pytest.mark.parametrize("step", [updates.discriminator_step, updates.generator_step])
def test_bad_inputs_are_rejected(gan, state, batch, step):
    with pytest.raises(TypeError, match=r"gan must be a jaxgan\.GAN or a jaxgan\.Game; got"):
        step(gan.update, state, batch)
    with pytest.raises(TypeError, match="one typed PRNG key"):
        step(gan, state, batch, 3)
    with pytest.raises(TypeError, match=r"floats in \[-1, 1\]; got uint8"):
        step(gan, state, np.zeros((BATCH, *SHAPE), np.uint8))
    with pytest.raises(TypeError, match=r"dynamics must be a jaxgan\.dynamics\.Dynamics; got"):
        gan.update(state, batch, dynamics=jaxgan.dynamics.alternating)


def players_that_move(optimizer, num):
    """Returns whether each player moves, in `num` updates with two discriminator steps."""

    def losses(params, batch, key):
        product = params.generator * params.discriminator
        return Pair(product, -product)

    objective = jaxgan.objective(lambda key, batch: Pair(jnp.ones(()), jnp.ones(())), losses)
    game = jaxgan.game(objective, Pair(optimizer, optimizer), dynamics.alternating(2))
    update, state, found = jax.jit(game.update), game.init(jax.random.key(0)), []
    for _ in range(num):
        after, _ = update(state, jnp.zeros(2))
        found.append([tree_differs(*both) for both in zip(after.params, state.params, strict=True)])
        state = after
    return found


def test_schedules_count_the_steps_of_their_player():
    """With two discriminator steps, the discriminator's schedule counts twice as fast."""
    schedule = optax.piecewise_constant_schedule(0.1, {4: 0.0})
    expected = [[True, True], [True, True], [True, False], [True, False], [False, False]]
    assert players_that_move(optax.sgd(schedule), 5) == expected


def test_multi_steps_counts_the_steps_of_its_player():
    """A discriminator that accumulates two gradients moves once in each update of two steps."""
    several = optax.MultiSteps(optax.sgd(0.1), 2).gradient_transformation()
    expected = [[False, True], [True, True], [False, True], [True, True]]
    assert players_that_move(several, 4) == expected
