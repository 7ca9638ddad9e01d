"""Builds the objective of a GAN: what the generator makes, and both players' losses.

The callers check the arguments.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import diagnostics
from jaxgan._game._config import GANConfig
from jaxgan._game._validation import BUILT_IN_METRICS, check_pair
from jaxgan._internal import checks
from jaxgan._internal.shapes import Array, Float, Key
from jaxgan.terms import Critic, Term, View
from jaxgan.types import (
    Batch,
    Condition,
    Inputs,
    LossFn,
    Metrics,
    ModelState,
    Objective,
    Pair,
    Params,
    PyTree,
)

Augment = Callable[[jax.Array], jax.Array]


class Pass(NamedTuple):
    """Holds what a pass of the generator returns in addition to its samples.

    Attributes:
      latents: the latents of the samples.
      model_state: the generator's model state after the pass.
    """

    latents: PyTree
    model_state: ModelState


class Output(NamedTuple):
    """Holds what the discriminator returns for one batch of images."""

    logits: PyTree
    extras: Mapping[str, PyTree]


def make_objective(config: GANConfig) -> Objective:
    """Returns the objective of a GAN."""
    losses: Any = (functools.partial(_loss, config, player) for player in Pair._fields)
    stages = functools.partial(_init, config), functools.partial(_generate, config)
    return Objective(*stages, Pair(*losses))


def split_batch(batch: Batch) -> tuple[jax.Array, Condition]:
    """Returns the images and the condition of a batch; None without a condition."""
    return batch if isinstance(batch, tuple) else (batch, None)


def join_batch(images: jax.Array, condition: Condition) -> Batch:
    """Returns a batch of images, with a condition if there is one."""
    return images if condition is None else (images, condition)


def also(condition: Condition) -> tuple[Condition, ...]:
    """Returns a condition as further arguments of a network."""
    return () if condition is None else (condition,)


def _init(
    config: GANConfig, keys: Pair[jax.Array], batch: Batch
) -> tuple[Pair[Params], Pair[ModelState]]:
    """Initializes both networks, and the states of terms and augmentation."""
    zeros = lambda num, x: jnp.zeros((num, *x.shape[1:]), x.dtype)
    images, condition = split_batch(batch)
    one = jax.tree.map(functools.partial(zeros, 1), condition)
    latents = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), config.latents_like(1, images.dtype)
    )
    # The channels of a pack follow those of an image. `augment` cannot run without images.
    seen = jnp.zeros((1, *images.shape[1:-1], images.shape[-1] * config.packing), images.dtype)
    network = config.network
    made = Pair(
        network.generator.init(keys.generator, latents, *also(one)),
        network.discriminator.init(keys.discriminator, seen, *also(one)),
    )
    params, states = zip(*made, strict=True)
    terms = Pair(*({name: term.init() for name, term in own.items()} for own in config.terms))
    augmentation = () if config.augmentation is None else config.augmentation.init()
    return Pair(*params), Pair(
        {"network": states[0], "terms": terms.generator},
        {"network": states[1], "terms": terms.discriminator, "augmentation": augmentation},
    )


def _generate(config: GANConfig, params: Params, inputs: Inputs) -> tuple[jax.Array, Pass]:
    """Generates one sample for each real image, from new latents."""
    images, condition = split_batch(inputs.batch)
    latents_key, key = (jax.random.fold_in(inputs.key, i) for i in (0, 1))
    latents = config.latents(latents_key, images.shape[0], images.dtype)
    samples, model_state = _apply_generator(config, params, inputs, latents, condition, key)
    advice = "Generate images of the same shape as the real images."
    advice = checks.channels_first(images.shape) or advice
    checks.shape("The generator's output", samples, images.shape, advice)
    return samples, Pass(latents, model_state)


def _apply_generator(
    config: GANConfig,
    params: Params,
    inputs: Inputs,
    latents: PyTree,
    condition: Condition,
    key: Key[Array, ""],
) -> tuple[jax.Array, ModelState]:
    state = inputs.model_state.generator["network"]
    apply = config.network.generator.apply
    return apply(params, state, latents, *also(condition), train=True, key=key)


def discriminate(
    config: GANConfig,
    params: Params,
    model_state: ModelState,
    images: Float[Array, " batch *image"],
    condition: Condition,
    key: Key[Array, ""],
) -> tuple[Output, ModelState]:
    """Applies the discriminator to images, and checks its logits."""
    apply = config.network.discriminator.apply
    result, state = apply(params, model_state, images, *also(condition), train=True, key=key)
    has_extras = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)
    output = Output(*result) if has_extras else Output(result, {})
    _check_logits(output.logits, images.shape[0])
    if config.num_classes is not None and "classes" in output.extras:
        advice = "End the discriminator's second head with Dense(num_classes)."
        shape = (images.shape[0], config.num_classes)
        checks.shape("The class logits", output.extras["classes"], shape, advice)
    return output, state


def _check_logits(logits: PyTree, num: int) -> None:
    """Checks that logits are arrays of floats with one row for each image."""
    parts = logits if isinstance(logits, tuple) else (logits,)
    name, expected = "The discriminator's logits", f"float [{num}], or [{num}, ...]"
    advice = "Return one number per image, such as logits[:, 0] after a last Dense(1)."
    for x in parts:
        fits = getattr(x, "ndim", 0) > 0 and x.shape[0] == num
        fits = fits and jnp.issubdtype(x.dtype, jnp.floating)
        got = f"{x.dtype} of shape {x.shape}" if hasattr(x, "dtype") else type(x).__name__
        checks.require(fits, name, expected, got, advice, error=checks.ShapeError)
    ranks = {x.ndim for x in parts}
    advice = "Return other results in a dict, as (logits, {name: value})."
    got = f"shapes {[x.shape for x in parts]}"
    checks.require(len(ranks) == 1, name, "arrays of the same rank", got, advice)


def _loss(
    config: GANConfig,
    player: str,
    params: Pair[Params],
    samples: jax.Array,
    made: Pass,
    inputs: Inputs,
) -> tuple[jax.Array, tuple[ModelState, Metrics]]:
    """Returns a player's loss with its terms, its new model state, and metrics."""
    player_key = _key(inputs, player)
    own = getattr(inputs.model_state, player)
    augments = _augmentations(config, inputs, jax.random.fold_in(player_key, 0))
    view, network_state = _view(config, player, params, samples, made, inputs, augments)
    value = _mean_loss(getattr(config.loss, player), view)
    critic = functools.partial(_critic, config, params.discriminator, inputs, augments)
    states, metrics = {}, {}
    terms: dict[str, Term] = getattr(config.terms, player)
    for i, (name, term) in enumerate(terms.items()):
        seen = _with_key(view, jax.random.fold_in(player_key, 2 + i), critic)
        state = own["terms"][name]
        values, states[name] = _checked_values(name, term.apply(state, seen), state, seen)
        metrics[name] = jnp.mean(values)
        value = value + metrics[name].astype(value.dtype)
    if player == "generator":
        return value, ({"network": made.model_state, "terms": states}, metrics)
    metrics |= _logit_metrics(view, config.loss.boundary)
    if config.metrics is not None:
        seen = _with_key(view, jax.random.fold_in(player_key, 2 + len(terms)), critic)
        metrics |= _checked_metrics(config.metrics(seen), BUILT_IN_METRICS.union(*config.terms))
    augmentation = _adapt(config, own["augmentation"], view)
    new = {"network": network_state, "terms": states, "augmentation": augmentation}
    return value, (new, metrics)


