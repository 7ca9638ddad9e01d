"""Compares saved, restored and continued runs with uninterrupted ones, for every feature."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from conftest import SHAPE, assert_trees_equal, make_gan

from jaxgan import (
    Pair,
    augment,
    checkpoint,
    diagnostics,
    dynamics,
    latents,
    losses,
    networks,
    optimizers,
    penalties,
    terms,
)


class ClassifyingDiscriminator(nn.Module):
    """Discriminates labeled images and also classifies them, with few parameters."""

    @nn.compact
    def __call__(self, images, labels):
        x = nn.leaky_relu(nn.Dense(8)(images.reshape(images.shape[0], -1)))
        return jnp.sum(x * nn.Embed(3, 8)(labels), -1), {"classes": nn.Dense(3)(x)}


class TranslatingGenerator(nn.Module):
    """Generates images from a dict of latents and the image that is the condition."""

    @nn.compact
    def __call__(self, latents, condition):
        x = jnp.concatenate([*jax.tree.leaves(latents), condition.reshape(len(condition), -1)], 1)
        return jnp.tanh(nn.Dense(condition[0].size)(x)).reshape(condition.shape)


class PairDiscriminator(nn.Module):
    """Discriminates pairs of images, with two logits for each pair."""

    @nn.compact
    def __call__(self, images, condition):
        x = jnp.concatenate([images, condition], -1).reshape(images.shape[0], -1)
        return nn.Dense(2)(nn.leaky_relu(nn.Dense(8)(x)))


LOSSES = {
    "minimax": losses.minimax(),
    "non_saturating": losses.non_saturating(),
    "least_squares": losses.least_squares(),
    "wasserstein": losses.wasserstein(),
    "hinge": losses.hinge(),
    "relativistic": losses.relativistic(),
    "relativistic_average": losses.relativistic_average(),
}
PENALTIES = {
    "none": None,
    "r1": penalties.r1(0.1),
    "r2": penalties.r2(0.1),
    "r1_r2": penalties.add(penalties.r1(0.1), penalties.r2(0.1)),
    "wgan_gp": penalties.wgan_gp(),
    "dragan": penalties.dragan(),
    "consistency": penalties.consistency(augment.translation(0.25)),
    "lecam": penalties.lecam(),
    "lazy_r1": penalties.lazy(penalties.r1(0.1), every=3),  # the save falls within a cycle
    "injected": penalties.inject(penalties.r1)(gamma=0.1),
}
adam = optax.adam(1e-2)


def drift_of(field):
    """Returns a term with a state, the moving average of the mean of a view's field."""

    def apply(average, view):
        mean = jnp.mean(getattr(view, field))
        average = 0.5 * average + 0.5 * jax.lax.stop_gradient(mean)
        return jnp.square(mean - 2 * average), average

    return terms.Term(lambda: jnp.zeros(()), apply)


