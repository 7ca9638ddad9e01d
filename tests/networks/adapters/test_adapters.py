"""One GAN written in four libraries trains alike; statistics, vectors and keys against numpy.

`Net` is the classic dense, batch norm, dense network, a generator if it has an image shape and a
discriminator if not. `Rich` has all that an adapter must carry: labels, spectral norm, batch
statistics and dropout.
"""

import functools
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import assert_trees_equal, tree_differs
from flax import nnx

import jaxgan
from jaxgan import Pair, checkpoint
from jaxgan.networks import as_network, from_equinox, from_haiku, from_linen, from_nnx
from jaxgan.types import Network

SHAPE, LATENT_DIM, BATCH, STEPS = (28, 28, 1), 10, 16, 8
WIDTH, MOMENTUM, EPSILON = 12, 0.9, 1e-5
SMALL, CLASSES = (4, 4, 1), 3
LIBRARIES = ("linen", "nnx", "equinox", "haiku")


@pytest.fixture(scope="module", params=LIBRARIES)
def name(request):
    """Of the module, so that all tests of a library follow each other and share its programs."""
    return request.param


# Most of the time here goes into compiling, and small networks need no optimised code.
quick_jit = functools.partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    },
)

# ---- The same networks in four libraries ---------------------------------------------------------


def activate(x, shape):
    return jax.nn.relu(x) if shape else jax.nn.leaky_relu(x, 0.2)


def finish(x, shape):
    return jnp.tanh(x).reshape(x.shape[0], *shape) if shape else x[:, 0]


def with_labels(x, labels):
    return jnp.concatenate([x.reshape(x.shape[0], -1), jax.nn.one_hot(labels, CLASSES)], axis=1)


class LinenNet(nn.Module):
    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(WIDTH)(x.reshape(x.shape[0], -1))
        x = nn.BatchNorm(use_running_average=not train, momentum=MOMENTUM)(x)
        return finish(nn.Dense(math.prod(self.shape))(activate(x, self.shape)), self.shape)


class LinenRich(nn.Module):
    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, x, labels, train):
        x = nn.SpectralNorm(nn.Dense(WIDTH))(with_labels(x, labels), update_stats=train)
        x = nn.BatchNorm(use_running_average=not train, momentum=MOMENTUM)(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return finish(nn.Dense(math.prod(self.shape))(x), self.shape)


class LinenSpectral(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.SpectralNorm(nn.Dense(4, use_bias=False))(x, update_stats=train)


class NnxNet(nnx.Module):
    def __init__(self, features, shape, rngs):
        self.shape = shape
        self.first = nnx.Linear(features, WIDTH, rngs=rngs)
        self.norm = nnx.BatchNorm(WIDTH, momentum=MOMENTUM, rngs=rngs)
        self.last = nnx.Linear(WIDTH, math.prod(shape), rngs=rngs)

    def __call__(self, x):
        x = self.norm(self.first(x.reshape(x.shape[0], -1)))
        return finish(self.last(activate(x, self.shape)), self.shape)


class NnxRich(nnx.Module):
    def __init__(self, features, shape, rngs):
        self.shape = shape
        first = nnx.Linear(features + CLASSES, WIDTH, rngs=rngs)
        norm = nnx.BatchNorm(WIDTH, momentum=MOMENTUM, rngs=rngs)
        last = nnx.Linear(WIDTH, math.prod(shape), rngs=rngs)
        layers = [nnx.SpectralNorm(first, rngs=rngs), norm, nnx.Dropout(0.5, rngs=rngs), last]
        self.layers = nnx.List(layers)  # integers in the paths of its arrays

    def __call__(self, x, labels):
        x = with_labels(x, labels)
        for layer in self.layers:
            x = layer(x)
        return finish(x, self.shape)


class EquinoxNet(eqx.Module):
    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    last: eqx.nn.Linear
    shape: tuple = eqx.field(static=True)

    def __init__(self, features, shape, key):
        keys = jax.random.split(key)
        self.shape = shape
        self.first = eqx.nn.Linear(features, WIDTH, key=keys[0])
        self.norm = eqx.nn.BatchNorm(WIDTH, "batch", momentum=MOMENTUM, mode="batch")
        self.last = eqx.nn.Linear(WIDTH, math.prod(shape), key=keys[1])

    def __call__(self, x, state):
        x, state = self.norm(self.first(x.ravel()), state)
        return finish(self.last(activate(x, self.shape))[None], self.shape)[0], state


class EquinoxRich(eqx.Module):
    layers: list
    permutation: jax.Array  # integers are no parameters, nor is what numpy made
    offset: np.ndarray
    shape: tuple = eqx.field(static=True)

    def __init__(self, features, shape, key):
        keys = jax.random.split(key, 4)
        first = eqx.nn.Linear(features + CLASSES, WIDTH, key=keys[0])
        self.layers = [
            eqx.nn.SpectralNorm(first, "weight", key=keys[1]),
            eqx.nn.BatchNorm(WIDTH, "batch", momentum=MOMENTUM, mode="batch"),
            eqx.nn.Dropout(0.5),
            eqx.nn.Linear(WIDTH, math.prod(shape), key=keys[2]),
        ]
        self.permutation = jax.random.permutation(keys[3], WIDTH)
        self.offset = np.full(WIDTH, 0.5, np.float32)
        self.shape = shape

    def __call__(self, x, labels, state, key):
        spectral, norm, dropout, last = self.layers
        x, state = spectral(with_labels(x[None], labels[None])[0], state)
        x, state = norm(x[self.permutation] + self.offset, state)
        return finish(last(dropout(x, key=key))[None], self.shape)[0], state


def haiku_net(shape, x, train):
    x = hk.Linear(WIDTH)(x.reshape(x.shape[0], -1))
    x = hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=MOMENTUM)(x, train)
    return finish(hk.Linear(math.prod(shape))(activate(x, shape)), shape)


def haiku_spectral(features, x, train):
    kernel = hk.get_parameter(
        "w", (x.shape[-1], features), init=hk.initializers.VarianceScaling(1.0)
    )
    return x @ hk.SpectralNorm()(kernel, update_stats=train)


def haiku_rich(shape, x, labels, train):
    x = haiku_spectral(WIDTH, with_labels(x, labels), train)
    x = hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=MOMENTUM)(x, train)
    x = hk.dropout(hk.next_rng_key(), 0.5, x) if train else x
    return finish(hk.Linear(math.prod(shape))(x), shape)