def _augmentations(config: GANConfig, inputs: Inputs, key: Key[Array, ""]) -> Pair[Augment]:
    """Returns the augmentations with the random draws of fake and of real images."""
    if config.augmentation is None:
        return Pair(lambda x: x, lambda x: x)
    state = inputs.model_state.discriminator["augmentation"]
    # Both players see the images of a discriminator step, which counts for the augmentation.
    step = inputs.steps.discriminator
    apply = functools.partial(config.augmentation.apply, state, step=step)
    return Pair(*(functools.partial(apply, k) for k in jax.random.split(key)))


def _key(inputs: Inputs, player: str) -> Key[Array, ""]:
    """Returns the key of a player's loss. Keys 0 and 1 are those of the generator's pass."""
    return jax.random.fold_in(inputs.key, 2 if player == "discriminator" else 3)


def _view(
    config: GANConfig,
    player: str,
    params: Pair[Params],
    samples: jax.Array,
    made: Pass,
    inputs: Inputs,
    augments: Pair[Augment],
) -> tuple[View, ModelState]:
    """Applies the discriminator to real and fake images in separate passes.

    In a joint pass, batch statistics would mix real and fake images.
    """
    images, condition = split_batch(inputs.batch)
    real_key, fake_key = jax.random.split(jax.random.fold_in(_key(inputs, player), 1))
    fake, real = augments.generator(samples), augments.discriminator(images)
    state = inputs.model_state.discriminator["network"]
    apply = functools.partial(discriminate, config, params.discriminator)
    of_real, state = apply(state, real, condition, real_key)
    of_fake, state = apply(state, fake, condition, fake_key)

    def generate(latents: PyTree = None, condition: Condition = None) -> jax.Array:
        latents = made.latents if latents is None else latents
        given = _condition_of(inputs, condition, latents, "view.generate")
        key = jax.random.fold_in(inputs.key, 1)
        return _apply_generator(config, params.generator, inputs, latents, given, key)[0]

    view = View(
        images=images,
        samples=samples,
        real=real,
        fake=fake,
        latents=made.latents,
        condition=condition,
        real_logits=of_real.logits,
        fake_logits=of_fake.logits,
        real_extras=of_real.extras,
        fake_extras=of_fake.extras,
        generate=generate,
        params=params,
        step=getattr(inputs.steps, player),
    )
    return view, state


