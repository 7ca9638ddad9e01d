"""Tests games of two players, with dynamics that keep a memory."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import SHAPE, make_gan

import jaxgan
from jaxgan import Pair
from jaxgan.dynamics import Dynamics, alternating

SGD = Pair(optax.sgd(0.5), optax.sgd(0.5))


def bilinear(params, batch, key):
    product = params.generator * params.discriminator
    return Pair(product, -product)


def make_game(losses=bilinear, **options):
    start = lambda key, batch: Pair(jnp.asarray(4.0), jnp.asarray(2.0))
    return jaxgan.game(jaxgan.objective(start, losses), SGD, **options)


def remember(rules, state, shares, key):
    memory = jax.tree.map(jnp.add, state.dynamics_state, state.params)
    state, metrics = alternating().update(rules, state, shares, key)
    return state.replace(dynamics_state=memory), metrics


REMEMBERING = Dynamics(init=lambda params: params, update=remember)
"""Sums the parameters of all steps. The memory starts as the parameters themselves."""


def test_memory_of_a_dynamics_is_kept_and_can_be_donated():
    game = make_game(dynamics=REMEMBERING)
    state, update = game.init(jax.random.key(0)), jax.jit(game.update, donate_argnums=0)
    for _ in range(2):
        state, _ = update(state)
    assert tuple(state.params) == (-0.5, 5.0)  # after (4, 2) and (2, 4)
    assert tuple(state.dynamics_state) == (4.0 + 4.0 + 2.0, 2.0 + 2.0 + 4.0)


class TestBadInput:
    @pytest.mark.parametrize("make", [make_game, make_gan], ids=["game", "gan"])
    def test_states_without_the_memory_of_a_dynamics_are_rejected(self, make):
        batch = np.zeros((4, *SHAPE), "f")
        state = jax.eval_shape(make().init, jax.random.key(0), batch)
        message = (
            r"^state\.dynamics_state must be .* Use init of a GAN or game with this dynamics\."
        )
        for gan, options in ((make(dynamics=REMEMBERING), {}), (make(), {"dynamics": REMEMBERING})):
            with pytest.raises(ValueError, match=message):
                jax.eval_shape(lambda s, g=gan, o=options: g.update(s, batch, **o), state)

    def test_result_of_a_dynamics_is_checked(self):
        game = make_game(dynamics=alternating()._replace(update=lambda *_: None))
        message = r"^The result of dynamics.update must be \(state, metrics\), .*; got None\.$"
        with pytest.raises(TypeError, match=message):
            game.update(game.init(jax.random.key(0)))

    @pytest.mark.parametrize("batch", [3.0, "a", jnp.ones(()), {"x": [1.0, 2.0]}])
    def test_batches_without_rows_are_rejected(self, batch):
        game = make_game()
        state = game.init(jax.random.key(0))
        message = r"^An array of a batch must be of numbers \[batch\] or \[batch, \.\.\.\]; got"
        for call in (game.update, lambda s, x: game.losses(s.params, s, x, s.key)):
            with pytest.raises((TypeError, ValueError), match=message):
                call(state, batch)

    def test_losses_check_their_results(self):
        game = make_game(lambda params, batch, key: Pair(params.generator, jnp.ones(3)))
        state = game.init(jax.random.key(0))
        message = re.escape("The discriminator's loss must be a float scalar; got float32 of shape")
        with pytest.raises(TypeError, match=message):
            game.losses(state.params, state, (), state.key)

    @pytest.mark.parametrize("kind", ["uint8", "tuple", "state"])
    def test_losses_of_a_gan_check_batch_and_state(self, kind, gan, state, batch):
        given = {"uint8": np.zeros((4, *SHAPE), np.uint8), "tuple": (batch, batch, batch)}
        given = given.get(kind, batch)
        if kind == "state":
            state = state.replace(model_state=Pair({}, {}))
        messages = {"uint8": "Images must be floats", "tuple": "The batch must be images, or"}
        message = messages.get(kind, r"^state\.model_state\.generator must be a dict with")
        with pytest.raises((TypeError, ValueError), match=message):
            gan.losses(state.params, state, given, state.key)
