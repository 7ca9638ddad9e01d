"""Trains GANs on one device and on a mesh of four, and prints the differences as JSON.

    python tests/mesh_programs.py plain relativistic_average

The tests run this script in another process, because a process cannot change its devices.
"""

import functools
import json
import re
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec

import jaxgan
from jaxgan import (
    Pair,
    augment,
    diagnostics,
    distributed,
    dynamics,
    latents,
    losses,
    networks,
    penalties,
    population,
    terms,
    training,
)
from jaxgan.images import normalize_batch

SHAPE, NUM_IMAGES, BATCH, NUM_STEPS = (8, 8, 1), 150, 48, 4
DEVICES = 4
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
SGD = optax.sgd(0.05)  # Adam amplifies rounding


class ClassifyingDiscriminator(nn.Module):
    """Discriminates labeled images and also classifies them."""

    @nn.compact
    def __call__(self, images, labels):
        x = nn.leaky_relu(nn.Dense(8)(images.reshape(images.shape[0], -1)))
        return jnp.sum(x * nn.Embed(3, 8)(labels), -1), {"classes": nn.Dense(3)(x)}


class PatchDiscriminator(nn.Module):
    """Returns a logit for each patch, on two scales, and features."""

    @nn.compact
    def __call__(self, images):
        x = nn.leaky_relu(nn.Conv(4, (3, 3), 2)(images))
        return (nn.Conv(1, (3, 3))(x), nn.Conv(1, (3, 3), 2)(x)), {"features": x}


class TranslatingGenerator(nn.Module):
    """Generates images from a dict of latents, and a condition of images and numbers."""

    @nn.compact
    def __call__(self, latents, condition):
        seen = jax.tree.leaves((latents, condition))
        x = jnp.concatenate([x.reshape(x.shape[0], -1) for x in seen], 1)
        return jnp.tanh(nn.Dense(64)(x)).reshape(-1, *SHAPE)


class PairDiscriminator(nn.Module):
    """Discriminates images together with their condition."""

    @nn.compact
    def __call__(self, images, condition):
        seen = jax.tree.leaves((images, condition))
        x = jnp.concatenate([x.reshape(x.shape[0], -1) for x in seen], 1)
        return nn.Dense(1)(nn.leaky_relu(nn.Dense(8)(x)))[:, 0]


def l1(view):
    return jnp.mean(jnp.abs(view.fake - view.condition["image"]))


def match_features(view):
    means = [jnp.mean(x["features"], 0) for x in (view.real_extras, view.fake_extras)]
    return jnp.mean(jnp.square(means[0] - means[1]))


def drift():
    """Returns a term with a state, a moving average of the real logits of the first scale."""

    def apply(average, view):
        mean = jnp.mean(jax.tree.leaves(view.real_logits)[0])
        new = 0.5 * average + 0.5 * jax.lax.stop_gradient(mean.astype(jnp.float32))
        return jnp.square(mean - new.astype(mean.dtype)), new

    return terms.Term(lambda: jnp.zeros(()), apply)