DRIFTS = Pair({"fake_drift": drift_of("fake_logits")}, {"real_drift": drift_of("real_logits")})
FEATURES = {
    "none": {},
    "discriminator_steps": {"dynamics": dynamics.alternating(discriminator_steps=2)},
    "average": {"ema_half_life": 50.0, "ema_warmup": 0.1},
    "adaptive": {"augmentation": augment.adaptive(augment.translation(0.25), images_to_full=100)},
    "noise": {"augmentation": augment.instance_noise(optax.linear_schedule(0.1, 0.0, 6))},
    "packing": {"augmentation": augment.pack(2)},
    "metrics": {"metrics": lambda view: diagnostics.of_images(view.images, view.samples)},
    "terms": {"terms": DRIFTS},
    "schedule": {"optimizer": Pair(optax.adam(optax.linear_schedule(1e-2, 0.0, 6)), adam)},
    "clipped": {"optimizer": Pair(adam, optax.chain(adam, optimizers.clip_weights(0.05)))},
    "accumulated": {"optimizer": Pair(optax.MultiSteps(adam, 3), optax.adamw(1e-2))},
    "batch_norm": {
        "generator": networks.DCGANGenerator(SHAPE, 2, stages=1),
        "discriminator": networks.DCGANDiscriminator(2, stages=1),
    },
    "spectral_norm": {"discriminator": networks.SNGANDiscriminator(2, blocks=(True,))},
    "labels": {
        "generator": networks.SNGANGenerator(SHAPE, features=2, blocks=1, num_classes=3),
        "discriminator": ClassifyingDiscriminator(),
        "num_classes": 3,
        "terms": Pair(
            {"generator_classes": terms.fake_class_loss(0.5)},
            {"real_classes": terms.real_class_loss(0.5), "fake_classes": terms.fake_class_loss()},
        ),
    },
    "packs_in_steps": {
        "augmentation": augment.pack(
            2, augment.adaptive(augment.translation(0.25), images_to_full=100)
        ),
        "dynamics": dynamics.alternating(discriminator_steps=3),
        "terms": DRIFTS,
    },
    "condition": {
        "generator": TranslatingGenerator(),
        "discriminator": PairDiscriminator(),
        "latents": latents.infogan(2, (3,), 1),
        "dynamics": dynamics.alternating(discriminator_steps=2),
        "terms": DRIFTS,
    },
    "bfloat16": {
        "generator": networks.MLPGenerator(SHAPE, features=(8, 8), dtype=jnp.bfloat16),
        "discriminator": networks.MLPDiscriminator(features=(8, 8), dtype=jnp.bfloat16),
    },
}
# Each loss, penalty and feature occurs at least once; the slow test covers all combinations.
SOME = list(zip(itertools.cycle(LOSSES), itertools.cycle(PENALTIES), FEATURES))


def check(tmp_path, options, members=None):
    """Compares four steps with two steps, a save, a restore and two more steps."""
    gan = make_gan(**options)
    images = jnp.tanh(jax.random.normal(jax.random.key(7), (6, *SHAPE)))
    batch = images
    if "num_classes" in options:
        batch = (images, jnp.arange(6) % 3)
    if isinstance(options.get("generator"), TranslatingGenerator):
        batch = (images, images[::-1])
    init, update = gan.init, gan.update
    key = jax.random.key(1)
    if members:
        key = jax.random.split(key, members)
        init, update = jax.vmap(init, in_axes=(0, None)), jax.vmap(update, in_axes=(0, None))
    init, update = jax.jit(init), jax.jit(update)
    state = start = init(key, batch)
    for i in range(4):
        if i == 2:
            checkpoint.save(tmp_path, state).result()
        state, metrics = update(state, batch)
        assert not any(metrics[f"{player}_skipped"].any() for player in Pair._fields)
    resumed = checkpoint.restore(tmp_path, like=jax.eval_shape(init, key, batch))
    for _ in range(2):
        resumed, _ = update(resumed, batch)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(resumed.params))
    assert_trees_equal(resumed, state)
    with pytest.raises(AssertionError):
        assert_trees_equal(start.params, state.params)


@pytest.mark.parametrize(("loss", "penalty", "feature"), SOME)
def test_resume_is_exact(tmp_path, loss, penalty, feature):
    options = {"loss": LOSSES[loss], "penalty": PENALTIES[penalty], **FEATURES[feature]}
    if feature in ("adaptive", "packs_in_steps"):  # needs a boundary, which some losses lack
        options["loss"] = options["loss"]._replace(boundary=0.0)
    check(tmp_path, options)


def test_resume_of_a_population_is_exact(tmp_path):
    options = {"penalty": PENALTIES["lazy_r1"], **FEATURES["adaptive"], **FEATURES["average"]}
    check(tmp_path, options, members=3)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("feature", FEATURES)
def test_resume_of_every_combination_is_exact(tmp_path, loss, penalty, feature):
    test_resume_is_exact(tmp_path, loss, penalty, feature)
