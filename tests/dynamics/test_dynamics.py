"""Tests dynamics in GANs: composition, resume, members, skipped steps and bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import AS_USERS, assert_trees_equal, make_gan, tree_differs

import jaxgan
from jaxgan import Pair, augment, checkpoint, dynamics, penalties, training

SGD = Pair(optax.sgd(0.1), optax.sgd(0.1))
ALL = {
    "alternating": dynamics.alternating(),
    "simultaneous": dynamics.simultaneous(),
    "extragradient": dynamics.extragradient(),
    "past_extragradient": dynamics.past_extragradient(),
    "optimistic": dynamics.optimistic(),
    "lookahead": dynamics.lookahead(2, inner=dynamics.alternating(2)),
    "consensus": dynamics.consensus(0.1),
    "symplectic_adjustment": dynamics.symplectic_adjustment(),
    "competitive": dynamics.competitive_gradient_descent(0.1, max_steps=3),
    "lead": dynamics.lead(0.1),
    "unrolled": dynamics.unrolled(2),
}


def some(names, chosen):
    """Runs the other dynamics in the nightly tests."""
    slow = pytest.mark.slow
    return [name if name in chosen else pytest.param(name, marks=slow) for name in names]


def test_simultaneous_steps_use_the_gradients_of_the_start(batch):
    gan = make_gan(optimizer=SGD, dynamics=dynamics.simultaneous(), penalty=penalties.r1(1.0))
    state = gan.init(jax.random.key(0), batch)
    after, metrics = jax.jit(gan.update)(state, batch)
    key = jax.random.fold_in(state.key, 0)
    for player in Pair._fields:
        own = lambda p, player=player: getattr(
            gan.losses(state.params._replace(**{player: p}), state, batch, key)[0], player
        )
        start = getattr(state.params, player)
        value, grads = jax.value_and_grad(own)(start)
        expected = jax.tree.map(lambda p, g: p - 0.1 * g, start, grads)
        close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6)
        jax.tree.map(close, getattr(after.params, player), expected)
        np.testing.assert_allclose(metrics[f"{player}_loss"], value, rtol=1e-5)


@pytest.mark.parametrize("name", some(ALL, {"lookahead"}))
def test_runs_in_two_parts_are_bit_identical(name, uint8_images, tmp_path):
    """With a stateful penalty, an adaptive augmentation, an average and parts of a batch."""
    gan = make_gan(
        dynamics=ALL[name],
        penalty=penalties.lecam(),
        augmentation=augment.adaptive(augment.translation(0.25), images_to_full=100),
        ema_half_life=20.0,
    )
    state = gan.init(jax.random.key(0), jaxgan.images.normalize(uint8_images[:1]))
    run = functools.partial(training.steps, gan, batch_size=6)
    three = jax.jit(functools.partial(run, num_steps=3), compiler_options=AS_USERS)
    first, metrics = three(state, uint8_images)
    skipped = metrics["generator_skipped"] + metrics["discriminator_skipped"]
    assert int(skipped.sum()) == 0
    assert all(tree_differs(a, b) for a, b in zip(first.params, state.params, strict=True))
    whole, _ = three(first, uint8_images)
    checkpoint.save(tmp_path, first).result()
    restored = checkpoint.restore(tmp_path, like=jax.eval_shape(lambda: state))
    assert_trees_equal(three(restored, uint8_images)[0], whole)


@pytest.mark.parametrize(
    "name", some(["extragradient", "optimistic", "lookahead", "lead"], {"optimistic"})
)
def test_members_equal_single_runs(name, batch):
    gan = make_gan(optimizer=SGD, dynamics=ALL[name])
    images = jnp.concatenate([batch, -batch])[:6]
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    states = jax.vmap(gan.init, in_axes=(0, None))(keys, images)
    update, all_members = jax.jit(gan.update), jax.jit(jax.vmap(gan.update, in_axes=(0, None)))
    single = gan.init(jax.random.key(1), images)
    for _ in range(3):
        states, _ = all_members(states, images)
        single, _ = update(single, images)
    close = lambda a, b: np.testing.assert_allclose(a[1], b, atol=1e-5)
    jax.tree.map(close, states.params, single.params)
    jax.tree.map(close, states.dynamics_state, single.dynamics_state)


COUPLED = [name for name in ALL if name not in ("alternating", "lookahead", "unrolled")]


@pytest.mark.parametrize("name", some(COUPLED, {"past_extragradient", "consensus"}))
def test_coupled_players_skip_together(name, batch):
    gan = make_gan(dynamics=ALL[name])
    state, update = gan.init(jax.random.key(0), batch), jax.jit(gan.update)
    state, _ = update(state, batch)
    after, metrics = update(state, batch.at[2].set(jnp.nan))
    assert int(metrics["generator_skipped"]) == int(metrics["discriminator_skipped"]) == 1
    assert_trees_equal(after.replace(step=state.step), state)
    again, metrics = update(after, batch)
    assert int(metrics["generator_skipped"]) == 0
    assert tree_differs(again.params, state.params)


@pytest.mark.slow
def test_states_with_memory_can_be_donated(batch):
    for name in ("past_extragradient", "optimistic", "lookahead", "lead"):
        gan = make_gan(dynamics=ALL[name])
        images = jnp.concatenate([batch, -batch])[:6]
        state = gan.init(jax.random.key(0), images)
        update = jax.jit(gan.update, donate_argnums=0)
        for _ in range(2):
            state, _ = update(state, images)
        assert int(state.step) == 2


class TestBadInput:
    @pytest.mark.parametrize("name", ["extragradient", "past_extragradient"])
    def test_multi_steps_are_refused(self, batch, name):
        several = optax.MultiSteps(optax.adam(1e-3), 2).gradient_transformation()
        gan = make_gan(optimizer=Pair(optax.adam(1e-3), several), dynamics=ALL[name])
        message = "The discriminator's optimizer must be without optax.MultiSteps in an extrag"
        with pytest.raises(ValueError, match=message):
            gan.init(jax.random.key(0), batch)

    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda: dynamics.alternating(0), ValueError, "discriminator_steps must be at least 1"),
            (lambda: dynamics.lookahead(0), ValueError, "steps must be at least 1; got 0"),
            (lambda: dynamics.lookahead(5, 1.5), ValueError, "alpha must be"),
            (lambda: dynamics.lookahead(inner=3), TypeError, "inner must be a jaxgan.dynamics"),
            (lambda: dynamics.consensus(-1.0), ValueError, "gamma must be"),
            (lambda: dynamics.symplectic_adjustment(align=1), TypeError, "align must be True or"),
            (
                lambda: dynamics.competitive_gradient_descent(0.0),
                ValueError,
                "step_size must be positive",
            ),
            (lambda: dynamics.lead(float("nan")), ValueError, "coupling must be"),
            (lambda: dynamics.unrolled(2.5), TypeError, "steps must be an integer; got 2.5"),
            (lambda: dynamics.optimistic(beta="1"), TypeError, "beta must be"),
        ],
    )
    def test_invalid_numbers_are_rejected(self, make, error, message):
        with pytest.raises(error, match=message):
            make()

    def test_state_without_the_memory_is_rejected(self, batch):
        gan, other = make_gan(), make_gan(dynamics=dynamics.lookahead())
        with pytest.raises(ValueError, match=r"state\.dynamics_state must be .*"):
            other.update(gan.init(jax.random.key(0), batch), batch)
