"""Compares the update of both networks with a simple reference, and checks its invariants."""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.example_libraries.optimizers
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import BATCH, LATENT_DIM, SHAPE, assert_trees_equal, make_gan, tree_differs

import jaxgan
from jaxgan import Network, Pair, _players, augment, penalties, terms, training
from jaxgan.dynamics import alternating

FROZEN = optax.set_to_zero()


def step(state, optimizer, player, loss):
    """Returns the loss and the new parameters of a network."""
    optimizer, opt_state, params = (
        getattr(x, player) for x in (optimizer, state.opt_state, state.params)
    )
    value, grad = jax.value_and_grad(loss)(params)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optax.with_extra_args_support(optimizer).update(
            grad, opt_state, params, value=value, grad=grad, value_fn=loss
        )
    return value, optax.apply_updates(params, updates)


def two_forward_update(state, real, optimizer):
    """Computes one update without shared work: the generator runs twice."""
    generator = jaxgan.networks.MLPGenerator(SHAPE, features=(8, 8))
    discriminator = jaxgan.networks.MLPDiscriminator(features=(8, 8))
    latent_key = jax.random.split(jax.random.fold_in(state.key, state.step), 4)[0]
    latents = jax.random.normal(latent_key, (real.shape[0], LATENT_DIM))
    bce = lambda x, t: jnp.mean(-t * jax.nn.log_sigmoid(x) - (1 - t) * jax.nn.log_sigmoid(-x))

    def discriminator_loss(params):
        fake = generator.apply({"params": state.params.generator}, latents)
        discriminate = lambda images: discriminator.apply({"params": params}, images)
        return bce(discriminate(real), 0.9) + bce(discriminate(fake), 0.0)

    d_loss, new_discriminator = step(state, optimizer, "discriminator", discriminator_loss)

    def generator_loss(params):
        fake = generator.apply({"params": params}, latents)
        return bce(discriminator.apply({"params": new_discriminator}, fake), 1.0)

    g_loss, new_generator = step(state, optimizer, "generator", generator_loss)
    return Pair(new_generator, new_discriminator), g_loss, d_loss


def test_update_equals_the_reference_with_two_forward_passes(gan, state, batch):
    optimizer = Pair(optax.sgd(0.5), optax.sgd(0.5))
    gan = make_gan(optimizer=optimizer)
    state, update = gan.init(jax.random.key(3), batch), jax.jit(gan.update)
    for _ in range(3):
        params, g_loss, d_loss = two_forward_update(state, batch, optimizer)
        state, metrics = update(state, batch)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.params, params)
        np.testing.assert_allclose(metrics["generator_loss"], g_loss, rtol=1e-5)
        np.testing.assert_allclose(metrics["discriminator_loss"], d_loss, rtol=1e-5)


LINE_SEARCH = optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(3))
PLATEAU = optax.contrib.reduce_on_plateau(factor=0.5, patience=1, atol=1e9)


@pytest.mark.parametrize(
    "optimizer",
    [
        Pair(LINE_SEARCH, optax.chain(optax.polyak_sgd(0.7), PLATEAU)),
        pytest.param(Pair(optax.lbfgs(), optax.lbfgs()), marks=pytest.mark.slow),
    ],
    ids=["others", "lbfgs"],
)
def test_optimizers_receive_the_loss_and_the_gradient(batch, optimizer):
    gan = make_gan(optimizer=optimizer)
    state, update = gan.init(jax.random.key(3), batch), jax.jit(gan.update)
    for _ in range(2):
        params = jax.jit(two_forward_update, static_argnums=2)(state, batch, optimizer)[0]
        state, _ = update(state, batch)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.params, params)


def test_optimizers_receive_only_the_arguments_that_they_accept():
    extra = dict.fromkeys(("value", "grad", "value_fn"))
    accepted = lambda optimizer: _players._accepted(optimizer, extra)
    plain, several = optax.clip(1.0), optax.MultiSteps(optax.polyak_sgd(1.0), 2)
    assert accepted(plain) == accepted(optax.contrib.sam(plain, plain)) == {}
    assert accepted(several) == accepted(several.gradient_transformation()) == extra
    update = lambda grads, state, params=None, *, value: (grads, state)
    own = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    assert accepted(own) == {"value": None}


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_half_step_changes_only_its_own_network(player, batch):
    moving = Pair(FROZEN, FROZEN)._replace(**{player: optax.sgd(0.1)})
    gan = make_gan(optimizer=moving)
    before = gan.init(jax.random.key(0), batch)
    after, _ = jax.jit(gan.update)(before, batch)
    still = "discriminator" if player == "generator" else "generator"
    assert_trees_equal(getattr(before.params, still), getattr(after.params, still))
    assert tree_differs(getattr(before.params, player), getattr(after.params, player))


def test_generator_step_uses_the_updated_discriminator(batch):
    """A frozen discriminator changes the generator's gradient."""
    optimizer = Pair(optax.sgd(0.1), optax.sgd(0.1))
    moving, frozen = make_gan(optimizer=optimizer), make_gan(optimizer=Pair(optax.sgd(0.1), FROZEN))
    state = moving.init(jax.random.key(0), batch)
    a, _ = jax.jit(moving.update)(state, batch)
    b, _ = jax.jit(frozen.update)(frozen.init(jax.random.key(0), batch), batch)
    assert tree_differs(a.params.generator, b.params.generator)


