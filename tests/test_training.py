"""An epoch is one program, its order a pure function of (seed, epoch), and it can stop anywhere."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import BATCH, SHAPE, assert_trees_equal, tree_differs

from jaxgan import training
from jaxgan.images import normalize


@pytest.fixture
def epoch(gan):
    return jax.jit(functools.partial(training.epoch, gan, batch_size=BATCH))


def order(step, *, seed=0, num_images=23, batch_size=BATCH):
    key = jax.random.key(seed)
    return np.asarray(training.batch_order(key, step, num_images=num_images, batch_size=batch_size))


def test_epoch_is_its_updates_one_by_one(gan, state, uint8_images, epoch):
    scanned, metrics = epoch(state, uint8_images)
    single, update = state, jax.jit(gan.update)
    for i, indices in enumerate(
        training.batch_order(state.key, 0, num_images=23, batch_size=BATCH)
    ):
        single, one = update(single, normalize(uint8_images[np.asarray(indices)]))
        np.testing.assert_allclose(metrics["generator_loss"][i], one["generator_loss"], rtol=1e-5)
    assert metrics["generator_loss"].shape == (4,)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), scanned.params, single.params
    )


def test_an_epoch_shows_each_image_at_most_once():
    seen = order(0)
    assert seen.shape == (4, BATCH)
    assert len(np.unique(seen)) == 20
    assert seen.min() >= 0
    assert seen.max() < 23


def test_what_is_left_out_changes_from_epoch_to_epoch():
    seen = np.concatenate([np.unique(order(4 * epoch)) for epoch in range(8)])
    assert len(np.unique(seen)) == 23


def test_order_depends_on_seed_and_epoch_alone():
    np.testing.assert_array_equal(order(0), order(0))
    assert not np.array_equal(order(0), order(4))
    assert not np.array_equal(order(0), order(0, seed=1))


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_the_batch_of_a_step_does_not_depend_on_where_one_began(step):
    from_zero = np.concatenate([order(0), order(4), order(8)])
    np.testing.assert_array_equal(order(step), from_zero[step : step + 4])


def test_shuffling_uses_no_key_of_a_step(state):
    shuffle_key = jax.random.fold_in(state.key, training._SHUFFLE)
    last_step = jnp.iinfo(state.step.dtype).max
    assert last_step < training._SHUFFLE
    for step in (0, 1, last_step):
        step_key = jax.random.fold_in(state.key, step)
        assert (jax.random.key_data(shuffle_key) != jax.random.key_data(step_key)).any()


def test_a_run_begun_in_the_middle_of_an_epoch_goes_on_as_it_would_have(
    gan, state, uint8_images, epoch
):
    key, first = state.key, normalize(uint8_images[np.asarray(order_of(state)[0])])
    one_step, _ = jax.jit(gan.update)(state, first)
    shifted, _ = epoch(one_step, uint8_images)  # steps 1 to 4
    whole, _ = epoch(state, uint8_images)  # steps 0 to 3
    fifth = training.batch_order(key, 4, num_images=23, batch_size=BATCH)[0]
    expected, _ = jax.jit(gan.update)(whole, normalize(uint8_images[np.asarray(fifth)]))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), shifted.params, expected.params
    )


def order_of(state):
    return training.batch_order(state.key, state.step, num_images=23, batch_size=BATCH)


def test_epochs_compile_once_and_donate(gan, state, uint8_images):
    epoch = jax.jit(functools.partial(training.epoch, gan, batch_size=BATCH), donate_argnums=0)
    images = jnp.asarray(uint8_images)
    before = state
    for _ in range(3):
        state, _ = epoch(state, images)
    assert epoch._cache_size() == 1
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before.params))
    assert not images.is_deleted()
    assert int(state.step) == 12


def test_populations_have_orders_of_their_own(gan, uint8_images, batch):
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    population = jax.vmap(gan.init, in_axes=(0, None))(keys, batch)
    run = functools.partial(training.epoch, gan, batch_size=BATCH)
    trained, metrics = jax.jit(jax.vmap(run, in_axes=(0, None)))(
        population, jnp.asarray(uint8_images)
    )
    assert metrics["generator_loss"].shape == (2, 4)
    for seed in range(2):
        single, _ = jax.jit(run)(gan.init(jax.random.key(seed), batch), uint8_images)
        member = jax.tree.map(lambda x, i=seed: x[i], trained.params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), member, single.params
        )


def test_numpy_images_may_be_closed_over(gan, state, uint8_images, epoch):
    closed = jax.jit(lambda s: training.epoch(gan, s, uint8_images, batch_size=BATCH))
    assert_trees_equal(closed(state)[0].step, epoch(state, uint8_images)[0].step)
    eager, _ = training.epoch(gan, state, uint8_images, batch_size=BATCH)
    assert int(eager.step) == 4


def test_training_moves_both_players(state, uint8_images, epoch):
    after, _ = epoch(state, uint8_images)
    assert tree_differs(state.params.generator, after.params.generator)
    assert tree_differs(state.params.discriminator, after.params.discriminator)
    assert_trees_equal(state.key, after.key)


@pytest.mark.parametrize("batch_size", [0, -1, 24])
def test_batch_sizes_that_do_not_fit(gan, state, uint8_images, batch_size):
    with pytest.raises(ValueError, match=f"from 1 to the number of images, 23; got {batch_size}"):
        training.epoch(gan, state, uint8_images, batch_size=batch_size)


def test_images_that_are_not_uint8_or_not_images(gan, state):
    with pytest.raises(TypeError, match=r"must be uint8.*got float32"):
        training.epoch(gan, state, jnp.zeros((23, *SHAPE)), batch_size=5)
    with pytest.raises(ValueError, match=r"\[num, height, width, channels\]; got \(23, 16\)"):
        training.epoch(gan, state, jnp.zeros((23, 16), jnp.uint8), batch_size=5)