def make_nnx_spectral(rngs):
    return nnx.SpectralNorm(nnx.Linear(6, 4, use_bias=False, rngs=rngs), rngs=rngs)


def make_equinox_spectral(key):
    linear = eqx.nn.Linear(6, 4, use_bias=False, key=key)
    return eqx.nn.SpectralNorm(linear, "weight", key=key)


# ---- What a test needs to know of each library ---------------------------------------------------


class Library(NamedTuple):
    net: Callable[[int, tuple], Network]  # (features, shape)
    rich: Callable[[int, tuple], Network]
    spectral: Network  # 6 features to 4, without a bias
    places: Any  # what becomes what in `Net`: linen's name to (path, is transposed)
    averages: Callable[[Any], tuple[Any, Any]]  # of `Net`'s model state: mean and variance
    first: tuple[float, float]  # what these are before the first pass
    debiased: bool


def get(tree, path):
    for name in path.split("/"):
        tree = getattr(tree, name) if isinstance(tree, eqx.Module) else tree[name]
    return tree


FLAX = ("first/kernel", "first/bias", "norm/scale", "norm/bias", "last/kernel", "last/bias")
LINEN = tuple(
    name.replace("first", "Dense_0").replace("norm", "BatchNorm_0").replace("last", "Dense_1")
    for name in FLAX
)
EQUINOX = ("first/weight", "first/bias", "norm/weight", "norm/bias", "last/weight", "last/bias")


def statistics_of_haiku(model_state):
    return tuple(model_state[f"batch_norm/~/{of}_ema"]["average"][0] for of in ("mean", "var"))


def statistics_of_equinox(model_state):
    return next(leaf for leaf in state_values(model_state["state"]) if isinstance(leaf, tuple))


def state_values(state):
    """What an `eqx.nn.State` holds: counters, and tuples of arrays."""
    return jax.tree.leaves(
        state, is_leaf=lambda x: isinstance(x, tuple) and isinstance(x[0], jax.Array)
    )