def test_ten_updates_are_traced_once(gan, state, batch):
    traces = []

    def update(state, batch):
        traces.append(1)
        return gan.update(state, batch)

    jitted = jax.jit(update)
    for _ in range(10):
        state, _ = jitted(state, batch)
    assert len(traces) == 1
    assert int(state.step) == 10


def test_structure_shapes_and_dtypes_are_stable(gan, state, batch):
    after, metrics = jax.eval_shape(gan.update, state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), after, state)
    assert jax.tree.all(same)
    floats = {
        *("generator_loss", "discriminator_loss"),
        *("generator_gradient_norm", "discriminator_gradient_norm"),
        *("real_probability", "fake_probability", "real_accuracy", "fake_accuracy", "logit_gap"),
    }
    integers = {"generator_skipped", "discriminator_skipped", "invalid_images"}
    assert {name: (m.shape, m.dtype) for name, m in metrics.items()} == {
        **dict.fromkeys(floats, ((), jnp.float32)),
        **dict.fromkeys(integers, ((), jnp.int32)),
    }


def test_seeds_under_vmap_match_single_runs(batch):
    """Members match single runs under SGD. Adam would amplify rounding."""
    gan = make_gan(optimizer=jaxgan.Pair(optax.sgd(0.1), optax.sgd(0.1)))
    keys = jax.vmap(jax.random.key)(jnp.arange(4))
    init, update = jax.jit(gan.init), jax.jit(gan.update)
    population = jax.vmap(init, in_axes=(0, None))(keys, batch)
    update_all = jax.jit(jax.vmap(gan.update, in_axes=(0, None)))
    for _ in range(3):
        population, _ = update_all(population, batch)
    for seed in range(4):
        single = init(jax.random.key(seed), batch)
        for _ in range(3):
            single, _ = update(single, batch)
        member = jax.tree.map(lambda x, i=seed: x[i], population)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), member.params, single.params
        )
        assert_trees_equal(member.key, single.key)


def test_state_can_be_donated_with_and_without_average(batch):
    for half_life in (None, 100.0):
        gan = make_gan(ema_half_life=half_life)
        state = gan.init(jax.random.key(0), batch)
        update = jax.jit(gan.update, donate_argnums=0)
        after, _ = update(state, batch)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
        after, _ = update(after, batch)
        assert int(after.step) == 2


def test_donated_states_are_rejected(gan, state, batch, uint8_images):
    run = functools.partial(training.steps, gan, num_steps=1, batch_size=BATCH)
    epochs = functools.partial(training.epochs, gan, batch_size=BATCH)
    jax.jit(lambda state: state, donate_argnums=0)(state)
    for call in (
        lambda: gan.update(state, batch),
        lambda: gan.sample(state, jnp.ones((2, LATENT_DIM))),
        lambda: run(state, uint8_images),
        lambda: epochs(state, uint8_images),
    ):
        with pytest.raises(
            ValueError,
            match=r"state\.step must be an array with values; got a donated array\. Use the state "
            r"that the donating call returned\.",
        ):
            call()


def test_update_is_deterministic_and_depends_on_the_step(gan, state, batch):
    """The same state gives the same update. The next step uses different latents."""
    first, a = gan.update(state, batch)
    again, b = gan.update(state, batch)
    assert_trees_equal(first, again)
    later, c = gan.update(state.replace(step=state.step + 1), batch)
    assert tree_differs(first.params.generator, later.params.generator)
    assert float(a["generator_loss"]) == float(b["generator_loss"]) != float(c["generator_loss"])


def test_metrics_show_a_dominant_discriminator(batch):
    gan = make_gan(optimizer=Pair(FROZEN, optax.adam(1e-2)), loss=jaxgan.losses.non_saturating(1.0))
    state = gan.init(jax.random.key(0), batch)
    update = jax.jit(gan.update)
    for _ in range(300):
        state, metrics = update(state, batch)
    assert float(metrics["real_probability"]) > 0.95
    assert float(metrics["fake_probability"]) < 0.05


def test_average_moves_halfway_in_one_half_life(batch):
    gan = make_gan(ema_half_life=float(BATCH), optimizer=Pair(optax.sgd(0.1), optax.sgd(0.1)))
    before = gan.init(jax.random.key(0), batch)
    after, _ = jax.jit(gan.update)(before, batch)
    expected = jax.tree.map(
        lambda a, b: (a + b) / 2, before.params.generator, after.params.generator
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), after.ema_params, expected
    )
    latents = jnp.ones((2, LATENT_DIM))
    smooth = gan.sample(after, latents)
    expected_state = after.replace(params=after.params._replace(generator=expected))
    np.testing.assert_allclose(smooth, gan.sample(expected_state, latents), atol=1e-6)
    assert tree_differs(smooth, gan.sample(after.replace(ema_params=None), latents))


class NormedDiscriminator(nn.Module):
    """Uses batch statistics, dropout and a `train` argument."""

    @nn.compact
    def __call__(self, images, train: bool):
        x = nn.Dense(6)(images.reshape(images.shape[0], -1))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        x = nn.Dropout(0.5, deterministic=not train)(nn.leaky_relu(x))
        return nn.Dense(1)(x)[:, 0]


