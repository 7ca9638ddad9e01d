"""Tests that epochs run as one program, with batches that depend only on (seed, step)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import AS_USERS, BATCH, SHAPE, assert_trees_equal, make_gan, tree_differs

import jaxgan
from jaxgan import training
from jaxgan.images import normalize
from jaxgan.training import _shuffle
from jaxgan.training._metrics import StackedMetrics

UPDATES = 4  # batches of five from 23 images


@pytest.fixture
def epoch(gan):
    return jax.jit(functools.partial(training.epochs, gan, batch_size=BATCH))


def indices(step, *, seed=0, num_images=23, batch_size=BATCH):
    key = jax.random.key(seed)
    found = training.batch_indices(key, step, num_images=num_images, batch_size=batch_size)
    return np.asarray(found)


def order(epoch, *, seed=0):
    steps = range(UPDATES * epoch, UPDATES * (epoch + 1))
    return np.stack([indices(step, seed=seed) for step in steps])


def assert_trees_close(a, b, atol):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=atol), a, b)


class TestBatches:
    def test_epoch_uses_each_image_at_most_once(self):
        seen = order(0)
        assert seen.shape == (UPDATES, BATCH)
        assert len(np.unique(seen)) == 20
        assert seen.min() >= 0
        assert seen.max() < 23

    @pytest.mark.parametrize("implementation", ["threefry2x32", "rbg", "unsafe_rbg"])
    def test_indices_under_vmap_are_equal(self, implementation):
        """`training.steps` computes the indices of all steps under vmap."""
        keys = [jax.random.key(seed, impl=implementation) for seed in range(2)]
        options = {"num_images": 23, "batch_size": BATCH}
        orders = []
        for key in keys:
            find = functools.partial(training.batch_indices, key, **options)
            at_once = jax.vmap(find)(jnp.arange(2 * UPDATES))
            np.testing.assert_array_equal(at_once, [find(step) for step in range(2 * UPDATES)])
            assert len(np.unique(at_once[:UPDATES])) == 20
            orders.append(at_once)
        assert not np.array_equal(*orders)

    def test_omitted_images_change_between_epochs(self):
        seen = np.concatenate([np.unique(order(epoch)) for epoch in range(8)])
        assert len(np.unique(seen)) == 23

    def test_order_depends_only_on_seed_and_epoch(self):
        np.testing.assert_array_equal(order(0), order(0))
        assert not np.array_equal(order(0), order(1))
        assert not np.array_equal(order(0), order(0, seed=1))

    def test_shuffle_key_differs_from_step_keys(self, state):
        shuffle_key = jax.random.fold_in(state.key, _shuffle._SHUFFLE)
        last_step = jnp.iinfo(state.step.dtype).max
        assert last_step < _shuffle._SHUFFLE
        for step in (0, 1, last_step):
            step_key = jax.random.fold_in(state.key, step)
            assert (jax.random.key_data(shuffle_key) != jax.random.key_data(step_key)).any()

    @pytest.mark.parametrize("batch_size", [0, -1, 24])
    def test_out_of_range_sizes_are_rejected(self, gan, state, uint8_images, batch_size):
        with pytest.raises(
            ValueError, match=f"from 1 to the number of images, 23; got {batch_size}"
        ):
            training.epochs(gan, state, uint8_images, batch_size=batch_size)


def test_steps_equal_single_updates(batch, uint8_images):
    """Scanned steps match single updates under SGD. Adam would amplify rounding."""
    gan = make_gan(optimizer=jaxgan.Pair(optax.sgd(0.1), optax.sgd(0.1)))
    state = gan.init(jax.random.key(0), batch)
    run = functools.partial(training.steps, gan, num_steps=6, batch_size=BATCH)
    scanned, metrics = jax.jit(run)(state, uint8_images)
    single, update = state, jax.jit(gan.update)
    for i in range(6):
        single, one = update(single, normalize(uint8_images[indices_of(state.key, i)]))
        np.testing.assert_allclose(metrics["generator_loss"][i], one["generator_loss"], rtol=1e-5)
    assert metrics["generator_loss"].shape == (6,)
    assert_trees_close(scanned.params, single.params, atol=1e-5)


def indices_of(key, step):
    return np.asarray(training.batch_indices(key, step, num_images=23, batch_size=BATCH))


def test_epochs_equal_their_steps(gan, state, uint8_images):
    epochs = functools.partial(training.epochs, gan, num_epochs=2, batch_size=BATCH)
    steps = functools.partial(training.steps, gan, num_steps=2 * UPDATES, batch_size=BATCH)
    by_epoch, epoch_metrics = jax.jit(epochs, compiler_options=AS_USERS)(state, uint8_images)
    by_step, step_metrics = jax.jit(steps, compiler_options=AS_USERS)(state, uint8_images)
    assert_trees_equal(by_epoch, by_step)
    assert epoch_metrics["generator_loss"].shape == (2, UPDATES)
    flat = jax.tree.map(jnp.ravel, epoch_metrics)
    assert_trees_equal(flat, step_metrics)


def test_run_in_two_parts_is_bit_identical(gan, state, uint8_images):
    @functools.partial(jax.jit, static_argnames="num_steps", compiler_options=AS_USERS)
    def run(state, num_steps):
        steps = functools.partial(training.steps, gan, num_steps=num_steps, batch_size=BATCH)
        return steps(state, uint8_images)[0]

    whole = run(state, num_steps=6)  # one epoch of four steps and two steps of the next
    assert_trees_equal(run(run(state, num_steps=3), num_steps=3), whole)
    assert int(whole.step) == 6


def test_epochs_compile_once_and_donate_the_state(gan, state, uint8_images):
    traces = []

    def run(state, images):
        traces.append(1)
        return training.epochs(gan, state, images, batch_size=BATCH)

    epoch = jax.jit(run, donate_argnums=0)
    images = jnp.asarray(uint8_images)
    before = state
    for _ in range(3):
        state, _ = epoch(state, images)
    assert len(traces) == 1
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before.params))
    assert not images.is_deleted()
    assert int(state.step) == 12


def test_gpu_program_has_no_branch_for_skipped_steps(gan, state, uint8_images):
    """A branch on a GPU waits for the host. The test only lowers, so it needs no GPU."""
    epochs = functools.partial(training.epochs, gan, batch_size=BATCH)
    traced = jax.jit(epochs).trace(state, uint8_images)
    texts = [traced.lower(lowering_platforms=(on,)).as_text() for on in ("cpu", "cuda")]
    branches = [text.count("stablehlo.case") for text in texts]
    assert branches[0] - branches[1] == 2
    # A GPU adds all gradients of a network in one sum, and a CPU adds one sum for each array.
    sums = [text.count("stablehlo.reduce") for text in texts]
    assert sums[0] - sums[1] == sum(len(jax.tree.leaves(x)) - 1 for x in state.params)


def test_index_computation_has_no_loop():
    """A loop whose length depends on data would wait for the host in each turn, on a GPU."""
    find = functools.partial(training.batch_indices, num_images=23, batch_size=BATCH)
    jaxpr = str(jax.make_jaxpr(find)(jax.random.key(0), 3))
    assert "random_bits" in jaxpr
    assert "while" not in jaxpr


def test_metrics_are_stacked_by_shape_and_dtype():
    metrics = {"a": jnp.float32(1), "b": jnp.int32(2), "c": jnp.ones(3), "d": jnp.float32(4)}
    stacked = StackedMetrics.stack(metrics)
    assert sorted(x.shape for x in stacked.arrays) == [(1,), (2,), (3, 1)]
    assert_trees_equal(stacked.unstack(), metrics)


def test_compiler_options_exist_in_this_version_of_xla():
    """XLA refuses unknown options and values, even those for another platform."""
    options = training.compiler_options("cuda", convolutions=True)
    assert len(options) == 2
    assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2
    assert training.compiler_options("cpu") == training.compiler_options("tpu") == {}


def test_compiler_options_follow_the_default_device(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert training.compiler_options()
    with jax.default_device("cpu"):
        assert training.compiler_options() == {}


def test_numpy_images_can_be_closed_over(gan, state, uint8_images, epoch):
    closed = jax.jit(lambda s: training.epochs(gan, s, uint8_images, batch_size=BATCH))
    assert_trees_equal(closed(state)[0].step, epoch(state, uint8_images)[0].step)
    eager, _ = training.epochs(gan, state, uint8_images, batch_size=BATCH)
    assert int(eager.step) == UPDATES


def test_training_changes_both_networks(state, uint8_images, epoch):
    after, _ = epoch(state, uint8_images)
    assert tree_differs(state.params.generator, after.params.generator)
    assert tree_differs(state.params.discriminator, after.params.discriminator)
    assert_trees_equal(state.key, after.key)


def test_images_of_other_dtypes_are_rejected(gan, state):
    steps = functools.partial(training.steps, gan, state, num_steps=1, batch_size=5)
    with pytest.raises(ValueError, match=r"Training images must be in \[-1, 1\]; got 0 to 255"):
        steps(np.linspace(0, 255, 23 * 16, dtype=np.float32).reshape(23, *SHAPE))
    with pytest.raises(TypeError, match="Training images must be uint8 or float; got int32"):
        steps(jnp.ones((23, *SHAPE), jnp.int32))
    with pytest.raises(ValueError, match=r"Training images must be in \[-1, 1\]; got 2 to 2"):
        steps([[[[np.float64(2.0)]]]] * 5)
    for data in ((1, 2, 3), {"images": jnp.zeros((23, *SHAPE))}, "images"):
        with pytest.raises(TypeError, match=r"Training (data|images) must be"):
            steps(data)


def test_float_images_equal_normalized_ones(gan, state, uint8_images, epoch):
    by_hand, metrics = epoch(state, normalize(uint8_images))
    expected, others = epoch(state, uint8_images)
    assert_trees_close(by_hand.params, expected.params, atol=1e-6)
    assert_trees_close(metrics, others, atol=1e-6)


def test_preprocess_receives_the_rows_of_a_step(gan, state, uint8_images):
    """The data can have any structure, such as the columns of a table."""
    seen, (left, right) = [], jnp.split(jnp.asarray(uint8_images), 2, axis=2)

    def preprocess(rows):
        images = jnp.concatenate([rows["left"], rows["right"]], axis=2)
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), images)
        return normalize(images)

    run = functools.partial(training.steps, gan, num_steps=1, batch_size=BATCH)
    data = {"left": left, "right": right}
    jax.block_until_ready(jax.jit(functools.partial(run, preprocess=preprocess))(state, data))
    jax.effects_barrier()
    np.testing.assert_array_equal(seen[0], uint8_images[indices_of(state.key, 0)])
    with pytest.raises(TypeError, match=r"The batch must be images, or a tuple"):
        run(state, data, preprocess=lambda rows: rows)


@pytest.mark.parametrize(
    "shape", [(2,), (7, 3), (3, 3, 2, 1)], ids=["points", "signals", "volumes"]
)
def test_data_of_any_rank_trains(shape):
    data = np.random.default_rng(0).uniform(-1, 1, (23, *shape)).astype(np.float32)
    gan = make_gan(generator=jaxgan.networks.MLPGenerator(shape, features=(8,)))
    state = gan.init(jax.random.key(0), data[:1])
    run = jax.jit(functools.partial(training.epochs, gan, batch_size=BATCH))
    after, metrics = run(state, data)
    assert int(after.step) == UPDATES
    assert int(metrics["generator_skipped"].sum()) == 0


def test_zero_steps_and_epochs_are_rejected(gan, state, uint8_images):
    with pytest.raises(ValueError, match="num_steps must be at least 1; got 0"):
        training.steps(gan, state, uint8_images, num_steps=0, batch_size=5)
    with pytest.raises(ValueError, match="num_epochs must be at least 1; got 0"):
        training.epochs(gan, state, uint8_images, num_epochs=0, batch_size=5)


@pytest.mark.parametrize("step", [jnp.float32(2), np.float32(1.5)])
def test_non_integer_step_is_rejected(gan, state, uint8_images, step):
    with pytest.raises(TypeError, match="step must be an integer"):
        training.steps(gan, state.replace(step=step), uint8_images, num_steps=1, batch_size=5)


def test_masks_are_rejected_and_counted(gan, state):
    masks = np.arange(8 * SHAPE[0] * SHAPE[1], dtype=np.uint8).reshape(8, *SHAPE) % 2
    run = functools.partial(training.steps, gan, num_steps=2, batch_size=8)
    with pytest.raises(ValueError, match=r"in \[0, 255\], not masks; got 0 to 1\. Multiply"):
        run(state, masks)
    for scale, count in ((1, 8), (255, 0)):
        metrics = jax.jit(run)(state, masks * np.uint8(scale))[1]
        assert metrics["invalid_images"].tolist() == [count, count]


def test_data_range_that_excludes_normalized_images_is_rejected(gan, state, uint8_images):
    unit = gan._replace(data_range=(0.0, 1.0))
    expected = r"gan.data_range must be None or include \[-1, 1\], .*; got \(0, 1\)"
    with pytest.raises(ValueError, match=expected):
        training.steps(unit, state, uint8_images, num_steps=1, batch_size=5)


def test_masks_are_accepted_without_a_data_range(state):
    masks = np.arange(8 * SHAPE[0] * SHAPE[1], dtype=np.uint8).reshape(8, *SHAPE) % 2
    run = functools.partial(training.steps, make_gan(data_range=None), num_steps=1, batch_size=8)
    assert "invalid_images" not in jax.eval_shape(run, state, masks)[1]
    run(state, masks)