@functools.cache
def library(name) -> Library:
    match name:
        case "linen":
            return Library(
                lambda features, shape: from_linen(LinenNet(shape)),
                lambda features, shape: from_linen(LinenRich(shape)),
                from_linen(LinenSpectral()),
                LINEN,
                lambda s: tuple(s["batch_stats"]["BatchNorm_0"][k] for k in ("mean", "var")),
                (0.0, 1.0),
                False,
            )
        case "nnx":
            return Library(
                lambda features, shape: from_nnx(lambda rngs: NnxNet(features, shape, rngs)),
                lambda features, shape: from_nnx(lambda rngs: NnxRich(features, shape, rngs)),
                from_nnx(make_nnx_spectral),
                FLAX,
                lambda s: (s["norm"]["mean"], s["norm"]["var"]),
                (0.0, 1.0),
                False,
            )
        case "equinox":
            return Library(
                lambda features, shape: from_equinox(lambda key: EquinoxNet(features, shape, key)),
                lambda features, shape: from_equinox(lambda key: EquinoxRich(features, shape, key)),
                from_equinox(make_equinox_spectral),
                EQUINOX,
                statistics_of_equinox,
                (0.0, 1.0),
                False,  # it keeps the biased average, and divides where it is used
            )
        case "haiku":
            return Library(
                lambda features, shape: from_haiku(functools.partial(haiku_net, shape)),
                lambda features, shape: from_haiku(functools.partial(haiku_rich, shape)),
                from_haiku(functools.partial(haiku_spectral, 4)),
                (
                    "linear/w",
                    "linear/b",
                    "batch_norm/scale",
                    "batch_norm/offset",
                    "linear_1/w",
                    "linear_1/b",
                ),
                statistics_of_haiku,
                (0.0, 0.0),
                True,
            )


def weights(name, params) -> dict[str, np.ndarray]:
    """The parameters of `Net` by nnx's names, as numpy arrays, kernels `[in, out]`."""
    found = [np.asarray(get(params, path)) for path in library(name).places]
    found = [x.T if name == "equinox" and x.ndim == 2 else x for x in found]
    found = [x.reshape(-1) if "norm" in here else x for here, x in zip(FLAX, found, strict=True)]
    return dict(zip(FLAX, found, strict=True))


def translate(name, values: dict[str, np.ndarray], like):
    """The parameters of `Net` in a library's own form."""
    leaves, structure = jax.tree.flatten(like)
    places = [get(like, path) for path in library(name).places]
    arranged = [next(i for i, place in enumerate(places) if place is leaf) for leaf in leaves]
    values = [values[here] for here in FLAX]
    values = [x.T if name == "equinox" and x.ndim == 2 else x for x in values]
    fitted = [jnp.asarray(values[i].reshape(leaves[n].shape)) for n, i in enumerate(arranged)]
    return jax.tree.unflatten(structure, fitted)


# ---- The same GAN trains to the same losses ------------------------------------------------------


class Run(NamedTuple):
    states: list
    losses: np.ndarray  # [steps, 2]
    batches: jax.Array


@functools.cache
def trained(name) -> Run:
    """`STEPS` updates from parameters and images that are the same for every library."""
    net = library(name).net
    gan = jaxgan.gan(
        net(LATENT_DIM, SHAPE),
        net(math.prod(SHAPE), ()),
        jaxgan.losses.non_saturating(real_label=0.9),
        Pair(optax.adam(1e-3, b1=0.5), optax.adam(1e-3, b1=0.5)),
        LATENT_DIM,
    )
    random = np.random.default_rng(0)
    batches = jnp.asarray(random.uniform(-1, 1, (STEPS, BATCH, *SHAPE)), jnp.float32)
    state = quick_jit(gan.init)(jax.random.key(7), batches[0])
    first = [weights(name, params) for params in state.params]
    drawn = [{k: random.normal(0, 0.2, x.shape).astype("f") for k, x in w.items()} for w in first]
    for w in drawn:
        w["norm/scale"] += 1.0
    state = state.replace(
        params=Pair(
            *(translate(name, w, like) for w, like in zip(drawn, state.params, strict=True))
        )
    )
    update, states, losses = quick_jit(gan.update), [state], []
    for batch in batches:
        state, metrics = update(states[-1], batch)
        states.append(state)
        losses.append([metrics["discriminator_loss"], metrics["generator_loss"]])
    return Run(states, np.array(losses), batches)


def test_the_same_gan_has_the_same_losses_at_every_step(name):
    ours, linen = trained(name), trained("linen")
    assert np.ptp(linen.losses, axis=0).min() > 0.05  # they do move
    np.testing.assert_allclose(ours.losses, linen.losses, rtol=2e-5)


