"""examples/sde_gan.py: two steps write a picture, and four equal those of diffrax's example."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from scripts import run_here

from jaxgan import Pair

EXAMPLES = Path(__file__).parents[2] / "examples"
eqx = pytest.importorskip("equinox")
pytest.importorskip("diffrax")


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import sde_gan

    yield sde_gan
    del sys.modules["sde_gan"]


@pytest.mark.slow
def test_two_steps_write_a_picture(tmp_path):
    options = ("--steps", "2", "--batch-size", "2", "--num-paths", "8")
    done = run_here(EXAMPLES / "sde_gan.py", *options, "--workdir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "run" / "paths.png") as picture:
        assert np.ptp(np.asarray(picture)) > 0


def enlarge(updates):
    return eqx.tree_at(
        lambda x: x.initial, updates, jax.tree.map(lambda x: 10 * x, updates.initial)
    )


def clip(module):
    is_linear = lambda x: isinstance(x, eqx.nn.Linear)

    def clip_one(x):
        if not is_linear(x):
            return x
        most = 1 / x.out_features
        return eqx.tree_at(lambda x: x.weight, x, jnp.clip(x.weight, -most, most))

    return jax.tree.map(clip_one, module, is_leaf=is_linear)


@pytest.mark.slow  # compiles two programs of differential equations
def test_four_steps_equal_a_loop_with_one_loss_and_a_negative_learning_rate(example):
    """The loop has the form of diffrax's: one score, which one player ascends, by equinox alone."""
    rates = 2e-5, -1e-4
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        batch = example.make_paths(jax.random.key(1), 4)
        game = example.make_game(2e-5, 1e-4)
        state = game.init(jax.random.key(0), batch)
        optimizers = [optax.rmsprop(rate) for rate in rates]
        _, static = eqx.partition(example.make_networks(jax.random.key(0)), eqx.is_inexact_array)
        players = eqx.combine(state.params, static)
        memories = [o.init(p) for o, p in zip(optimizers, state.params, strict=True)]

        @eqx.filter_value_and_grad
        def score(players, key):
            generator, discriminator = players
            times, real = batch
            fake = jax.vmap(lambda t, k: generator(t, key=k))(times, jax.random.split(key, 4))
            return jnp.mean(
                jax.vmap(discriminator)(times, real) - jax.vmap(discriminator)(times, fake)
            )

        @eqx.filter_jit
        def step(players, memories, key):
            value, grads = score(players, key)
            moved, kept = [], []
            for player, optimizer, memory, grad in zip(
                players, optimizers, memories, grads, strict=True
            ):
                change, memory = optimizer.update(grad, memory)
                moved.append(eqx.apply_updates(player, enlarge(change)))
                kept.append(memory)
            return Pair(moved[0], clip(moved[1])), kept, value

        update = jax.jit(game.update)
        for i in range(4):
            players, memories, expected = step(players, memories, jax.random.fold_in(state.key, i))
            state, metrics = update(state, batch)
            np.testing.assert_allclose(metrics["generator_loss"], expected, rtol=1e-4)
            np.testing.assert_allclose(metrics["discriminator_loss"], -expected, rtol=1e-4)
        found = jax.tree.leaves(state.params)
        for a, b in zip(
            found, jax.tree.leaves(eqx.filter(players, eqx.is_inexact_array)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
