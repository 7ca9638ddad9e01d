"""Tests the options of a GAN: discriminator steps, packing, labels, averages, augmentation."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import LATENT_DIM, SHAPE, assert_trees_equal, make_gan, tree_differs

import jaxgan
from jaxgan import (
    Pair,
    augment,
    checkpoint,
    diagnostics,
    losses,
    optimizers,
    penalties,
    terms,
    training,
)
from jaxgan._game._game import average_rate
from jaxgan.dynamics import alternating

SGD = Pair(optax.sgd(0.1), optax.sgd(0.1))
FROZEN = optax.set_to_zero()
GENERATOR = jaxgan.networks.MLPGenerator(SHAPE, features=(8, 8))
DISCRIMINATOR = jaxgan.networks.MLPDiscriminator(features=(8, 8))


@pytest.fixture
def twelve():
    images = np.random.default_rng(3).uniform(-1, 1, (12, *SHAPE))
    return jnp.asarray(images, jnp.float32)


def bce(x, t):
    return jnp.mean(-t * jax.nn.log_sigmoid(x) - (1 - t) * jax.nn.log_sigmoid(-x))


def descend(value, params):
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(value)(params))


def reference(state, images, critics=1, packing=1):
    """Computes an update with `critics` discriminator steps and packing, without shared work."""
    g, d = state.params
    step_key = jax.random.fold_in(state.key, state.step)
    size = len(images) // critics

    def discriminate(params, images):
        rows = [jnp.concatenate(list(images[i : i + packing]), -1) for i in range(0, size, packing)]
        return DISCRIMINATOR.apply({"params": params}, jnp.stack(rows))

    for i in range(critics):
        last = i == critics - 1
        key = jax.random.split(step_key, 4)[0]
        if not last:
            key = jax.random.split(jax.random.fold_in(step_key, 4 + i), 3)[0]
        make = lambda params, key=key: GENERATOR.apply(
            {"params": params}, jax.random.normal(key, (size, LATENT_DIM))
        )
        real, fake = images[i * size : (i + 1) * size], make(g)
        value = lambda p, real=real, fake=fake: (
            bce(discriminate(p, real), 0.9) + bce(discriminate(p, fake), 0.0)
        )
        d = descend(value, d)
    return Pair(descend(lambda p: bce(discriminate(d, make(p)), 1.0), g), d)


slow = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(("critics", "packing"), [slow(1, 1), (3, 1), slow(1, 2), (2, 3)])
def test_discriminator_steps_and_packing_match_the_reference(twelve, critics, packing):
    options = {"dynamics": alternating(critics), "augmentation": augment.pack(packing)}
    gan = make_gan(optimizer=SGD, **options)
    state = gan.init(jax.random.key(0), twelve)
    kernel = state.params.discriminator["Dense_0"]["kernel"]
    assert kernel.shape == (16 * packing, 8)
    reference_update = jax.jit(functools.partial(reference, critics=critics, packing=packing))
    for _ in range(2):
        expected = reference_update(state, twelve)
        state, _ = jax.jit(gan.update)(state, twelve)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.params, expected
        )


def test_average_with_warmup_matches_the_reference(twelve):
    gan = make_gan(optimizer=SGD, ema_half_life=50.0, ema_warmup=0.5)
    state = gan.init(jax.random.key(0), twelve)
    average = state.params.generator
    for step in range(12):
        state, _ = jax.jit(gan.update)(state, twelve)
        half_life = min(50.0, 0.5 * step * 12)
        kept = 0.0 if half_life == 0 else 0.5 ** (12 / half_life)
        average = jax.tree.map(
            lambda a, p, k=kept: k * a + (1 - k) * p, average, state.params.generator
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.ema_params, average
        )


@pytest.mark.parametrize(("half_life", "warmup"), [(5e6, None), (1e9, 0.05)])
@pytest.mark.parametrize("traced", [False, True])
def test_rate_of_the_average_matches_float64(half_life, warmup, traced):
    rate = functools.partial(average_rate, warmup=warmup, batch_size=16)
    rate = jax.jit(rate) if traced else rate
    for step in (0, 1, 2, 7, 2**25 + 1, 2**31 - 1):
        limit = half_life if warmup is None else min(half_life, warmup * step * 16)
        expected = -np.expm1(-np.log(2) * 16 / limit) if limit > 0 else 1.0
        found = rate(half_life, step=jnp.int32(step))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


class LabeledGenerator(nn.Module):
    """Adds a row for each label; latents have little effect."""

    @nn.compact
    def __call__(self, latents, labels):
        x = nn.Embed(3, 16)(labels) + 1e-3 * nn.Dense(16)(latents)
        return nn.tanh(x).reshape(-1, *SHAPE)


class LabeledDiscriminator(nn.Module):
    """Discriminates by projection, and also classifies with `classify=True`."""

    classify: bool = False

    @nn.compact
    def __call__(self, images, labels):
        features = nn.leaky_relu(nn.Dense(8)(images.reshape(images.shape[0], -1)))
        logits = nn.Dense(1)(features)[:, 0] + jnp.sum(features * nn.Embed(3, 8)(labels), -1)
        return (logits, {"classes": nn.Dense(3)(features)}) if self.classify else logits


def labeled_gan(**changes):
    players = {"generator": LabeledGenerator(), "discriminator": LabeledDiscriminator()}
    return make_gan(**{**players, "num_classes": 3, **changes})


LABELS = jnp.arange(12) % 3


@pytest.mark.parametrize("run", [functools.partial(training.steps, num_steps=1), training.epochs])
def test_invalid_labels_are_rejected_by_training(twelve, run):
    gan, images = labeled_gan(), np.zeros((12, *SHAPE), np.uint8)
    state = gan.init(jax.random.key(0), (twelve, LABELS))
    with pytest.raises(ValueError, match=r"Labels must be in \[0, 3\); got 1 to 3"):
        run(gan, state, (images, LABELS + 1), batch_size=4)


def test_invalid_labels_are_counted_inside_jit(twelve):
    gan = labeled_gan(num_classes=300)
    state, update = gan.init(jax.random.key(0), (twelve, LABELS)), jax.jit(gan.update)
    for labels, count in ((LABELS, 0), (LABELS - 1, 4), (LABELS + 299, 8)):
        assert int(update(state, (twelve, labels))[1]["invalid_labels"]) == count
    assert int(update(state, (twelve, LABELS.astype(jnp.uint8)))[1]["invalid_labels"]) == 0


def test_labels_reach_both_networks(twelve):
    """The update equals the reference written here. Rows of other labels do not change."""
    gan, labels = labeled_gan(optimizer=SGD), jnp.array([0, 2])[jnp.arange(12) % 2]
    state = gan.init(jax.random.key(0), (twelve, labels))
    after, _ = jax.jit(gan.update)(state, (twelve, labels))
    g, d = state.params
    key = jax.random.split(jax.random.fold_in(state.key, state.step), 4)[0]
    latents = jax.random.normal(key, (12, LATENT_DIM))
    make = lambda params: LabeledGenerator().apply({"params": params}, latents, labels)
    discriminate = lambda params, x: LabeledDiscriminator().apply({"params": params}, x, labels)
    d = descend(lambda p: bce(discriminate(p, twelve), 0.9) + bce(discriminate(p, make(g)), 0.0), d)
    g = descend(lambda p: bce(discriminate(d, make(p)), 1.0), g)
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5)
    jax.tree.map(close, after.params, Pair(g, d))
    for before, now in zip(state.params, after.params, strict=True):
        moved = before["Embed_0"]["embedding"] != now["Embed_0"]["embedding"]
        assert np.asarray(moved.any(axis=1)).tolist() == [True, False, True]


def test_labels_stay_with_their_images_when_shuffled(twelve):
    gan = labeled_gan()
    images = np.repeat(np.arange(12, dtype=np.uint8), 16).reshape(12, *SHAPE)
    seen = []

    def update(state, batch):
        images, labels = batch
        jax.debug.callback(lambda b, c: seen.append((b, c)), images[:, 0, 0, 0], labels)
        return gan.update(state, batch)

    state = gan.init(jax.random.key(0), (twelve, LABELS))
    watched = gan._replace(update=update)
    run = functools.partial(jaxgan.training.epochs, watched, batch_size=4)
    jax.block_until_ready(jax.jit(run)(state, (jnp.asarray(images), LABELS)))
    jax.effects_barrier()
    assert len(seen) == 3
    for batch, labels in seen:
        np.testing.assert_array_equal(np.rint((np.asarray(batch) + 1) * 127.5) % 3, labels)


def test_class_losses_match_their_formula(twelve):
    discriminator = LabeledDiscriminator(classify=True)
    own = Pair(
        {"generated": terms.fake_class_loss(0.5)},
        {"real": terms.real_class_loss(2.0), "fake": terms.fake_class_loss(2.0)},
    )
    options = {"discriminator": discriminator, "optimizer": Pair(FROZEN, FROZEN)}
    gan, without = labeled_gan(terms=own, **options), labeled_gan(**options)
    state = gan.init(jax.random.key(0), (twelve, LABELS))
    _, metrics = jax.jit(gan.update)(state, (twelve, LABELS))
    start = without.init(jax.random.key(0), (twelve, LABELS))
    _, plain = jax.jit(without.update)(start, (twelve, LABELS))
    key = jax.random.split(jax.random.fold_in(state.key, 0), 4)[0]
    fake = gan.sample(state, jax.random.normal(key, (12, LATENT_DIM)), LABELS)

    def cross_entropy(images):
        variables = {"params": state.params.discriminator}
        logits = np.asarray(
            discriminator.apply(variables, images, LABELS)[1]["classes"], np.float64
        )
        right = logits[np.arange(12), np.asarray(LABELS)]
        return (np.log(np.exp(logits).sum(-1)) - right).mean()

    added = {k: float(metrics[f"{k}_loss"] - plain[f"{k}_loss"]) for k in Pair._fields}
    np.testing.assert_allclose(added["generator"], 0.5 * cross_entropy(fake), rtol=1e-4)
    expected = 2.0 * (cross_entropy(fake) + cross_entropy(twelve))
    np.testing.assert_allclose(added["discriminator"], expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["generated"], 0.5 * cross_entropy(fake), rtol=1e-4)
    np.testing.assert_allclose(metrics["real"], 2.0 * cross_entropy(twelve), rtol=1e-4)


def test_penalty_is_added_to_the_loss_and_reported(twelve):
    plain = make_gan(optimizer=Pair(FROZEN, FROZEN))
    gan = make_gan(optimizer=Pair(FROZEN, FROZEN), penalty=penalties.r1(3.0))
    state = gan.init(jax.random.key(0), twelve)
    _, metrics = jax.jit(gan.update)(state, twelve)
    _, without = jax.jit(plain.update)(plain.init(jax.random.key(0), twelve), twelve)
    critic = lambda x: DISCRIMINATOR.apply({"params": state.params.discriminator}, x[None])[0]
    slopes = jax.vmap(jax.grad(critic))(twelve)
    expected = 1.5 * float(jnp.sum(jnp.square(slopes)) / 12)
    np.testing.assert_allclose(metrics["penalty"], expected, rtol=1e-5)
    added = metrics["discriminator_loss"] - without["discriminator_loss"]
    np.testing.assert_allclose(added, expected, rtol=1e-4)
    assert "penalty" not in without


def test_augmentation_reaches_real_and_fake_in_both_half_steps(twelve):
    """Augmentation by zeros makes all images equal, so all gradients of the generator vanish."""
    gan = make_gan(optimizer=SGD, augmentation=lambda key, images: 0.0 * images)
    before = gan.init(jax.random.key(0), twelve)
    after, metrics = jax.jit(gan.update)(before, twelve)
    assert float(metrics["logit_gap"]) == 0.0
    assert float(metrics["generator_gradient_norm"]) == 0.0
    assert_trees_equal(before.params.generator, after.params.generator)


def linear_discriminator(squared_norm):
    """Returns D(x) = w x with a given norm of w."""

    def init(key, x):
        w = jax.random.normal(key, (x[0].size,))
        return {"w": w * jnp.sqrt(squared_norm / jnp.sum(w**2))}, {}

    apply = lambda params, state, x, *, train, key=None: (
        x.reshape(len(x), -1) @ params["w"],
        state,
    )
    return jaxgan.Network(init, apply)


@pytest.mark.parametrize(("make", "packing"), [(penalties.r1, 1), (penalties.r2, 2)])
def test_gradient_penalties_differentiate_at_images_before_augmentation(make, packing, twelve):
    """The gradient of w (x / 2) is w / 2, so with gamma = 2 the penalty is |w|^2 / 4."""
    gan = make_gan(
        discriminator=linear_discriminator(3.983),
        augmentation=augment.pack(packing, lambda key, images: images / 2),
        penalty=make(gamma=2.0),
    )
    _, metrics = jax.jit(gan.update)(gan.init(jax.random.key(0), twelve), twelve)
    np.testing.assert_allclose(metrics["penalty"], 0.99575, rtol=1e-5)


def test_penalties_reuse_the_random_draws_of_the_loss(twelve):
    """LeCam and R2 need the logits of the loss, also of packed images in several steps."""

    def gap(view):
        return view.critic.real(view.images) - view.critic.fake(view.samples)

    noise = augment.pack(2, augment.instance_noise(1.0))
    gan = make_gan(augmentation=noise, dynamics=alternating(2), penalty=gap)
    _, metrics = jax.jit(gan.update)(gan.init(jax.random.key(0), twelve), twelve)
    np.testing.assert_allclose(metrics["penalty"], metrics["logit_gap"], rtol=1e-5)


def adapted_probabilities(loss, logits, packing=1):
    """Returns p after 320 of 1,000 images, for several constant discriminators."""
    apply = lambda params, state, x, *, train, key=None: (
        params["logit"] + 0.0 * x.reshape(len(x), -1).sum(1),
        state,
    )
    gan = make_gan(
        discriminator=jaxgan.Network(lambda key, x: ({"logit": jnp.float32(0)}, {}), apply),
        optimizer=Pair(FROZEN, FROZEN),
        loss=loss,
        augmentation=augment.pack(
            packing, augment.adaptive(lambda key, images: images, images_to_full=1000)
        ),
        bounded_logits=True,
    )
    images = jnp.linspace(-1, 1, 80 * 16).reshape(80, *SHAPE)
    start, update, found = gan.init(jax.random.key(0), images), jax.jit(gan.update), []
    for logit in logits:
        params = start.params._replace(discriminator={"logit": jnp.float32(logit)})
        state = start.replace(params=params)
        for _ in range(4):
            state, metrics = update(state, images)
        found.append(metrics["augmentation_probability"])
    return found


def test_adaptive_probability_is_kept_in_the_state(twelve):
    adaptive = augment.adaptive(lambda key, images: -images, images_to_full=120)
    gan = make_gan(optimizer=Pair(FROZEN, optax.adam(1e-2)), augmentation=adaptive)
    state, seen = gan.init(jax.random.key(0), twelve), []
    update = jax.jit(gan.update)
    for _ in range(60):
        state, metrics = update(state, twelve)
        seen.append(float(metrics["augmentation_probability"]))
    assert max(seen) > 0.15  # a dominant discriminator raises it
    steps = np.diff([0.0, *seen])
    assert set(np.round(np.abs(steps), 5)) <= {0.0, 0.1}
    assert float(state.model_state.discriminator["augmentation"]["probability"]) == pytest.approx(
        seen[-1]
    )


def test_adaptive_counts_images_and_not_packs():
    """If all real logits are high, p is 0.32 after 320 of 1,000 images."""
    found = adapted_probabilities(losses.non_saturating(), logits=[9.0], packing=4)
    np.testing.assert_allclose(found, [0.32], rtol=1e-6)


def test_adaptive_compares_logits_with_the_boundary():
    """A least-squares discriminator is undecided at 0.5."""
    found = adapted_probabilities(losses.least_squares(), logits=[0.4, 0.5, 0.6])
    np.testing.assert_allclose(found, [0.0, 0.0, 0.32], rtol=1e-6)


@pytest.mark.parametrize("loss", [losses.wasserstein(), Pair(*losses.hinge()[:2])])
def test_adaptive_needs_a_loss_with_a_boundary(loss, twelve):
    message = (
        "loss must be a jaxgan.Loss with a boundary for an augmentation that adapts; got "
        r"boundary=None. Use a loss of jaxgan.losses with a boundary, such as non_saturating\(\)."
    )
    with pytest.raises(ValueError, match=message):
        make_gan(loss=loss, augmentation=augment.adaptive(augment.translation()))
    gan = make_gan(loss=loss, augmentation=augment.instance_noise(0.1))
    state = gan.init(jax.random.key(0), twelve)
    assert "real_accuracy" not in jax.eval_shape(gan.update, state, twelve)[1]


def test_metrics_of_a_view_are_reported(twelve):
    gan = make_gan(metrics=lambda view: diagnostics.of_images(view.images, view.samples))
    _, metrics = jax.jit(gan.update)(gan.init(jax.random.key(0), twelve), twelve)
    assert float(metrics["real_distance"]) > float(metrics["fake_distance"]) > 0
    plain = make_gan()
    _, without = jax.eval_shape(plain.update, plain.init(jax.random.key(0), twelve), twelve)
    assert set(metrics) - set(without) == {"real_distance", "fake_distance"}


def test_gradient_norms_match_the_sgd_updates(twelve):
    gan = make_gan(optimizer=SGD)
    before = gan.init(jax.random.key(0), twelve)
    after, metrics = jax.jit(gan.update)(before, twelve)
    for player in Pair._fields:
        pairs = jax.tree.leaves(
            jax.tree.map(
                lambda a, b: jnp.sum((a - b) ** 2),
                *(getattr(s.params, player) for s in (before, after)),
            )
        )
        np.testing.assert_allclose(
            metrics[f"{player}_gradient_norm"], np.sqrt(sum(pairs)) / 0.1, rtol=1e-4
        )


class TestNonFiniteSteps:
    def test_nan_image_skips_only_the_discriminator(self, twelve):
        gan = make_gan(penalty=penalties.lecam())
        update = jax.jit(gan.update)
        state, metrics = update(gan.init(jax.random.key(0), twelve), twelve)
        assert int(metrics["discriminator_skipped"]) == int(metrics["generator_skipped"]) == 0
        after, metrics = update(state, twelve.at[3, 0, 0, 0].set(jnp.nan))
        assert int(metrics["discriminator_skipped"]) == 1
        assert int(metrics["generator_skipped"]) == 0  # the generator does not use real images
        for name in ("params", "opt_state", "model_state"):
            assert_trees_equal(
                getattr(after, name).discriminator, getattr(state, name).discriminator
            )
        assert tree_differs(after.params.generator, state.params.generator)
        assert int(after.step) == 2
        again, metrics = update(after, twelve)  # training continues
        assert int(metrics["discriminator_skipped"]) == 0
        assert tree_differs(again.params.discriminator, after.params.discriminator)

    @pytest.mark.parametrize("bad", [False, True])
    def test_selection_on_other_devices_equals_branching_on_cpu(self, twelve, bad, monkeypatch):
        gan, batch = make_gan(optimizer=SGD), twelve.at[3].set(jnp.nan) if bad else twelve
        state = gan.init(jax.random.key(0), twelve)
        branched = jax.jit(gan.update)(state, batch)
        monkeypatch.setattr(
            jax.lax, "platform_dependent", lambda *args, cpu, default: default(*args)
        )
        chosen = jax.jit(lambda *args: gan.update(*args))(state, batch)
        assert int(chosen[1]["discriminator_skipped"]) == bad
        for one, other in zip(jax.tree.leaves(branched), jax.tree.leaves(chosen), strict=True):
            if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)

    def test_nan_loss_skips_the_generator(self, twelve):
        loss = losses.non_saturating()._replace(generator=lambda real, fake: jnp.log(0.0 * fake))
        gan = make_gan(loss=loss, ema_half_life=10.0)
        state = gan.init(jax.random.key(0), twelve)
        after, metrics = jax.jit(gan.update)(state, twelve)
        assert int(metrics["generator_skipped"]) == 1
        for name in ("params", "opt_state"):
            assert_trees_equal(getattr(after, name).generator, getattr(state, name).generator)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(after.ema_params))

    def test_skipped_discriminator_steps_are_counted(self, twelve):
        gan = make_gan(dynamics=alternating(3))
        bad = twelve.at[0].set(jnp.inf).at[11].set(jnp.nan)
        _, metrics = jax.jit(gan.update)(gan.init(jax.random.key(0), twelve), bad)
        assert int(metrics["discriminator_skipped"]) == 2

    def test_nan_batch_of_a_member_does_not_change_the_others(self, twelve):
        gan = make_gan()
        keys = jax.vmap(jax.random.key)(jnp.arange(2))
        population = jax.vmap(gan.init, in_axes=(0, None))(keys, twelve)
        batches = jnp.stack([twelve, twelve * jnp.nan])
        after, metrics = jax.jit(jax.vmap(gan.update))(population, batches)
        np.testing.assert_array_equal(metrics["discriminator_skipped"], [0, 1])
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(after.params))


EVERYTHING = {
    "loss": losses.least_squares(),
    "penalty": penalties.add(penalties.r1(0.1), penalties.lazy(penalties.lecam(), every=2)),
    "augmentation": augment.pack(
        2, augment.adaptive(augment.translation(0.25), images_to_full=100)
    ),
    "dynamics": alternating(2),
    "ema_half_life": 50.0,
    "ema_warmup": 0.1,
    "metrics": lambda view: diagnostics.of_images(view.images, view.samples),
}


@pytest.mark.slow
def test_all_options_together_resume_exactly_and_vmap(twelve, tmp_path):
    """All options resume exactly and vmap under SGD. Adam would amplify rounding."""
    gan = make_gan(**EVERYTHING, optimizer=SGD)
    traces = []

    def update(state, images):
        traces.append(1)
        return gan.update(state, images)

    jitted = jax.jit(update)
    first = state = jax.jit(gan.init)(jax.random.key(1), twelve)
    for i in range(6):
        if i == 3:
            checkpoint.save(tmp_path, state).result()
        state, _ = jitted(state, twelve)
    assert len(traces) == 1
    resumed = checkpoint.restore(tmp_path, like=jax.eval_shape(gan.init, jax.random.key(0), twelve))
    for _ in range(3):
        resumed, _ = jitted(resumed, twelve)
    assert_trees_equal(resumed, state)

    other = first.replace(key=jax.random.key(0))
    population = jax.tree.map(lambda *leaves: jnp.stack(leaves), other, first)
    many = jax.jit(jax.vmap(gan.update, in_axes=(0, None)))
    for _ in range(6):
        population, _ = many(population, twelve)
    zero, one = (jax.tree.map(lambda x, i=i: x[i], population.params) for i in (0, 1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, state.params)
    assert not np.allclose(jax.tree.leaves(zero)[0], jax.tree.leaves(one)[0], atol=1e-4)


MIXTURE = {
    name: {"loss": getattr(losses, name)()}
    for name in (
        "minimax",
        "non_saturating",
        "least_squares",
        "hinge",
        "relativistic",
        "relativistic_average",
    )
}
MIXTURE |= {
    "wasserstein": {
        "loss": losses.wasserstein(),
        "optimizer": Pair(
            optax.rmsprop(1e-3), optax.chain(optax.rmsprop(1e-3), optimizers.clip_weights(0.1))
        ),
    },
    "wgan_gp": {
        "loss": losses.wasserstein(),
        "penalty": penalties.wgan_gp(),
    },
    "one_sided": {
        "loss": losses.wasserstein(),
        "penalty": penalties.wgan_gp(one_sided=True),
    },
    "r1": {"penalty": penalties.r1(0.1)},
    "r1_and_r2": {
        "loss": losses.relativistic(),
        "penalty": penalties.add(penalties.r1(0.1), penalties.r2(0.1)),
    },
    "lazy_r1": {"penalty": penalties.lazy(penalties.r1(0.1), every=4)},
    "dragan": {"penalty": penalties.dragan()},
    "consistency": {
        "penalty": penalties.consistency(
            lambda key, x: x + 0.05 * jax.random.normal(key, x.shape, x.dtype)
        )
    },
    "lecam": {"penalty": penalties.lecam()},
    "instance_noise": {"augmentation": augment.instance_noise(0.1)},
}


# tests/test_resume.py also trains these objectives, for fewer steps.
SLOW = {"minimax", "least_squares", "hinge", "relativistic", "r1", "r1_and_r2", "lazy_r1"}
SLOW |= {"non_saturating", "dragan", "lecam"}


@pytest.mark.parametrize("name", [slow(x) if x in SLOW else x for x in MIXTURE])
def test_every_objective_trains_a_mixture(name):
    """300 steps on a ring of eight Gaussians skip no update and stay finite."""
    angles = 2 * np.pi * np.random.default_rng(0).integers(0, 8, 2000) / 8
    noise = np.random.default_rng(1).normal(0, 0.02, (2000, 2))
    points = 0.7 * np.stack([np.cos(angles), np.sin(angles)], -1) + noise
    points = jnp.asarray(points, jnp.float32)
    settings = {
        "generator": jaxgan.networks.MLPGenerator((2,), features=(32, 32)),
        "discriminator": jaxgan.networks.MLPDiscriminator(features=(32, 32)),
        "optimizer": Pair(optax.adam(2e-3, b1=0.5), optax.adam(2e-3, b1=0.5)),
        "latents": 4,
    }
    gan = make_gan(**{**settings, **MIXTURE[name]})

    def step(state, i):
        return gan.update(state, jax.lax.dynamic_slice_in_dim(points, 50 * (i % 40), 50))

    before = gan.init(jax.random.key(0), points[:50])
    state, metrics = jax.jit(lambda s: jax.lax.scan(step, s, jnp.arange(300)))(before)
    assert int(metrics["discriminator_skipped"].sum() + metrics["generator_skipped"].sum()) == 0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((state.params, metrics)))
    assert all(tree_differs(a, b) for a, b in zip(state.params, before.params, strict=True))


class TestBadInput:
    def test_indivisible_batches_are_rejected(self, twelve):
        gan = make_gan(dynamics=alternating(2), augmentation=augment.pack(3))
        state = gan.init(jax.random.key(0), twelve)
        with pytest.raises(
            ValueError, match=r"multiple of 6 .* got float32 of shape \(9, 4, 4, 1\)"
        ):
            gan.update(state, twelve[:9])

    @pytest.mark.parametrize("name", ["num_classes", "ema_warmup"])
    def test_non_positive_numbers_are_rejected(self, name):
        with pytest.raises(ValueError, match=f"{name} must be (positive|at least 1).*; got 0"):
            make_gan(**{name: 0})

    def test_missing_and_unexpected_labels_are_rejected(self, twelve):
        gan, plain = labeled_gan(), make_gan()
        with pytest.raises(ValueError, match=r"given with num_classes=3; got None\. Pass \(images"):
            gan.init(jax.random.key(0), twelve)
        with pytest.raises(TypeError, match=r"The generator must be a network of \(latents, cond"):
            plain.init(jax.random.key(0), (twelve, LABELS))

    def test_invalid_labels_are_rejected(self, twelve):
        gan = labeled_gan()
        state = gan.init(jax.random.key(0), (twelve, LABELS))
        with pytest.raises(TypeError, match=r"integers; got float32 of shape \(12,\)"):
            gan.update(state, (twelve, LABELS.astype(jnp.float32)))
        with pytest.raises(
            ValueError, match=r"one for each example, of shape \(12,\); got \(11,\)"
        ):
            jax.jit(gan.update).lower(state, (twelve, LABELS[:11]))
        with pytest.raises(ValueError, match=r"in \[0, 3\); got 0 to 3, shape \(12,\)"):
            gan.update(state, (twelve, LABELS.at[5].set(3)))
        with pytest.raises(ValueError, match=r"in \[0, 3\); got -1 to 2"):
            gan.sample(state, jnp.zeros((2, LATENT_DIM)), jnp.array([-1, 2]))

    def test_packing_with_conditions_is_rejected(self, twelve):
        with pytest.raises(ValueError, match=r"without packing with num_classes; got pack\(2\)"):
            labeled_gan(augmentation=augment.pack(2))
        gan = make_gan(augmentation=augment.pack(2))
        with pytest.raises(ValueError, match=r"The condition must be omitted with pack; got"):
            gan.init(jax.random.key(0), (twelve, LABELS))

    def test_invalid_penalties_and_augmentations_are_rejected(self):
        with pytest.raises(TypeError, match=r"A term must be"):
            make_gan(penalty=10.0)
        with pytest.raises(TypeError):
            make_gan(augmentation="translation")

    def test_wrong_number_of_labels_is_rejected_in_an_epoch(self, twelve):
        gan = labeled_gan()
        state = gan.init(jax.random.key(0), (twelve, LABELS))
        images = jnp.zeros((12, *SHAPE), jnp.uint8)
        with pytest.raises(
            ValueError, match=r"one for each example, of shape \(12,\); got \(11,\)"
        ):
            jaxgan.training.epochs(gan, state, (images, LABELS[:11]), batch_size=4)