def test_batch_statistics_include_the_real_then_the_fake_batch(batch):
    gan = make_gan(discriminator=NormedDiscriminator(), optimizer=Pair(FROZEN, FROZEN))
    before = gan.init(jax.random.key(0), batch)
    after, _ = jax.jit(gan.update)(before, batch)
    dense = before.params.discriminator["Dense_0"]
    latent_key = jax.random.split(jax.random.fold_in(before.key, before.step), 4)[0]
    fake = gan.sample(before, jax.random.normal(latent_key, (BATCH, LATENT_DIM)))
    mean = lambda x: np.mean(np.asarray(x).reshape(BATCH, -1) @ np.asarray(dense["kernel"]), axis=0)
    # Momentum 0.5 from zero: one update by the real batch, then one by the fake batch.
    expected = 0.5 * (0.5 * mean(batch)) + 0.5 * mean(fake)
    found = after.model_state.discriminator["network"]["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_relativistic_generator_uses_the_updated_real_logits(batch):
    """The relativistic generator's gradient uses real logits of the updated discriminator."""
    relativistic = lambda real, fake: jax.nn.softplus(real - fake)
    loss = Pair(relativistic, lambda real, fake: relativistic(fake, real))
    gan = make_gan(loss=loss, optimizer=Pair(optax.sgd(0.5), optax.sgd(0.5)))
    before = gan.init(jax.random.key(0), batch)
    after, metrics = gan.update(before, batch)
    latent_key = jax.random.split(jax.random.fold_in(before.key, before.step), 4)[0]
    latents = jax.random.normal(latent_key, (BATCH, LATENT_DIM))
    generator = jaxgan.networks.MLPGenerator(SHAPE, features=(8, 8))
    discriminator = jaxgan.networks.MLPDiscriminator(features=(8, 8))
    discriminate = lambda images: discriminator.apply(
        {"params": after.params.discriminator}, images
    )

    def value(params):
        fake = generator.apply({"params": params}, latents)
        return jnp.mean(relativistic(discriminate(batch), discriminate(fake)))

    expected, grads = jax.value_and_grad(value)(before.params.generator)
    np.testing.assert_allclose(metrics["generator_loss"], expected, rtol=1e-5)
    moved = jax.tree.map(lambda p, g: p - 0.5 * g, before.params.generator, grads)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.params.generator, moved
    )


class NormedGenerator(nn.Module):
    @nn.compact
    def __call__(self, latents, train: bool):
        x = nn.Dense(16)(latents)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        return nn.tanh(x).reshape(-1, *SHAPE)


def test_generator_statistics_are_updated_once_and_used_in_sampling(batch):
    gan = make_gan(generator=NormedGenerator(), optimizer=Pair(FROZEN, FROZEN))
    before = gan.init(jax.random.key(0), batch)
    after, _ = jax.jit(gan.update)(before, batch)
    latent_key = jax.random.split(jax.random.fold_in(before.key, before.step), 4)[0]
    latents = np.asarray(jax.random.normal(latent_key, (BATCH, LATENT_DIM)))
    dense = jax.tree.map(np.asarray, before.params.generator["Dense_0"])
    mean = (latents @ dense["kernel"] + dense["bias"]).mean(0)
    statistics = after.model_state.generator["network"]["batch_stats"]["BatchNorm_0"]
    statistics = jax.tree.map(np.asarray, statistics)
    np.testing.assert_allclose(statistics["mean"], 0.5 * mean, atol=1e-6)
    x = np.ones((2, LATENT_DIM)) @ dense["kernel"] + dense["bias"]
    normed = (x - statistics["mean"]) / np.sqrt(statistics["var"] + 1e-5)
    samples = gan.sample(after, jnp.ones((2, LATENT_DIM)))
    np.testing.assert_allclose(samples, np.tanh(normed).reshape(-1, *SHAPE), atol=1e-5)


def test_every_forward_pass_has_its_own_key(batch):
    seen = []

    def watched(module):
        network = jaxgan.networks.from_linen(module)

        def apply(params, model_state, *inputs, train, key):
            if train:  # `init` samples without a key
                data = jax.random.key_data(key)
                jax.debug.callback(lambda k: seen.append(tuple(k.tolist())), data)
            return network.apply(params, model_state, *inputs, train=train, key=key)

        return network._replace(apply=apply)

    gan = make_gan(
        generator=watched(jaxgan.networks.MLPGenerator(SHAPE, features=(8,))),
        discriminator=watched(jaxgan.networks.MLPDiscriminator(features=(8,))),
        dynamics=alternating(2),
    )
    state = gan.init(jax.random.key(0), batch)
    update = jax.jit(gan.update)
    for step in range(2):
        update(state.replace(step=jnp.int32(step)), batch[:4])
    latent_keys = [
        tuple(
            jax.random.key_data(jax.random.split(jax.random.fold_in(state.key, s), 4)[0]).tolist()
        )
        for s in range(2)
    ]
    jax.effects_barrier()
    # Two discriminator steps (generate, real, fake), then the generator step (real, fake).
    assert len(seen) == 2 * (2 * 3 + 2)
    assert len(set(seen) | set(latent_keys)) == len(seen) + len(latent_keys)


def test_numpy_float64_images_are_accepted(gan):
    images = np.random.default_rng(0).uniform(-1, 1, (BATCH, *SHAPE))  # float64
    state = gan.init(jax.random.key(0), images)
    _, metrics = gan.update(state, images)
    assert metrics["generator_loss"].dtype == jnp.float32