def layers_in_numpy(weights, x, shape):
    """A training pass of `Net` in float64: its output, and what its batch norm saw."""
    w = {k: v.astype(np.float64) for k, v in weights.items()}
    x = np.asarray(x, np.float64).reshape(len(x), -1) @ w["first/kernel"] + w["first/bias"]
    mean, variance = x.mean(0), x.var(0)
    x = (x - mean) / np.sqrt(variance + EPSILON) * w["norm/scale"] + w["norm/bias"]
    x = np.where(x > 0, x, 0.0 if shape else 0.2 * x) @ w["last/kernel"] + w["last/bias"]
    return (np.tanh(x).reshape(-1, *shape) if shape else x[:, 0]), (mean, variance)


def averaged(name, passes):
    """The running averages after some passes, by the library's own convention."""
    averages = list(library(name).first)
    for seen in passes:
        averages = [MOMENTUM * a + (1 - MOMENTUM) * x for a, x in zip(averages, seen, strict=True)]
    return [a / (1 - MOMENTUM ** len(passes) if library(name).debiased else 1) for a in averages]


def test_statistics_are_those_of_the_real_then_the_fake_batch(name):
    """Two passes a step in the discriminator, real first; one in the generator; and no other."""
    states, _, batches = trained(name)
    seen = Pair([], [])
    for state, batch in zip(states[:-1], batches, strict=True):
        w = Pair(*(weights(name, params) for params in state.params))
        latent_key = jax.random.split(jax.random.fold_in(state.key, state.step), 4)[0]
        latents = jax.random.normal(latent_key, (BATCH, LATENT_DIM))
        fake, statistics = layers_in_numpy(w.generator, latents, SHAPE)
        seen.generator.append(statistics)
        for images in (batch, fake):
            seen.discriminator.append(layers_in_numpy(w.discriminator, images, ())[1])
    for player in Pair._fields:
        found = library(name).averages(getattr(states[-1].model_state, player))
        expected = averaged(name, getattr(seen, player))
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-5)


# ---- Spectral norm against numpy -----------------------------------------------------------------


def test_spectral_norm_is_numpys_and_its_vectors_are_model_state(name):
    network = library(name).spectral
    x = jnp.ones((2, 6))
    params, model_state = network.init(jax.random.key(3), x)
    (weight,) = jax.tree.leaves(params)  # and nothing but the weight is a parameter
    before = jax.tree.map(np.array, (params, model_state))
    step = functools.partial(network.apply, params, train=True, key=jax.random.key(0))
    # Without jit nothing protects the arguments from a library that writes into what it is given.
    assert_trees_equal(step(model_state, x), step(model_state, x))
    assert_trees_equal(jax.tree.map(np.array, (params, model_state)), before)
    moved, _ = jax.lax.scan(lambda state, _: (step(state, x)[1], None), model_state, None, 200)
    used, _ = network.apply(params, moved, jnp.eye(6), train=False)
    raw = np.asarray(weight, np.float64)
    raw = raw.T if name == "equinox" else raw
    left, singular, right = np.linalg.svd(raw)
    assert abs(singular[0] - 1.0) > 0.02
    np.testing.assert_allclose(np.linalg.svd(np.asarray(used))[1][0], 1.0, atol=1e-4)
    np.testing.assert_allclose(used, raw / singular[0], atol=1e-4)
    vectors = [np.ravel(leaf) for leaf in jax.tree.leaves(moved) if leaf.size > 1]
    assert vectors
    for vector in vectors:
        expected = left[:, 0] if vector.size == 6 else right[0]
        np.testing.assert_allclose(abs(vector @ expected), np.linalg.norm(vector), atol=1e-4)
    assert tree_differs(model_state, moved)


# ---- All at once: labels, dropout, statistics, vectors -------------------------------------------


class RichRun(NamedTuple):
    gan: jaxgan.GAN
    update: Callable
    images: jax.Array
    labels: jax.Array
    population: jaxgan.TrainState  # of two seeds, at step 0
    states: list[jaxgan.TrainState]  # of the first seed, step by step


