"""Tests four games of two players against updates that are written by hand."""

import functools
import subprocess
from pathlib import Path

import games
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import PYTHON, QUICKLY, assert_trees_equal
from games import INITS, RATE, make_data, make_game

import jaxgan
from jaxgan import Pair, checkpoint, training
from jaxgan.types import Objective


def descend(loss, params):
    return jax.tree.map(lambda p, g: p - RATE * g, params, jax.grad(loss)(params))


def bigan_by_hand(params, images, key):
    encoded, generated = games.bigan_pairs(params.generator, images, key)

    def own(discriminator):
        fake, real = (jax.nn.sigmoid(jnp.tanh(x) @ discriminator) for x in (generated, encoded))
        return -jnp.mean(jnp.log(real) + jnp.log(1 - fake))

    discriminator = descend(own, params.discriminator)

    def fools(mappings):
        pairs = games.bigan_pairs(mappings, images, key)
        fake, real = (jax.nn.sigmoid(jnp.tanh(x) @ discriminator) for x in pairs[::-1])
        return jnp.mean(jnp.log(real) + jnp.log(1 - fake))

    return Pair(descend(fools, params.generator), discriminator)


def sde_by_hand(params, paths, key):
    noise = np.asarray(jax.random.normal(key, (4, len(paths))), float) * 0.5

    def simulate(drift, scale):
        x, found = np.ones(len(paths)), [np.ones(len(paths))]
        for increment in noise:
            x = x + 0.25 * drift * x + scale * increment
            found.append(x)
        return np.stack(found, 1)

    drift, scale = (float(params.generator[name]) for name in ("drift", "noise"))
    gradient = np.mean(np.tanh(paths), 0) - np.mean(np.tanh(simulate(drift, scale)), 0)
    discriminator = np.asarray(params.discriminator, float) + RATE * gradient

    def score(drift, scale):
        return -np.mean(np.tanh(simulate(drift, scale)) @ discriminator)

    h = 1e-5  # central differences
    by_drift = (score(drift + h, scale) - score(drift - h, scale)) / (2 * h)
    by_scale = (score(drift, scale + h) - score(drift, scale - h)) / (2 * h)
    generator = {"drift": drift - RATE * by_drift, "noise": scale - RATE * by_scale}
    return Pair(generator, discriminator)


@jax.custom_vjp
def reverse(x):
    """Returns its argument, and reverses the gradient, as in the paper on DANN."""
    return x


reverse.defvjp(lambda x: (x, ()), lambda _, gradient: (-gradient,))


def dann_by_hand(params, batch, key):
    (source, labels), target = batch

    def loss(player, discriminator):
        features = [jnp.tanh(x @ player["features"]) for x in (source, target)]
        domains = jnp.concatenate([reverse(x) @ discriminator for x in features])
        is_source = jnp.arange(len(domains)) < len(source)
        of_domain = optax.sigmoid_binary_cross_entropy(domains, is_source.astype(jnp.float32))
        of_label = optax.sigmoid_binary_cross_entropy(
            features[0] @ player["labels"], labels.astype(jnp.float32)
        )
        return jnp.mean(of_label) + 2 * jnp.mean(of_domain)  # one mean of two halves

    discriminator = descend(functools.partial(loss, params.generator), params.discriminator)
    return Pair(descend(lambda x: loss(x, discriminator), params.generator), discriminator)


BY_HAND = {"bigan": bigan_by_hand, "sde": sde_by_hand, "dann": dann_by_hand}


@pytest.fixture(params=INITS)
def name(request):
    return request.param