def test_bfloat16_parameters_with_float32_optimizer_state(batch):
    to_bf16 = lambda tree: jax.tree.map(lambda x: x.astype(jnp.bfloat16), tree)

    def in_bf16(module):
        network = jaxgan.networks.from_linen(module)
        init = lambda key, x: (to_bf16(network.init(key, x.astype(jnp.float32))[0]), {})
        return network._replace(init=init)

    adam = optax.adam(1e-2, mu_dtype=jnp.float32)
    gan = make_gan(
        generator=in_bf16(jaxgan.networks.MLPGenerator(SHAPE, features=(8,))),
        discriminator=in_bf16(jaxgan.networks.MLPDiscriminator(features=(8,))),
        optimizer=Pair(adam, adam),
        ema_half_life=10.0,
    )
    images = batch.astype(jnp.bfloat16)
    state = gan.init(jax.random.key(0), images)
    after, metrics = jax.jit(gan.update)(state, images)
    assert {x.dtype for x in jax.tree.leaves(after.params)} == {jnp.dtype(jnp.bfloat16)}
    assert int(metrics["generator_skipped"]) == 0
    samples = gan.sample(after, jnp.ones((4, LATENT_DIM), jnp.bfloat16))
    assert jaxgan.images.grid(samples).any()

    # The average is float32, and `sample` casts it to bfloat16.
    kept, (old, new) = 0.5 ** (BATCH / 10.0), (s.params.generator for s in (state, after))
    for average, a, b in zip(*map(jax.tree.leaves, (after.ema_params, old, new)), strict=True):
        assert average.dtype == jnp.float32
        a, b = (np.asarray(x, np.float64) for x in (a, b))
        np.testing.assert_allclose(average, kept * a + (1 - kept) * b, rtol=1e-5, atol=1e-8)
    replaced = Pair(to_bf16(after.ema_params), after.params.discriminator)
    expected = gan.sample(
        after.replace(params=replaced, ema_params=None), jnp.ones((4, LATENT_DIM), jnp.bfloat16)
    )
    assert samples.dtype == jnp.bfloat16
    np.testing.assert_array_equal(samples, expected)


def test_networks_can_be_plain_functions(batch):
    def generator_init(key, x):
        return {"w": jax.random.normal(key, (x.shape[-1], 16))}, {}

    def generator_apply(params, model_state, x, *, train, key):
        return jnp.tanh(x @ params["w"]).reshape(-1, *SHAPE), model_state

    gan = make_gan(generator=jaxgan.Network(generator_init, generator_apply))
    state, _ = gan.update(gan.init(jax.random.key(0), batch), batch)
    assert gan.sample(state, jnp.zeros((2, LATENT_DIM))).shape == (2, *SHAPE)