@functools.cache
def rich_run(name) -> RichRun:
    """Four steps of a GAN with everything.

    No Adam here: batch norm takes the bias before it away, so the gradient of that bias is nothing
    but rounding, which Adam would make as large as any other.
    """
    rich = library(name).rich
    gan = jaxgan.gan(
        rich(LATENT_DIM, SMALL),
        rich(math.prod(SMALL), ()),
        jaxgan.losses.non_saturating(),
        Pair(optax.sgd(0.1, momentum=0.5), optax.sgd(0.1, momentum=0.5)),
        LATENT_DIM,
        num_classes=CLASSES,
        ema_half_life=100.0,
    )
    images = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (BATCH, *SMALL)), jnp.float32)
    labels = jnp.arange(BATCH) % CLASSES
    init = quick_jit(jax.vmap(gan.init, in_axes=(0, None, None)))
    population = init(jax.vmap(jax.random.key)(jnp.arange(2)), images, labels)
    update, states = quick_jit(gan.update), [member(population, 0)]
    for _ in range(4):
        states.append(update(states[-1], images, labels)[0])
    return RichRun(gan, update, images, labels, population, states)


def member(population, i):
    # On a device for good, as what comes from a checkpoint is: or else `update` compiles again.
    return jax.device_put(jax.tree.map(lambda x: x[i], population), jax.devices()[0])


@functools.cache
def rich_passes(name):
    """The generator's passes in training, `(x, labels, key)`, and without, `(x, labels)`."""
    network, state = library(name).rich(LATENT_DIM, SMALL), rich_run(name).states[2]
    arguments = state.params.generator, state.model_state.generator
    training = quick_jit(
        lambda x, labels, key: network.apply(*arguments, x, labels, train=True, key=key)
    )
    calm = quick_jit(lambda x, labels: network.apply(*arguments, x, labels, train=False, key=None))
    return training, calm, arguments[1]


def test_dropout_follows_its_key_and_sleeps_without_training(name):
    """Every example is the same, so dropout alone can tell the rows apart."""
    training, calm, model_state = rich_passes(name)
    x, labels = jnp.ones((BATCH, LATENT_DIM)), jnp.zeros(BATCH, jnp.int32)
    first, moved = training(x, labels, jax.random.key(1))
    np.testing.assert_array_equal(first, training(x, labels, jax.random.key(1))[0])
    assert tree_differs(first, training(x, labels, jax.random.key(2))[0])
    assert len(np.unique(first, axis=0)) > BATCH // 2
    assert tree_differs(moved, model_state)
    y, still = calm(x, labels)
    np.testing.assert_allclose(y, jnp.broadcast_to(y[:1], y.shape), atol=1e-5)
    assert_trees_equal(still, model_state)


def test_labels_reach_the_network(name):
    _, calm, _ = rich_passes(name)
    y, _ = calm(jnp.ones((BATCH, LATENT_DIM)), jnp.arange(BATCH) % CLASSES)
    np.testing.assert_allclose(y[0], y[CLASSES], atol=1e-5)
    assert np.abs(y[0] - y[1]).max() > 1e-3


def test_a_checkpoint_comes_back_to_the_bit_and_goes_on_as_the_run_did(name, tmp_path):
    gan, update, images, labels, _, states = rich_run(name)
    checkpoint.save(tmp_path, states[2]).result()
    like = jax.eval_shape(gan.init, jax.random.key(0), images, labels)
    state = checkpoint.restore(tmp_path, like=like)
    assert_trees_equal(state, states[2])
    for _ in range(2):
        state, _ = update(state, images, labels)
    assert_trees_equal(state, states[4])


def test_two_seeds_in_one_program_are_two_runs(name):
    """Also: the state is arrays only, can be donated, and keeps its structure in a scan."""
    gan, update, images, labels, population, _ = rich_run(name)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(population))

    def two_steps(state):
        return jax.lax.scan(lambda state, _: gan.update(state, images, labels), state, None, 2)[0]

    donated = jax.tree.map(jnp.copy, population)
    after = quick_jit(jax.vmap(two_steps), donate_argnums=0)(donated)
    assert tree_differs(*(member(after, i).params for i in (0, 1)))
    for i in (0, 1):
        alone = member(population, i)
        for _ in range(2):
            alone, _ = update(alone, images, labels)
        for a, b in zip(jax.tree.leaves(alone.params), jax.tree.leaves(after.params), strict=True):
            np.testing.assert_allclose(a, b[i], atol=1e-5)


# ---- Back to the library -------------------------------------------------------------------------


def sampled(gan, *arguments):
    return quick_jit(gan.sample)(*arguments)


