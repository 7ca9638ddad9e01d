"""Tests of every adapter: one GAN, written in four libraries, trains the same way.

Each library has a subclass of `AdapterContract` in its own file. `Net` has a dense layer, batch
norm and a dense layer. It is a generator with an image shape, and a discriminator without. `Rich`
has everything that an adapter supports: labels, spectral norm, batch statistics and dropout. The
reference is linen. Statistics and singular vectors are compared with numpy.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from conftest import assert_trees_equal, tree_differs

import jaxgan
from jaxgan import Pair, checkpoint
from jaxgan._game._standing import standing_model_state
from jaxgan.networks import from_linen
from jaxgan.types import Network

SHAPE, LATENT_DIM, BATCH, STEPS = (28, 28, 1), 10, 16, 8
WIDTH, MOMENTUM, EPSILON = 12, 0.9, 1e-5
SMALL, CLASSES = (4, 4, 1), 3

# These tests mostly compile, and small networks need no optimized code.
quick_jit = functools.partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    },
)


def activate(x, shape):
    return jax.nn.relu(x) if shape else jax.nn.leaky_relu(x, 0.2)


def finish(x, shape):
    return jnp.tanh(x).reshape(x.shape[0], *shape) if shape else x[:, 0]


def with_labels(x, labels):
    return jnp.concatenate([x.reshape(x.shape[0], -1), jax.nn.one_hot(labels, CLASSES)], axis=1)


class Library(NamedTuple):
    """Describes a library for the tests."""

    net: Callable[[int, tuple], Network]  # (features, shape) -> network
    rich: Callable[[int, tuple], Network]
    spectral: Network  # 6 features to 4, without a bias
    paths: tuple[str, ...]  # of `Net`'s parameters, in the order of `FLAX`
    averages: Callable[[Any], tuple[Any, Any]]  # mean and variance in `Net`'s model state
    first: tuple[float, float]  # mean and variance before the first pass
    debiased: bool
    noisy: Network  # takes 3 features, random in training
    transposed: bool  # whether kernels are `[out, in]`
    draws_always: bool  # whether `noisy` draws in every pass


def get(tree, path):
    for name in path.split("/"):
        tree = getattr(tree, name) if isinstance(tree, eqx.Module) else tree[name]
    return tree


FLAX = ("first/kernel", "first/bias", "norm/scale", "norm/bias", "last/kernel", "last/bias")


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


class Noisy(nn.Module):
    """Draws from a random stream with its own name."""

    @nn.compact
    def __call__(self, x, train: bool):
        noise = jax.random.normal(self.make_rng("noise"), x.shape) if train else 0.0
        return nn.Dense(2)(x) if not train else nn.Dense(2)(x + noise)


LINEN_PATHS = tuple(
    name.replace("first", "Dense_0").replace("norm", "BatchNorm_0").replace("last", "Dense_1")
    for name in FLAX
)

LINEN = Library(
    lambda features, shape: from_linen(LinenNet(shape)),
    lambda features, shape: from_linen(LinenRich(shape)),
    from_linen(LinenSpectral()),
    LINEN_PATHS,
    lambda s: tuple(s["batch_stats"]["BatchNorm_0"][k] for k in ("mean", "var")),
    (0.0, 1.0),
    False,
    noisy=from_linen(Noisy()),
    transposed=False,
    draws_always=False,
)


def weights(library, params) -> dict[str, np.ndarray]:
    """Returns the parameters of `Net` by nnx's names, as numpy arrays, kernels `[in, out]`."""
    found = [np.asarray(get(params, path)) for path in library.paths]
    found = [x.T if library.transposed and x.ndim == 2 else x for x in found]
    found = [x.reshape(-1) if "norm" in here else x for here, x in zip(FLAX, found, strict=True)]
    return dict(zip(FLAX, found, strict=True))


def translate(library, values: dict[str, np.ndarray], like):
    """Converts the parameters of `Net` to a library's own structure."""
    leaves, structure = jax.tree.flatten(like)
    leaves_by_path = [get(like, path) for path in library.paths]
    order = [next(i for i, x in enumerate(leaves_by_path) if x is leaf) for leaf in leaves]
    values = [values[here] for here in FLAX]
    values = [x.T if library.transposed and x.ndim == 2 else x for x in values]
    fitted = [jnp.asarray(values[i].reshape(leaves[n].shape)) for n, i in enumerate(order)]
    return jax.tree.unflatten(structure, fitted)


class Run(NamedTuple):
    states: list
    losses: np.ndarray  # [steps, 2]
    batches: jax.Array