class TestBadInput:
    def test_non_networks_are_rejected(self):
        with pytest.raises(TypeError, match=r"Network\(init, apply\); got int"):
            make_gan(generator=3)
        with pytest.raises(TypeError, match=r"the class MLPGenerator. Make an instance"):
            make_gan(generator=jaxgan.networks.MLPGenerator)

    @pytest.mark.parametrize("name", ["loss", "optimizer"])
    def test_non_pairs_are_rejected(self, name):
        for wrong in (optax.adam(1e-3), Pair(1e-3, 1e-3)):
            with pytest.raises(TypeError, match=f"{name} must be a jaxgan.Pair of .*; got"):
                make_gan(**{name: wrong})

    @pytest.mark.parametrize(
        "wrong",
        [
            optax.adam,
            optax.MultiSteps,
            optax.inject_hyperparams(optax.adam),
            optax.linear_schedule(1.0, 0.0, 9),
            jax.example_libraries.optimizers.adam(1e-3),
            1e-3,
        ],
        ids=["function", "class", "wrapper", "schedule", "jax", "number"],
    )
    def test_objects_other_than_transformations_are_rejected(self, wrong):
        with pytest.raises(
            TypeError,
            match=r"optimizer must be .* of optax transformations; got discriminator=.*\. "
            r"optax\.adam\(1e-3\) is an example\.",
        ):
            make_gan(optimizer=Pair(optax.sgd(0.1), wrong))

    def test_lookahead_is_rejected(self, batch):
        gan = make_gan(optimizer=Pair(optax.sgd(0.1), optax.lookahead(optax.sgd(0.1), 5, 0.5)))
        with pytest.raises(
            ValueError,
            match=r"The discriminator's optimizer must .* got optax\.lookahead, which",
        ):
            gan.init(jax.random.key(0), batch)

    def test_out_of_range_numbers_are_rejected(self):
        with pytest.raises(TypeError, match=r"latents must be .* got 3\.0"):
            make_gan(latents=3.0)
        with pytest.raises(ValueError, match="latents must be at least 1; got 0"):
            make_gan(latents=0)
        with pytest.raises(ValueError, match=r"ema_half_life must be positive and finite; got 0.0"):
            make_gan(ema_half_life=0.0)
        with pytest.raises(
            ValueError,
            match=r"at least 1 image; got 0\.999\. Pass a number of images",
        ):
            make_gan(ema_half_life=0.999)
        with pytest.raises(TypeError, match=r"metrics must be a function \(view\) -> .* got 'no'"):
            make_gan(metrics="no")

    def test_integer_images_are_rejected(self, gan, state, uint8_images):
        for call in (
            lambda: gan.init(jax.random.key(0), uint8_images),
            lambda: gan.update(state, uint8_images),
        ):
            with pytest.raises(
                TypeError, match=r"floats in \[-1, 1\]; got uint8 of shape \(23, 4, 4, 1\)"
            ):
                call()

    def test_empty_batch_is_rejected(self, gan, state):
        with pytest.raises(ValueError, match=r"without empty axes; got shape \(0, 4, 4, 1\)"):
            gan.update(state, jnp.zeros((0, *SHAPE)))

    def test_wrong_generator_size_is_rejected_at_init(self, gan):
        with pytest.raises(ValueError, match=r"of shape \(2, 8, 8, 1\); got \(2, 4, 4, 1\)"):
            gan.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))

    def test_wrong_image_size_is_rejected_at_trace_time(self, gan, state):
        with pytest.raises(ValueError, match=r"of shape \(5, 8, 8, 1\); got \(5, 4, 4, 1\)"):
            jax.jit(gan.update).lower(state, jnp.zeros((5, 8, 8, 1)))

    def test_channels_first_images_are_named_at_init_and_update(self):
        advice = r"The shape looks channels-first; pass np.transpose\(images, \(0, 2, 3, 1\)\)\."
        gan = make_gan(generator=jaxgan.networks.MLPGenerator((8, 8, 3), features=(8,)))
        images = jax.ShapeDtypeStruct((5, 8, 8, 3), jnp.float32)
        state = jax.eval_shape(gan.init, jax.random.key(0), images)
        first = jax.ShapeDtypeStruct((5, 3, 8, 8), jnp.float32)
        with pytest.raises(ValueError, match=rf"\(2, 3, 8, 8\); got \(2, 8, 8, 3\). {advice}"):
            jax.eval_shape(gan.init, jax.random.key(0), first)
        with pytest.raises(ValueError, match=rf"\(5, 3, 8, 8\); got \(5, 8, 8, 3\). {advice}"):
            jax.eval_shape(gan.update, state, first)
        steps = functools.partial(jaxgan.training.steps, gan, num_steps=1, batch_size=5)
        with pytest.raises(ValueError, match=advice):
            jax.eval_shape(steps, state, jax.ShapeDtypeStruct((9, 3, 8, 8), jnp.uint8))
        strict = make_gan(discriminator=jaxgan.networks.SNGANDiscriminator())
        with pytest.raises(ValueError, match=rf"The sides .* got \(3, 8, 8\)\.\n(.*\n)*{advice}"):
            jax.eval_shape(strict.init, jax.random.key(0), first)

    def test_unreadable_torch_tensors_are_rejected(self, gan, state, batch, torch_tensor):
        labels = make_gan(
            generator=jaxgan.networks.SNGANGenerator(SHAPE, num_classes=3, blocks=1), num_classes=3
        )
        for call in (
            lambda: gan.init(jax.random.key(0), torch_tensor),
            lambda: gan.update(state, torch_tensor),
            lambda: gan.sample(state, torch_tensor),
            lambda: labels.init(jax.random.key(0), (batch, torch_tensor)),
            lambda: jaxgan.training.steps(gan, state, torch_tensor, num_steps=1, batch_size=1),
        ):
            with pytest.raises(TypeError, match=r"got a torch tensor of .*, which x\.detach\(\)"):
                call()

    def test_torch_tensors_are_accepted(self, gan, batch):
        torch = pytest.importorskip("torch")
        images = torch.from_numpy(np.array(batch))
        assert_trees_equal(
            gan.sample(gan.init(jax.random.key(0), images), torch.ones(2, LATENT_DIM)),
            gan.sample(gan.init(jax.random.key(0), batch), jnp.ones((2, LATENT_DIM))),
        )
        with pytest.raises(TypeError, match="got a torch tensor of"):
            gan.init(jax.random.key(0), images.requires_grad_())

    def test_channels_first_networks_are_accepted(self):
        gan = make_gan(generator=jaxgan.networks.MLPGenerator((3, 8, 8), features=(8,)))
        images = jax.ShapeDtypeStruct((5, 3, 8, 8), jnp.float32)
        jax.eval_shape(gan.init, jax.random.key(0), images)

    @pytest.mark.parametrize(
        ("end", "got"),
        [
            (jnp.sum, r"float32 of shape \(\)"),
            (lambda x: x[:1], r"float32 of shape \(1, 1\)"),
            (lambda x: jnp.argmax(x, 1), r"int32 of shape \(2,\)"),
            (lambda x: {"logits": x}, "dict"),
        ],
    )
    def test_invalid_logits_are_rejected(self, batch, end, got):
        network = Scored(lambda x: x)
        inner = jaxgan.networks.from_linen(network)

        def apply(params, model_state, x, *, train, key):
            y, model_state = inner.apply(params, model_state, x, train=train, key=key)
            return end(y[:, None]), model_state

        message = rf"logits must be float \[2\], or \[2, ...\]; got .*{got}"
        with pytest.raises(ValueError, match=message):
            make_gan(discriminator=inner._replace(apply=apply)).init(jax.random.key(0), batch)

    def test_scalar_losses_are_rejected(self, batch):
        mean = lambda real, fake: jnp.mean(fake - real)
        with pytest.raises(
            ValueError, match=r"The loss must be of shape \(2,\); got \(\)\. Return one value"
        ):
            make_gan(loss=Pair(mean, mean)).init(jax.random.key(0), batch)
        nothing = lambda real, fake: None
        with pytest.raises(ValueError, match=r"must be of shape \(2,\); got NoneType"):
            make_gan(loss=Pair(nothing, nothing)).init(jax.random.key(0), batch)

    def test_wrong_latent_shapes_are_rejected(self, gan, state):
        for shape in ((2, 4), (3,)):
            with pytest.raises(ValueError, match=r"Latents must be \[n, 3\]; got \("):
                gan.sample(state, jnp.zeros(shape))

    def test_untyped_keys_are_rejected(self, gan, batch):
        with pytest.raises(TypeError, match=r"typed PRNG key, such as jax.random.key\(seed\)"):
            gan.init(jnp.zeros(2, jnp.uint32), batch)
        with pytest.raises(TypeError, match=r"one typed PRNG key.*got int"):
            gan.init(0, batch)