def test_a_trained_nnx_module_comes_back():
    gan, *_, states = rich_run("nnx")
    latents, labels = jnp.ones((3, LATENT_DIM)), jnp.arange(3)
    module = NnxRich(LATENT_DIM, SMALL, nnx.Rngs(0))
    nnx.update(module, states[-1].ema_params)
    nnx.update(module, states[-1].model_state.generator)
    module.eval()
    y = nnx.jit(lambda module, *inputs: module(*inputs))(module, latents, labels)
    np.testing.assert_allclose(y, sampled(gan, states[-1], latents, labels), atol=1e-5)


def test_a_trained_equinox_module_comes_back():
    gan, *_, states = rich_run("equinox")
    latents, labels = jnp.ones((3, LATENT_DIM)), jnp.arange(3)
    make = functools.partial(EquinoxRich, LATENT_DIM, SMALL)
    module, _ = eqx.nn.make_with_state(make)(jax.random.key(9))
    model_state = states[-1].model_state.generator
    module = eqx.combine(states[-1].ema_params, model_state["buffers"], module)
    module = eqx.nn.inference_mode(module)
    one = lambda z, label: module(z, label, model_state["state"], None)[0]
    y = quick_jit(jax.vmap(one, axis_name="batch"))(latents, labels)
    np.testing.assert_allclose(y, sampled(gan, states[-1], latents, labels), atol=1e-5)


def test_haiku_takes_its_own_parameters():
    gan, *_, states = rich_run("haiku")
    latents, labels = jnp.ones((3, LATENT_DIM)), jnp.arange(3)
    apply = hk.transform_with_state(functools.partial(haiku_rich, SMALL, train=False)).apply
    y, _ = apply(
        states[-1].ema_params, states[-1].model_state.generator, None, x=latents, labels=labels
    )
    np.testing.assert_allclose(y, sampled(gan, states[-1], latents, labels), atol=1e-5)


# ---- The libraries' own corners ------------------------------------------------------------------


class Noisy(nn.Module):
    """A random stream with a name of its own."""

    @nn.compact
    def __call__(self, x, train: bool):
        noise = jax.random.normal(self.make_rng("noise"), x.shape) if train else 0.0
        return nn.Dense(2)(x) if not train else nn.Dense(2)(x + noise)


class NnxNoisy(nnx.Module):
    """Three streams, one of them of several keys, and `train`."""

    def __init__(self, rngs):
        self.some, self.other = rngs["noise"].fork(), rngs["noise"].fork()
        self.many = rngs["noise"].split(2)

    def __call__(self, x, train):
        if not train:
            return jnp.stack([x, x, x, x])
        keys = self.many.key[...]
        return jnp.stack(
            [jax.random.normal(k, x.shape) for k in (self.some(), self.other(), *keys)]
        )


class EquinoxNoisy(eqx.Module):
    """A function among the static fields, made anew with every module; a key and `train`."""

    linear: eqx.nn.Linear
    activation: Callable = eqx.field(static=True)

    def __init__(self, key):
        self.linear = eqx.nn.Linear(3, 2, key=key)
        self.activation = lambda x: 2 * x

    def __call__(self, x, key, train):
        return self.activation(self.linear(x + jax.random.normal(key, x.shape) if train else x))


NOISY = {
    "linen": from_linen(Noisy()),
    "nnx": from_nnx(NnxNoisy),
    "equinox": from_equinox(EquinoxNoisy),
    "haiku": from_haiku(lambda x: jax.random.normal(hk.next_rng_key(), x.shape) + hk.Linear(3)(x)),
}


def test_randomness_is_the_key(name):
    network, x = NOISY[name], jnp.ones((8, 3))
    params, model_state = network.init(jax.random.key(1), x)
    assert not jax.tree.leaves(model_state)
    apply = jax.jit(functools.partial(network.apply, train=True))
    run = lambda seed: apply(params, model_state, x, key=jax.random.key(seed))[0]
    np.testing.assert_array_equal(run(2), run(2))
    assert len(np.unique(np.stack([run(2), run(3)]))) == 2 * run(2).size
    if name != "haiku":  # where this one draws in every pass
        network.apply(params, model_state, x, train=False, key=None)