CONVOLUTIONS = {
    "generator": networks.DCGANGenerator(SHAPE, 2, stages=1),
    "discriminator": networks.DCGANDiscriminator(2, stages=1),
}
CONFIGURATIONS = {
    "plain": {},
    "minimax_r1": {"loss": losses.minimax(), "penalty": penalties.r1(0.1)},
    "least_squares_r2": {"loss": losses.least_squares(), "penalty": penalties.r2(0.1)},
    "wgan_gp": {"loss": losses.wasserstein(), "penalty": penalties.wgan_gp()},
    "relativistic_r1_r2": {
        "loss": losses.relativistic(),
        "penalty": penalties.add(penalties.r1(0.1), penalties.r2(0.1)),
    },
    "relativistic_average": {"loss": losses.relativistic_average()},
    "hinge_spectral_norm": {
        "loss": losses.hinge(),
        "generator": networks.SNGANGenerator(SHAPE, features=2, blocks=1),
        "discriminator": networks.SNGANDiscriminator(2, blocks=(True,)),
    },
    "lecam": {"penalty": penalties.lecam()},
    "dragan": {"penalty": penalties.dragan()},
    "consistency": {"penalty": penalties.consistency(augment.translation(0.25))},
    "lazy_r1_steps": {
        "penalty": penalties.lazy(penalties.r1(0.1), every=3),
        "dynamics": dynamics.alternating(3),
    },
    "packing_steps": {"augmentation": augment.pack(2), "dynamics": dynamics.alternating(2)},
    "batch_norm": CONVOLUTIONS,
    "minibatch_stddev": {
        **CONVOLUTIONS,
        "discriminator": networks.DCGANDiscriminator(2, stages=1, minibatch_stddev=4),
    },
    "diffaugment": {"augmentation": augment.diffaugment()},
    "ada": {"augmentation": augment.adaptive(augment.ada(), images_to_full=1000)},
    "labels": {
        "generator": networks.SNGANGenerator(SHAPE, features=2, blocks=1, num_classes=3),
        "discriminator": ClassifyingDiscriminator(),
        "num_classes": 3,
        "terms": Pair(
            {"generator_classes": terms.fake_class_loss(0.5)},
            {"real_classes": terms.real_class_loss(0.5), "fake_classes": terms.fake_class_loss()},
        ),
    },
    "patches": {
        "discriminator": PatchDiscriminator(),
        "loss": losses.least_squares(),
        "penalty": penalties.r1(0.1),
        "terms": Pair({"features": match_features}, {"drift": drift()}),
    },
    "condition": {
        "generator": TranslatingGenerator(),
        "discriminator": PairDiscriminator(),
        "latents": latents.infogan(2, (3,), 1),
        "terms": Pair({"l1": l1}, {"drift": drift()}),
        "dynamics": dynamics.alternating(2),
    },
    "everything": {
        "loss": losses.least_squares(),
        "penalty": penalties.add(penalties.r1(0.1), penalties.lazy(penalties.lecam(), every=2)),
        "augmentation": augment.pack(
            2, augment.adaptive(augment.translation(0.25), images_to_full=100)
        ),
        "dynamics": dynamics.alternating(2),
        "ema_half_life": 50.0,
        "ema_warmup": 0.1,
        "metrics": lambda view: diagnostics.of_images(view.images, view.samples),
    },
}
IMAGES = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, *SHAPE), dtype=np.uint8)


def make_gan(**changes):
    arguments = {
        "generator": networks.MLPGenerator(SHAPE, features=(8, 8)),
        "discriminator": networks.MLPDiscriminator(features=(8, 8)),
        "loss": losses.non_saturating(real_label=0.9),
        "optimizer": Pair(SGD, SGD),
        "latents": 3,
    }
    return jaxgan.gan(**{**arguments, **changes})


def data_of(name):
    """Returns the training data of a configuration."""
    numbers = np.arange(NUM_IMAGES)
    if name == "labels":
        return IMAGES, numbers % 3
    if name == "condition":
        return IMAGES, {"image": IMAGES[::-1], "style": np.sin(numbers, dtype=np.float32)[:, None]}
    return IMAGES


def in_float64(batch):
    """Scales images as `normalize_batch` does, in the dtype of the noise and of the penalties."""

    def convert(x):
        scaled = x.astype(jnp.float64) / 127.5 - 1 if x.dtype == jnp.uint8 else x
        return scaled.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else scaled

    return jax.tree.map(convert, batch)


def train(gan, state, data, mesh=None, *, split=False, preprocess=in_float64):
    """Returns the result of a few steps, and the text of the compiled program."""
    if mesh is not None:
        data = (distributed.split if split else distributed.place)(mesh, data)
        state = distributed.place(mesh, state)
    sizes = {"num_steps": NUM_STEPS, "batch_size": BATCH}
    steps = functools.partial(training.steps, gan, **sizes, mesh=mesh, preprocess=preprocess)
    donated = jax.tree.map(jnp.copy, state) if mesh is None else state
    compiled = jax.jit(steps, donate_argnums=0).lower(donated, data).compile()
    return compiled(donated, data), compiled.as_text()


def init(gan, data, dtype):
    first = jax.tree.map(lambda x: x[:1], data)
    state = gan.init(jax.random.key(0), normalize_batch(first))
    cast = lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x
    found = jax.tree.map(cast, state)
    # The states of terms and ADA's probability are always float32.
    kept = lambda own, old: own | {name: old[name] for name in own if name != "network"}
    return found.replace(model_state=Pair(*map(kept, found.model_state, state.model_state)))


def values(tree):
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    arrays = (jax.random.key_data(x) if is_key(x) else x for x in jax.tree.leaves(tree))
    return [np.asarray(x) for x in arrays if x.size]


def difference(a, b):
    """Returns the largest difference between two pytrees."""
    return max(
        float(np.abs(np.asarray(x, float) - np.asarray(y, float)).max())
        for x, y in zip(values(a), values(b), strict=True)
    )