def test_latents_have_the_dtype_of_the_images(batch):
    # Parameters of linen modules stay float32, so dtypes are mixed.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        gan = make_gan()
        images = jnp.asarray(batch, jnp.float64)
        state = jax.jit(gan.init)(jax.random.key(0), images)
        _, metrics = jax.jit(gan.update)(state, images)
        assert metrics["generator_loss"].dtype == jnp.float64


def linear(transform=lambda x: x, scale=0.1):
    """Returns a generator with one matrix, followed by `transform`."""

    def init(key, x, *labels):
        return scale * jax.random.normal(key, (x.shape[-1], math.prod(SHAPE)), x.dtype), {}

    def apply(params, model_state, x, *labels, train, key):
        return transform(x @ params).reshape(-1, *SHAPE), model_state

    return Network(init, apply)


@pytest.mark.parametrize(
    ("transform", "scale", "message"),
    [
        (
            jax.nn.sigmoid,
            0.1,
            r"the images, -1 to 1; got 0 to 1\. End it with tanh",
        ),
        (jax.nn.relu, 0.1, r"got 0 to inf\. End it with tanh"),
        (
            lambda x: x,
            300.0,
            r"got -1.74e\+03 to 1.3e\+03\. .* start with smaller weights",
        ),
        (lambda x: jnp.log(-jnp.abs(x)), 0.1, "must be finite; got nan to nan"),
    ],
)
def test_generator_with_wrong_output_range_is_rejected(batch, transform, scale, message):
    with pytest.raises(ValueError, match=message):
        make_gan(generator=linear(transform, scale)).init(jax.random.key(0), batch)


@pytest.mark.parametrize("step", [-1, 2**31 - 1])
def test_step_that_would_wrap_is_rejected(gan, state, batch, step):
    with pytest.raises(ValueError, match=rf"state.step must be at (most|least) .*; got {step}\."):
        gan.update(state.replace(step=jnp.int32(step)), batch)


def test_nearly_constant_tanh_is_accepted(batch):
    generator = linear(lambda x: jnp.tanh(0.1 + 1e-3 * x), 0.1)
    make_gan(generator=generator).init(jax.random.key(0), batch)


UNIT = np.linspace(0, 1, 8 * math.prod(SHAPE), dtype=np.float32).reshape(8, *SHAPE)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (UNIT, r"in \[-1, 1\], some below 0; got 0 to 1\. Scale images in \[0, 1\] by 2"),
        (255 * UNIT, r"in \[-1, 1\]; got 0 to 255\. Scale them, or pass data_range"),
        (5 * UNIT - 2.2, r"in \[-1, 1\]; got -2\.2 to 2\.8\. Scale them, or pass data_range"),
        (
            (UNIT > 0.5) / 127.5 - 1,
            r"in \[-1, 1\], not almost black; got -1 to -0\.992.*\. Multiply masks",
        ),
        (np.inf * (UNIT + 1), "must be finite"),
    ],
    ids=["unit", "pixels", "standardized", "mask", "infinite"],
)
def test_images_out_of_range_are_rejected_and_counted(gan, state, images, message):
    images = np.asarray(images, np.float32)
    for call in (lambda: gan.init(jax.random.key(0), images), lambda: gan.update(state, images)):
        with pytest.raises(ValueError, match=f"Images must be {message}|Images {message}"):
            call()
    metrics = jax.jit(lambda images: gan.update(state, images)[1])(images)
    assert int(metrics["invalid_images"]) == 8


def test_images_in_range_are_accepted(gan, state, batch):
    counted = jax.jit(lambda images: gan.update(state, images)[1]["invalid_images"])
    blank, few = 0.0 * batch, UNIT[:7]  # a few pictures can be bright
    for images in (batch, blank - 1.0, blank + 1.0, few):
        gan.update(state, images)
        assert int(counted(images)) == 0


def test_other_ranges_are_declared():
    half = make_gan(generator=linear(jax.nn.sigmoid), data_range=(0.0, 1.0))
    state = half.init(jax.random.key(0), UNIT)
    with pytest.raises(ValueError, match=r"Images must be in \[0, 1\]; got -1 to 1\. Scale them"):
        half.update(state, 2 * UNIT - 1)
    with pytest.raises(ValueError, match=r"the images, 0 to 1; got -.* with a sigmoid"):
        make_gan(data_range=(0.0, 1.0)).init(jax.random.key(0), UNIT)
    for end, data_range in ((jax.nn.sigmoid, (0.0, 255.0)), (jnp.tanh, (-3.0, 3.0))):
        wide = make_gan(generator=linear(end), data_range=data_range)
        with pytest.raises(ValueError, match=r"got .* to 1\. Scale its output to this range"):
            jax.eval_shape(wide.init, jax.random.key(0), UNIT)
    anything = make_gan(generator=linear(), data_range=None)
    state = anything.init(jax.random.key(0), 1000 * UNIT)
    assert "invalid_images" not in jax.eval_shape(anything.update, state, UNIT)[1]
    masked = linear(lambda x: jax.nn.sigmoid(x) ** 2 + (1 - jax.nn.sigmoid(x)) * 0.5)
    jax.eval_shape(make_gan(generator=masked, data_range=(0.0, 1.0)).init, jax.random.key(0), UNIT)
    for wrong in ((1.0, 0.0), (0.0, math.inf)):
        with pytest.raises(ValueError, match="data_range"):
            make_gan(data_range=wrong)
    with pytest.raises(TypeError, match=r"data_range must be None or a pair of numbers"):
        make_gan(data_range=1.0)