def test_equinox_parameters_of_two_inits_have_one_structure():
    first, second = (NOISY["equinox"].init(jax.random.key(i), jnp.ones((1, 3)))[0] for i in (0, 1))
    assert jax.tree.structure(first) == jax.tree.structure(second)
    gradient = jax.grad(lambda p: NOISY["equinox"].apply(p, *rest, train=False)[0].sum())
    rest = NOISY["equinox"].init(jax.random.key(0), jnp.ones((1, 3)))[1], jnp.ones((4, 3))
    np.testing.assert_allclose(gradient(first).linear.bias, 2 * 4 * np.ones(2))


def test_equinox_refuses_a_state_that_differs_from_example_to_example():
    class Counter(eqx.Module):
        last: eqx.nn.StateIndex

        def __init__(self, key):
            self.last = eqx.nn.StateIndex(jnp.zeros(()))

        def __call__(self, x, state):
            return x, state.set(self.last, x.sum())

    network = from_equinox(Counter)
    variables = network.init(jax.random.key(0), None)
    with pytest.raises(ValueError):  # noqa: PT011  JAX writes the message, and may change it
        network.apply(*variables, jnp.ones((2, 3)), train=True)


def test_what_an_nnx_module_sows_is_dropped():
    class Sowing(nnx.Module):
        def __init__(self, rngs):
            self.scale = nnx.Param(jnp.ones(()))

        def __call__(self, x):
            self.sow(nnx.Intermediate, "seen", x)
            return self.scale * x

    network = from_nnx(Sowing)
    params, model_state = network.init(jax.random.key(0), jnp.ones(3))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of flax
        _, moved = network.apply(params, model_state, jnp.ones(3), train=True)
    assert moved == model_state == {}


def test_without_training_the_state_is_the_very_same(name):
    network, x = library(name).spectral, jnp.ones((2, 6))
    params, model_state = network.init(jax.random.key(0), x)
    assert network.apply(params, model_state, x, train=False, key=None)[1] is model_state


# ---- What is refused, and what is imported -------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: from_nnx(nnx.Linear(1, 1, rngs=nnx.Rngs(0))),
            r"make must be a function .* got the module Linear",
        ),
        (lambda: from_nnx(lambda rngs: 3), r"make\(rngs\) must be an nnx.Module; got"),
        (
            lambda: from_equinox(eqx.nn.Identity()),
            r"make must be a function .* got the module Identity",
        ),
        (lambda: from_equinox(lambda key: 3), r"make\(key\) must be an eqx.Module; got 3"),
        (
            lambda: from_haiku(hk.transform(lambda x: x)),
            r"as it is before hk.transform; got Transformed",
        ),
    ],
)
def test_adapters_refuse_what_they_cannot_adapt(call, said):
    with pytest.raises(TypeError, match=said):
        call()


def test_as_network_leaves_a_network_alone():
    network = from_linen(nn.Dense(1))
    assert as_network(network) is network
    assert isinstance(as_network(nn.Dense(1)), Network)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "got NoneType.$"),
        (nn.Dense, "got the class Dense. Make an instance of it.$"),
        (nnx.Linear(1, 1, rngs=nnx.Rngs(0)), r"got Linear. Use jaxgan.networks.from_nnx\(make\)"),
        (nnx.Linear, r"got the class Linear. Use jaxgan.networks.from_nnx\(make\)"),
        (eqx.nn.Identity(), r"got Identity. Use jaxgan.networks.from_equinox\(make\)"),
        (hk.transform(lambda x: x), r"got Transformed. Use jaxgan.networks.from_haiku\(function\)"),
        (hk.Linear, r"got the class Linear. Use jaxgan.networks.from_haiku\(function\)"),
    ],
)
def test_as_network_names_the_adapter_to_use(wrong, said):
    with pytest.raises(TypeError, match=said):
        as_network(wrong)


@pytest.mark.parametrize(
    ("module", "adapter", "said"),
    [
        ("equinox", from_equinox, "pip install equinox"),
        ("haiku", from_haiku, "pip install dm-haiku"),
    ],
)
def test_a_missing_library_is_told_how_to_install(module, adapter, said, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=said):
        adapter(lambda x: x)


def test_import_jaxgan_imports_no_other_library():
    code = (
        "import sys, flax.linen\n"
        "flax_needs = set(sys.modules)\n"
        "import jaxgan\n"
        "from jaxgan.networks import adapters\n"
        "others = {'flax.nnx', 'equinox', 'haiku'} - flax_needs\n"
        "print([m for m in others if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