@functools.cache
def trained(library) -> Run:
    """Runs `STEPS` updates with the same parameters and images for every library."""
    net = library.net
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
    first = [weights(library, params) for params in state.params]
    drawn = [{k: random.normal(0, 0.2, x.shape).astype("f") for k, x in w.items()} for w in first]
    for w in drawn:
        w["norm/scale"] += 1.0
    state = state.replace(
        params=Pair(
            *(translate(library, w, like) for w, like in zip(drawn, state.params, strict=True))
        )
    )
    update, states, losses = quick_jit(gan.update), [state], []
    for batch in batches:
        state, metrics = update(states[-1], batch)
        states.append(state)
        losses.append([metrics["discriminator_loss"], metrics["generator_loss"]])
    return Run(states, np.array(losses), batches)


def layers_in_numpy(weights, x, shape):
    """Computes a training pass of `Net` in float64: the output and the batch statistics.

    The variance is biased, as in the running averages of all four libraries.
    """
    w = {k: v.astype(np.float64) for k, v in weights.items()}
    x = np.asarray(x, np.float64).reshape(len(x), -1) @ w["first/kernel"] + w["first/bias"]
    mean, variance = x.mean(0), x.var(0)
    x = (x - mean) / np.sqrt(variance + EPSILON) * w["norm/scale"] + w["norm/bias"]
    x = np.where(x > 0, x, 0.0 if shape else 0.2 * x) @ w["last/kernel"] + w["last/bias"]
    return (np.tanh(x).reshape(-1, *shape) if shape else x[:, 0]), (mean, variance)


def averaged(library, passes):
    """Computes the running averages after some passes, by the library's convention."""
    averages = list(library.first)
    for seen in passes:
        averages = [MOMENTUM * a + (1 - MOMENTUM) * x for a, x in zip(averages, seen, strict=True)]
    return [a / (1 - MOMENTUM ** len(passes) if library.debiased else 1) for a in averages]


class RichRun(NamedTuple):
    gan: jaxgan.GAN
    update: Callable
    images: jax.Array
    labels: jax.Array
    population: jaxgan.TrainState  # of two seeds, at step 0
    states: list[jaxgan.TrainState]  # of the first seed, step by step


@functools.cache
def rich_run(library) -> RichRun:
    """Runs four steps of the GAN of `Rich`.

    Uses SGD, because Adam would amplify rounding. The gradient of the bias before a batch norm is
    zero except for rounding.
    """
    rich = library.rich
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
    init = quick_jit(jax.vmap(gan.init, in_axes=(0, None)))
    population = init(jax.vmap(jax.random.key)(jnp.arange(2)), (images, labels))
    update, states = quick_jit(gan.update), [member(population, 0)]
    for _ in range(4):
        states.append(update(states[-1], (images, labels))[0])
    return RichRun(gan, update, images, labels, population, states)


def member(population, i):
    # Committed to a device, as restored states are. Otherwise `update` compiles again.
    return jax.device_put(jax.tree.map(lambda x: x[i], population), jax.devices()[0])


@functools.cache
def rich_passes(library):
    """Returns the generator's training pass, evaluation pass and model state."""
    network, state = library.rich(LATENT_DIM, SMALL), rich_run(library).states[2]
    arguments = state.params.generator, state.model_state.generator["network"]
    training = quick_jit(
        lambda x, labels, key: network.apply(*arguments, x, labels, train=True, key=key)
    )
    evaluate = quick_jit(
        lambda x, labels: network.apply(*arguments, x, labels, train=False, key=None)
    )
    return training, evaluate, arguments[1]