class Scored(nn.Module):
    """Ends in any function of one or two features."""

    end: Callable
    outputs: int = 1

    @nn.compact
    def __call__(self, x):
        return self.end(nn.Dense(self.outputs)(x.reshape(x.shape[0], -1)))[:, 0]


BOUNDED = {
    "sigmoid": (nn.sigmoid, 1, 0),
    "softmax": (nn.softmax, 2, 0),
    "tanh": (jnp.tanh, 1, -1),
    "sigmoid of a mean": (lambda x: nn.sigmoid(x).mean(axis=1, keepdims=True), 2, 0),
    "scaled tanh": (lambda x: (jnp.tanh(x) + 1) / 2, 1, 0),
    "jitted sigmoid": (jax.jit(nn.sigmoid), 1, 0),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_bounded_logits_are_rejected(batch, name):
    """Also inside jit."""
    end, outputs, low = BOUNDED[name]
    gan, key = make_gan(discriminator=Scored(end, outputs)), jax.random.key(0)
    message = rf"logits must be unbounded; got values in \[{low}, 1\] only\. Remove a last"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(gan.init, key, batch)
    jax.eval_shape(make_gan(discriminator=Scored(end), bounded_logits=True).init, key, batch)


def test_unbounded_logits_are_accepted(batch):
    for end in (
        lambda x: x,
        jax.nn.log_sigmoid,
        jax.nn.relu,
        lambda x: jnp.clip(x, -50, 50),
        lambda x: x / jnp.linalg.norm(x, axis=1, keepdims=True),  # no bounds are known
    ):
        jax.eval_shape(make_gan(discriminator=Scored(end)).init, jax.random.key(0), batch)
    network = only_in_training(Scored(lambda x: x))
    jax.eval_shape(make_gan(discriminator=network).init, jax.random.key(0), batch)


def only_in_training(module: nn.Module) -> Network:
    """Returns a network that fails without a key."""
    network = jaxgan.networks.from_linen(module)

    def apply(*inputs, train, key):
        return network.apply(*inputs, train=train, key=jax.random.fold_in(key, 0))

    return network._replace(apply=apply)


def test_discriminator_may_depend_on_a_traced_number(batch):
    def first_step(scale):
        gan = make_gan(discriminator=Scored(lambda x: scale * x))
        return gan.init(jax.random.key(0), batch).step

    assert jax.vmap(first_step)(jnp.ones(2)).tolist() == [0, 0]


def test_valid_placeholder_and_traced_ranges_are_accepted(gan, batch):
    key, zero_or_more = jax.random.key(0), (batch + 1.0) / 2.0
    make_gan(generator=linear()).init(key, batch)  # an unbounded output
    make_gan(generator=linear(scale=0.0)).init(key, batch)  # zero initial output, as in Fix-up
    gan.init(key, jnp.zeros_like(batch))  # a placeholder
    jax.jit(gan.init)(key, zero_or_more)
    jax.eval_shape(gan.init, key, zero_or_more)


def test_init_does_not_sample_when_traced(batch):
    network = jaxgan.networks.from_linen(jaxgan.networks.MLPGenerator(SHAPE, features=(8,)))
    passes = []

    def apply(*inputs, train, key):
        passes.append(train)
        return network.apply(*inputs, train=train, key=key)

    gan = make_gan(generator=network._replace(apply=apply))
    key = jax.random.key(0)
    jax.eval_shape(gan.init, key, batch)
    jax.vmap(gan.init, in_axes=(0, None))(jax.random.split(key, 2), batch)
    assert passes == [True, True] * 2  # the second pass bounds the range
    gan.init(key, batch)
    assert passes[4:] == [True, True, False]


@pytest.mark.parametrize("player", Pair._fields)
def test_network_without_float_parameters_is_rejected(batch, player):
    def apply(params, model_state, x, *, train, key):
        return jnp.zeros((len(x), *SHAPE) if player == "generator" else len(x)), model_state

    none = make_gan(**{player: Network(lambda key, x: ({}, {}), apply)})
    with pytest.raises(ValueError, match=rf"The {player}'s parameters must be .* floats; got {{}}"):
        none.init(jax.random.key(0), batch)
    integers = make_gan(**{player: Network(lambda key, x: (jnp.arange(3), {}), apply)})
    with pytest.raises(
        TypeError, match=rf"The {player}'s parameters must be arrays of floats; got int32 .*\(3,\)"
    ):
        integers.init(jax.random.key(0), batch)


def test_half_life_can_be_traced(batch):
    def averaged(half_life):
        gan = make_gan(ema_half_life=half_life)
        state = gan.init(jax.random.key(0), batch)
        return gan.update(state, batch)[0].ema_params

    traced, plain = jax.jit(averaged)(10.0), averaged(10.0)
    for x, y in zip(jax.tree.leaves(traced), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


BF16_TRACE = optax.sgd(0.1, momentum=0.9, accumulator_dtype=jnp.bfloat16)


@pytest.mark.parametrize(
    ("player", "given", "needed", "message"),
    [
        (
            "generator",
            optax.adam(0.1),
            optax.sgd(0.1),
            r"\(EmptyState, EmptyState\); got \(ScaleByAdamState, EmptyState\)\. To change",
        ),
        (
            "discriminator",
            optax.sgd(0.1),
            optax.inject_hyperparams(optax.adam)(0.1),
            r"InjectStatefulHyperparamsState; got \(EmptyState, EmptyState\)\. To change",
        ),
        (
            "discriminator",
            optax.sgd(0.1, momentum=0.9),
            BF16_TRACE,
            r".* got \[0\]\.trace\['Dense_0'\]\['bias'\] float32\(8,\), not bfloat16\(8,",
        ),
    ],
)
def test_state_of_another_optimizer_is_rejected(batch, player, given, needed, message):
    sgd = Pair(optax.sgd(0.1), optax.sgd(0.1))
    other, gan = (make_gan(optimizer=sgd._replace(**{player: x})) for x in (given, needed))
    state = jax.eval_shape(other.init, jax.random.key(0), batch)
    states = jax.eval_shape(lambda x: jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), x), state)
    images = jnp.zeros((BATCH, *SHAPE), jnp.uint8)
    epochs = functools.partial(training.epochs, gan, batch_size=BATCH)
    for call in (
        lambda: jax.eval_shape(gan.update, state, batch),
        lambda: jax.eval_shape(jax.vmap(gan.update, in_axes=(0, None)), states, batch),
        lambda: jax.eval_shape(epochs, state, images),
    ):
        with pytest.raises(ValueError, match=f"The {player}'s optimizer state must be {message}"):
            call()