def close(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_game_moves_as_by_hand(name):
    game, data = make_game(name), jax.tree.map(jnp.asarray, make_data(name))
    state = game.init(jax.random.key(0), data)
    after, metrics = game.update(state, data)
    key = jax.random.fold_in(state.key, 0)
    close(after.params, BY_HAND[name](state.params, data, key))
    # The discriminator's loss is that of the old players, the generator's that of its new opponent.
    losses, _ = game.losses(state.params, state, data, key)
    close(metrics["discriminator_loss"], losses.discriminator)
    losses, _ = game.losses(
        state.params._replace(discriminator=after.params.discriminator), state, data, key
    )
    close(metrics["generator_loss"], losses.generator)
    assert int(after.step) == 1


def test_bilinear_game_follows_its_closed_form():
    def losses(params, batch, key):
        product = params.generator * params.discriminator
        return Pair(product, -product)

    sgd = optax.sgd(RATE)
    init = lambda key, batch: Pair(jnp.ones(()), jnp.zeros(()))
    game = jaxgan.game(jaxgan.objective(init, losses), Pair(sgd, sgd))
    state = game.init(jax.random.key(0))
    state, _ = jax.jit(lambda s: jax.lax.scan(lambda s, _: game.update(s), s, length=50))(state)
    # y' = y + r x, x' = x - r y': a linear map of (x, y), which keeps the area.
    step = np.array([[1 - RATE**2, -RATE], [RATE, 1]])
    expected = np.linalg.matrix_power(step, 50) @ [1.0, 0.0]
    np.testing.assert_allclose(list(state.params), expected, rtol=1e-4)


def test_two_stages_generate_once_and_give_the_same_update():
    calls = []

    def generate(mappings, inputs):
        calls.append(None)
        return games.bigan_pairs(mappings, inputs.batch, inputs.key), ()

    def loss(sign):
        return lambda params, pairs, aux, inputs: (
            sign * games.bigan_value(params.discriminator, pairs),
            ((), {}),
        )

    init = lambda keys, batch: (games.bigan_init(jax.random.key(5), batch), Pair((), ()))
    two_stages = Objective(init, generate, Pair(loss(-1), loss(1)))
    one_stage = jaxgan.objective(
        lambda key, batch: games.bigan_init(jax.random.key(5), batch), games.bigan_losses
    )
    sgd, images = optax.sgd(RATE), make_data("bigan")
    found = []
    for objective in (two_stages, one_stage):
        game = jaxgan.game(objective, Pair(sgd, sgd))
        found.append(game.update(game.init(jax.random.key(0), images), images)[0].params)
    close(*found)
    assert len(calls) == 1


def test_training_takes_a_pytree_of_data_and_resumes_bit_exactly(tmp_path):
    game, data = make_game("dann"), make_data("dann")
    steps = jax.jit(functools.partial(training.steps, game, num_steps=2, batch_size=8))
    start = game.init(jax.random.key(0), data)
    middle, _ = steps(start, data)
    checkpoint.save(tmp_path, middle).result()
    restored = checkpoint.restore(tmp_path, like=start)
    end, _ = steps(middle, data)
    assert int(end.step) == 4
    assert_trees_equal(steps(restored, data)[0], end)
    # The rows of a batch belong together.
    indices = training.batch_indices(start.key, 0, num_images=24, batch_size=8)
    first = jax.tree.map(lambda x: jnp.asarray(x)[indices], data)
    one = jax.jit(functools.partial(training.steps, game, num_steps=1, batch_size=8))
    close(one(start, data)[0].params, game.update(start, first)[0].params)


def test_mapped_games_equal_single_games():
    game, data = make_game("sde"), make_data("sde")
    keys = jax.random.split(jax.random.key(0), 3)
    train = lambda key: game.update(game.init(key, data), data)[0].params
    mapped = jax.vmap(train)(keys)
    for i in range(3):
        close(jax.tree.map(lambda x, i=i: x[i], mapped), train(keys[i]))


@pytest.mark.slow
def test_games_on_four_devices_equal_those_on_one():
    flags = f"{QUICKLY['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [*PYTHON, str(Path(__file__).with_name("games.py"))],
        capture_output=True,
        text=True,
        env={**QUICKLY, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-5