class AdapterContract:
    """Tests an adapter. A subclass sets `library`."""

    library: Library

    def test_losses_of_every_step_match_linen(self):
        adapted, linen = trained(self.library), trained(LINEN)
        assert np.ptp(linen.losses, axis=0).min() > 0.05  # the losses change
        np.testing.assert_allclose(adapted.losses, linen.losses, rtol=2e-5)

    def test_statistics_include_the_real_then_the_fake_batch(self):
        """A step has two passes of the discriminator, real first, and one of the generator."""
        states, _, batches = trained(self.library)
        seen = Pair([], [])
        for state, batch in zip(states[:-1], batches, strict=True):
            w = Pair(*(weights(self.library, params) for params in state.params))
            latent_key = jax.random.split(jax.random.fold_in(state.key, state.step), 4)[0]
            latents = jax.random.normal(latent_key, (BATCH, LATENT_DIM))
            fake, statistics = layers_in_numpy(w.generator, latents, SHAPE)
            seen.generator.append(statistics)
            for images in (batch, fake):
                seen.discriminator.append(layers_in_numpy(w.discriminator, images, ())[1])
        for player in Pair._fields:
            found = self.library.averages(getattr(states[-1].model_state, player)["network"])
            expected = averaged(self.library, getattr(seen, player))
            np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-5)

    def test_standing_statistics_are_the_means_over_all_passes(self):
        state = trained(self.library).states[-1]
        params, model_state = state.params.generator, state.model_state.generator["network"]
        # Counters of bias-corrected averages stay. After many steps, the correction is 1.
        is_count = lambda x: jnp.issubdtype(x.dtype, jnp.integer) and x.ndim == 0
        many = jax.tree.map(lambda x: x + 1000 if is_count(x) else x, model_state)
        latents = jax.random.normal(jax.random.key(3), (3, BATCH, LATENT_DIM))
        network = self.library.net(LATENT_DIM, SHAPE)
        standing = quick_jit(functools.partial(standing_model_state, network))
        found = self.library.averages(standing(params, many, (latents,), jax.random.key(4)))
        w = weights(self.library, params)
        expected = np.mean([layers_in_numpy(w, x, SHAPE)[1] for x in latents], axis=0)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)

    def test_spectral_norm_matches_numpy_and_is_model_state(self):
        network = self.library.spectral
        x = jnp.ones((2, 6))
        params, model_state = network.init(jax.random.key(3), x)
        (weight,) = jax.tree.leaves(params)  # the only parameter
        before = jax.tree.map(np.array, (params, model_state))
        step = functools.partial(network.apply, params, train=True, key=jax.random.key(0))
        # Eager calls would show whether a library writes to its arguments.
        assert_trees_equal(step(model_state, x), step(model_state, x))
        assert_trees_equal(jax.tree.map(np.array, (params, model_state)), before)
        moved, _ = jax.lax.scan(lambda state, _: (step(state, x)[1], None), model_state, None, 200)
        used, _ = network.apply(params, moved, jnp.eye(6), train=False)
        raw = np.asarray(weight, np.float64)
        raw = raw.T if self.library.transposed else raw
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

    def test_dropout_depends_on_its_key_and_is_off_outside_training(self):
        """Rows differ only by dropout, because all examples are equal."""
        training, evaluate, model_state = rich_passes(self.library)
        x, labels = jnp.ones((BATCH, LATENT_DIM)), jnp.zeros(BATCH, jnp.int32)
        first, moved = training(x, labels, jax.random.key(1))
        np.testing.assert_array_equal(first, training(x, labels, jax.random.key(1))[0])
        assert tree_differs(first, training(x, labels, jax.random.key(2))[0])
        assert len(np.unique(first, axis=0)) > BATCH // 2
        assert tree_differs(moved, model_state)
        y, still = evaluate(x, labels)
        np.testing.assert_allclose(y, jnp.broadcast_to(y[:1], y.shape), atol=1e-5)
        assert_trees_equal(still, model_state)

    def test_output_depends_on_labels(self):
        _, evaluate, _ = rich_passes(self.library)
        y, _ = evaluate(jnp.ones((BATCH, LATENT_DIM)), jnp.arange(BATCH) % CLASSES)
        np.testing.assert_allclose(y[0], y[CLASSES], atol=1e-5)
        assert np.abs(y[0] - y[1]).max() > 1e-3

    def test_restored_checkpoint_resumes_bit_identically(self, tmp_path):
        gan, update, images, labels, _, states = rich_run(self.library)
        checkpoint.save(tmp_path, states[2]).result()
        like = jax.eval_shape(gan.init, jax.random.key(0), (images, labels))
        state = checkpoint.restore(tmp_path, like=like)
        assert_trees_equal(state, states[2])
        for _ in range(2):
            state, _ = update(state, (images, labels))
        assert_trees_equal(state, states[4])

    def test_seeds_in_one_program_match_single_runs(self):
        """The state also holds only arrays, can be donated, and keeps its structure in a scan."""
        gan, update, images, labels, population, _ = rich_run(self.library)
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(population))

        def two_steps(state):
            one = lambda state, _: gan.update(state, (images, labels))
            return jax.lax.scan(one, state, None, 2)[0]

        donated = jax.tree.map(jnp.copy, population)
        after = quick_jit(jax.vmap(two_steps), donate_argnums=0)(donated)
        assert tree_differs(*(member(after, i).params for i in (0, 1)))
        for i in (0, 1):
            alone = member(population, i)
            for _ in range(2):
                alone, _ = update(alone, (images, labels))
            pairs = zip(*map(jax.tree.leaves, (alone.params, after.params)), strict=True)
            for a, b in pairs:
                np.testing.assert_allclose(a, b[i], atol=1e-5)

    def test_noise_depends_only_on_the_key(self):
        network, x = self.library.noisy, jnp.ones((8, 3))
        params, model_state = network.init(jax.random.key(1), x)
        assert not jax.tree.leaves(model_state)
        apply = jax.jit(functools.partial(network.apply, train=True))
        run = lambda seed: apply(params, model_state, x, key=jax.random.key(seed))[0]
        np.testing.assert_array_equal(run(2), run(2))
        assert len(np.unique(np.stack([run(2), run(3)]))) == 2 * run(2).size
        if not self.library.draws_always:  # otherwise a key is needed in every pass
            network.apply(params, model_state, x, train=False, key=None)

    def test_state_outside_training_is_the_same_object(self):
        network, x = self.library.spectral, jnp.ones((2, 6))
        params, model_state = network.init(jax.random.key(0), x)
        assert network.apply(params, model_state, x, train=False, key=None)[1] is model_state