@pytest.mark.parametrize(
    "changes",
    [{"augmentation": augment.adaptive(augment.diffaugment())}, {"penalty": penalties.lecam()}],
)
def test_state_of_another_penalty_or_augmentation_is_rejected(gan, batch, changes):
    state = jax.eval_shape(make_gan(**changes).init, jax.random.key(0), batch)
    with pytest.raises(ValueError, match="not of another GAN"):
        jax.eval_shape(gan.update, state, batch)


class Headed(nn.Module):
    """Returns logits, and what `head` makes of ten class logits."""

    head: Callable | None

    @nn.compact
    def __call__(self, x, labels):
        x = x.reshape(x.shape[0], -1)
        logits = nn.Dense(1)(x)[:, 0]
        classes = {} if self.head is None else {"classes": self.head(nn.Dense(10)(x))}
        return logits, classes


@pytest.mark.parametrize(
    ("head", "error", "message"),
    [
        (None, ValueError, r'must be \(logits, {"classes": class_logits}\) with a class loss; got'),
        (lambda x: x[:, :9], ValueError, r"class logits must be of shape \(\d, 10\); got \(\d, 9"),
        (jax.nn.softmax, ValueError, "class logits must be unbounded"),
    ],
)
def test_invalid_class_logits_are_rejected(batch, head, error, message):
    labels = jnp.zeros(len(batch), jnp.int32)

    def init(head):
        generator = Labeled()
        options = {"num_classes": 10, "terms": Pair({}, {"classes": terms.real_class_loss()})}
        gan = make_gan(generator=generator, discriminator=Headed(head), **options)
        return jax.eval_shape(gan.init, jax.random.key(0), (batch, labels))

    init(lambda x: x)
    with pytest.raises(error, match=message):
        init(head)


class Labeled(nn.Module):
    @nn.compact
    def __call__(self, latents, labels):
        return jnp.tanh(nn.Dense(math.prod(SHAPE))(latents)).reshape(-1, *SHAPE)


def test_population_in_place_of_a_state_is_rejected(gan, state, batch):
    states = jax.tree.map(lambda x: jnp.stack([x, x]), state)
    latents = jnp.ones((2, LATENT_DIM))
    for call in (
        lambda: gan.update(states, batch),
        lambda: gan.sample(states, latents),
        lambda: gan.standing_statistics(states, latents[None]),
        lambda: jaxgan.training.steps(
            gan, states, jnp.zeros((9, *SHAPE), jnp.uint8), num_steps=1, batch_size=3
        ),
    ):
        with pytest.raises(ValueError, match=r"one GAN; got a population of shape \(2,\)\. Map"):
            call()


def test_nan_in_images_is_counted_inside_jit(gan, state, batch):
    update = jax.jit(lambda state, images: gan.update(state, images)[1]["invalid_images"])
    assert int(update(state, batch.at[3, 0].set(jnp.nan))) == len(batch)


@pytest.mark.parametrize("name", ["penalty", "augmentation"])
def test_functions_that_are_not_called_are_rejected(name):
    made = {"penalty": jaxgan.penalties.r1, "augmentation": jaxgan.augment.diffaugment}[name]
    message = f"must be a function .*; got the function {made.__name__}. Call it: {made.__name__}"
    with pytest.raises(TypeError, match=message):
        make_gan(**{name: made})


def test_list_of_arrays_inside_jit_is_named(gan, state, batch):
    message = r"Images must be .*; got a list of arrays\. Stack them with jax\.numpy\.stack"
    with pytest.raises(TypeError, match=message):
        jax.jit(gan.update)(state, list(batch))


def test_images_and_labels_in_a_list_or_dict_are_named(gan, state, batch):
    labels = jnp.zeros(len(batch), jnp.int32)
    steps = functools.partial(jaxgan.training.steps, gan, num_steps=1, batch_size=len(batch))
    for wrong in ([batch, labels], {"images": batch, "labels": labels}):
        for call in (gan.update, steps):
            message = r"(batch|data) must be images, or a tuple \(images, condition\); got"
            with pytest.raises(TypeError, match=message):
                call(state, wrong)


def test_number_in_place_of_a_condition_is_named(gan, state):
    message = r"condition must be arrays with a row .*; got 3\. Pass the number of images as num="
    with pytest.raises(ValueError, match=message):
        gan.sample(state, jax.random.key(0), 3)