def describe(text):
    """Describes a compiled program of training steps."""
    lines = [
        (kind, line)
        for line in text.splitlines()
        for kind in COLLECTIVES
        if re.search(rf" {kind}(-start)?\(", line)
    ]
    return {
        "collectives": sorted({kind for kind, _ in lines}),
        "outside_of_the_loop": [line for _, line in lines if "while/body" not in line],
        "whole_batches": sorted({*re.findall(rf"f(?:32|64)\[{BATCH}[,\]][\d,]*", text)}),
        "whole_datasets": f"u8[{NUM_IMAGES}," in text,
    }


def compare(name):
    """Compares a configuration on four devices with one device, in float64."""
    gan, data = make_gan(**CONFIGURATIONS[name]), data_of(name)
    state = init(gan, data, jnp.float64)
    expected, _ = train(gan, state, data)
    found, text = train(gan, state, data, MESH)
    return {
        "steps": int(found[0].step),
        "skipped": int(sum(found[1][f"{player}_skipped"].sum() for player in Pair._fields)),
        "difference": difference(expected, found),
        "replicated": all(x.sharding.is_fully_replicated for x in jax.tree.leaves(found)),
        **describe(text),
    }


def compare_split():
    """Compares images that are split over the devices with images on one device."""
    gan = make_gan(dynamics=dynamics.alternating(2))
    state = init(gan, IMAGES, jnp.float64)
    expected, _ = train(gan, state, IMAGES)
    found, text = train(gan, state, IMAGES, MESH, split=True)
    return {"difference": difference(expected, found), **describe(text)}


def compare_in_float32(name):
    """Returns whether a mesh of one device changes no bit."""
    gan, data = make_gan(**CONFIGURATIONS[name]), data_of(name)
    run = functools.partial(train, gan, init(gan, data, jnp.float32), data)
    meshes = (None, distributed.mesh(jax.devices()[:1]))
    results = (values(run(mesh, preprocess=normalize_batch)[0]) for mesh in meshes)
    pair = zip(*results, strict=True)
    return {"equal": all(np.array_equal(a, b) for a, b in pair)}


def compare_populations():
    """Trains two members on two devices each."""
    gan = make_gan(dynamics=dynamics.alternating(2))
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    states = jax.vmap(gan.init, in_axes=(0, None))(keys, jnp.zeros((1, *SHAPE)))
    mesh = distributed.mesh(members=2)
    epoch = functools.partial(training.epochs, gan, batch_size=BATCH, preprocess=in_float64)
    alone = jax.jit(population.each(epoch))(states, IMAGES)
    spread = population.shard(population.each(functools.partial(epoch, mesh=mesh)), mesh)
    args = (
        distributed.place(mesh, states, PartitionSpec("members")),
        distributed.place(mesh, IMAGES),
    )
    compiled = jax.jit(spread, donate_argnums=0).lower(*args).compile()
    found, text = compiled(*args), compiled.as_text()
    return {
        "difference": difference(alone, found),
        "groups": sorted({*re.findall(r"replica_groups=(\[[\d,]+\])", text)}),
        "specs": sorted({str(x.sharding.spec) for x in jax.tree.leaves(found)}),
        **describe(text),
    }


def compare_samples():
    gan = make_gan()
    state, latents = init(gan, IMAGES, jnp.float64), np.ones((8, 3))
    split = distributed.place(MESH, latents, PartitionSpec("data"))
    found = jax.jit(gan.sample)(distributed.place(MESH, state), split)
    expected = jax.jit(gan.sample)(state, latents)
    return {"difference": difference(expected, found), "spec": str(found.sharding.spec)}


def describe_padding():
    rows = distributed.split(MESH, IMAGES).rows
    return {
        "shards": [shard.data.shape for shard in rows.addressable_shards],
        "sum": int(rows[NUM_IMAGES:].sum()),
        "equal": bool((rows[:NUM_IMAGES] == IMAGES).all()),
    }


OTHERS = {
    "padding": describe_padding,
    "population": compare_populations,
    "sample": compare_samples,
    "split": compare_split,
}

if __name__ == "__main__":
    found = {}
    if sys.argv[1] == "float32":
        found = {name: compare_in_float32(name) for name in sys.argv[2:]}
    else:
        jax.config.update("jax_enable_x64", True)
        MESH = distributed.mesh()
        for name in sys.argv[1:]:
            found[name] = OTHERS[name]() if name in OTHERS else compare(name)
    print(json.dumps(found))