def _with_key(view: View, key: Key[Array, ""], critic: Callable[..., Critic]) -> View:
    """Returns the view of one term."""
    critic_key, key = jax.random.split(key)
    return view._replace(critic=critic(critic_key), key=key)


def _critic(
    config: GANConfig,
    params: Params,
    inputs: Inputs,
    augments: Pair[Augment],
    key: Key[Array, ""],
) -> Critic:
    """Returns the discriminator after an augmentation with the random draws of the loss."""
    state = inputs.model_state.discriminator["network"]

    def apply(augment: Augment, images: jax.Array, condition: Condition = None) -> PyTree:
        given = _condition_of(inputs, condition, images, "view.critic")
        return discriminate(config, params, state, augment(images), given, key)[0].logits

    of_fake, of_real = (functools.partial(apply, augment) for augment in augments)
    return Critic(of_real, of_fake)


def _condition_of(inputs: Inputs, given: Condition, x: PyTree, name: str) -> Condition:
    """Returns the condition with which a term calls a network: by default, that of the step."""
    condition = split_batch(inputs.batch)[1] if given is None else given
    num = jax.tree.leaves(x)[0].shape[0]
    rows = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(condition)}
    expected, got = f"of {num} rows, as its input", checks.shown(condition)
    advice = "Pass the condition of each row."
    checks.require(rows <= {(num,)}, f"The condition of {name}", expected, got, advice)
    return condition


def _parts(view: View) -> list[tuple[jax.Array, jax.Array]]:
    """Returns pairs of real and fake logits; one pair for each array that D returns."""
    both = (view.real_logits, view.fake_logits)
    return list(zip(*map(jax.tree.leaves, both), strict=True))


def _mean_loss(loss: LossFn, view: View) -> Float[Array, ""]:
    """Returns the mean of a loss over the batch."""
    means = []
    for real, fake in _parts(view):
        values = loss(real, fake)
        advice = "Return one value per image; gan computes the mean."
        checks.shape("The loss", values, fake.shape, advice)
        means.append(jnp.mean(values))
    return means[0] if len(means) == 1 else jnp.mean(jnp.stack(means))


def _logit_metrics(view: View, boundary: float | None) -> Metrics:
    found = [diagnostics.of_logits(*pair, boundary=boundary) for pair in _parts(view)]
    return found[0] if len(found) == 1 else jax.tree.map(lambda *x: sum(x) / len(x), *found)


def _checked_values(name: str, result: Any, state: PyTree, view: View) -> tuple[Any, PyTree]:
    """Checks that a term is a scalar, or has one value for each image or each of its logits.

    Other shapes, such as [batch, 1], suggest an unintended broadcast.
    """
    title = "A penalty" if name == "penalty" else f"The term {name!r}"
    values, new = check_pair(f"{title}'s result", result, "(values, state)")
    checks.tree_matches(f"{title}'s state", new, state)
    num, logits = view.images.shape[0], jax.tree.leaves(view.real_logits)[0].shape
    expected = f"a scalar or of shape ({num},), one value per image"
    dtype = getattr(values, "dtype", float if isinstance(values, int | float) else None)
    is_real = dtype is not None and not jnp.issubdtype(dtype, jnp.complexfloating)
    checks.require(is_real, title, expected, checks.shown(values), error=TypeError)
    fits = jnp.shape(values) in ((), (num,), logits[:1], logits)
    got, advice = f"{jnp.shape(values)}", "Sum over the other axes."
    checks.require(fits, title, expected, got, advice, error=checks.ShapeError)
    return values, new


def _checked_metrics(found: Any, taken: set[str]) -> Metrics:
    """Checks that metrics are a dict of scalars with new names."""
    name = "The result of metrics"
    checks.instance(name, found, dict, "a dict of scalars")
    for key, x in found.items():
        is_new, expected = key not in taken, "without the names of other metrics"
        checks.require(isinstance(key, str) and is_new, name, expected, repr(key))
        is_scalar = isinstance(x, int | float) or getattr(x, "shape", None) == ()
        full_name = f"{name}[{key!r}]"
        checks.require(is_scalar, full_name, "a scalar", checks.shown(x), error=TypeError)
    return {key: jnp.asarray(x) for key, x in found.items()}


def _adapt(config: GANConfig, state: PyTree, view: View) -> PyTree:
    """Returns the new state of the augmentation, which receives the logits of each image."""
    if config.augmentation is None or not jax.tree.leaves(state):
        return state
    assert config.loss.boundary is not None  # `gan` requires it of an augmentation with a state
    parts = jax.tree.leaves(view.real_logits)
    if len(parts) > 1:
        parts = [jnp.concatenate([x.reshape(x.shape[0], -1) for x in parts], axis=1)]
    logits = parts[0] - jnp.asarray(config.loss.boundary, parts[0].dtype)
    return config.augmentation.adapt(state, jnp.repeat(logits, config.packing, axis=0))
