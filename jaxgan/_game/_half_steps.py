"""Computes one training step: the discriminator steps, then the generator step.

The callers check the arguments.
"""

import functools
import inspect
import math
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxgan import diagnostics
from jaxgan._game._config import GameConfig, Generated, PlayerUpdate, StepInputs, StepKeys
from jaxgan._game._discriminator import (
    discriminate_real_and_fake,
    discriminator_loss,
    generator_loss,
    mean_penalty,
    prepare,
)
from jaxgan._internal import checks
from jaxgan._internal.shapes import Array, Bool, Float, Int32, Integer, Key
from jaxgan.train_state import TrainState
from jaxgan.types import Metrics, ModelState, Pair, Params, PyTree


def train_step(
    config: GameConfig,
    state: TrainState,
    images: Float[Array, " batch *image"],
    labels: Integer[Array, " batch"] | None,
    *,
    interleaved: bool = False,
) -> tuple[TrainState, Metrics]:
    """Performs the discriminator steps, each on a share of the batch, then the generator step."""
    share = functools.partial(_share, num=config.discriminator_steps, interleaved=interleaved)
    step_key = jax.random.fold_in(state.key, state.step)
    skipped = jnp.zeros((), jnp.int32)
    for i in range(config.discriminator_steps):
        batch = share(images, i), None if labels is None else share(labels, i)
        inputs = _step_inputs(config, state.step, *batch, step_key=step_key, index=i)
        generated = generate(config, state, inputs)
        state, metrics = discriminator_step(config, state, inputs, generated)
        skipped += metrics["discriminator_skipped"]
    state, generator_metrics = generator_step(config, state, inputs, generated)
    state = state.replace(
        step=state.step + 1,
        ema_params=_average(config, state, batch_size=inputs.real.shape[0]),
    )
    return state, metrics | generator_metrics | {"discriminator_skipped": skipped}


def _share(x: jax.Array, index: int, *, num: int, interleaved: bool) -> jax.Array:
    """Returns the part of a batch that one of `num` discriminator steps uses."""
    if interleaved:  # a reshape keeps rows on their devices, unlike a slice
        return x.reshape(-1, num, *x.shape[1:])[:, index]
    size = x.shape[0] // num
    return x[index * size : (index + 1) * size]


def _step_inputs(
    config: GameConfig,
    step: Int32[Array, ""],
    real: Float[Array, " share *image"],
    labels: Integer[Array, " share"] | None,
    *,
    step_key: Key[Array, ""],
    index: int,
) -> StepInputs:
    """Returns the inputs of one discriminator step. The generator step reuses the last inputs."""
    last = index == config.discriminator_steps - 1
    # split(key, 4)[i] equals fold_in(key, i), so numbers from 4 up avoid the last step's keys.
    key = step_key if last else jax.random.fold_in(step_key, 4 + index)
    return StepInputs(
        real=real,
        labels=labels,
        keys=StepKeys(*jax.random.split(key, 4 if last else 3)),
        step=step * config.discriminator_steps + index,
    )


def generate(config: GameConfig, state: TrainState, inputs: StepInputs) -> Generated:
    """Generates images from new latents, and returns them with their pullback."""
    real, model_state = inputs.real, state.model_state.generator
    shape = (real.shape[0], config.latents)
    latents = jax.random.normal(inputs.keys.latents, shape, real.dtype)
    network_inputs = (latents,) if inputs.labels is None else (latents, inputs.labels)

    def forward(params: Params) -> tuple[jax.Array, ModelState]:
        apply, key = config.network.generator.apply, inputs.keys.generator
        return apply(params, model_state, *network_inputs, train=True, key=key)

    images, pullback, model_state = jax.vjp(forward, state.params.generator, has_aux=True)
    advice = "Generate images of the same shape as the real images."
    advice = checks.channels_first(real.shape) or advice
    checks.shape("The generator's output", images, real.shape, advice)
    return Generated(images, lambda params: forward(params)[0], pullback, model_state)


def discriminator_step(
    config: GameConfig, state: TrainState, inputs: StepInputs, generated: Generated
) -> tuple[TrainState, Metrics]:
    """Updates the discriminator, and the state of the penalty and the augmentation."""
    augmentation_key, network_key, penalty_key = jax.random.split(inputs.keys.discriminator_step, 3)
    both = Pair(generated.images, inputs.real)
    images = prepare(config, state, both, key=augmentation_key, step=inputs.step)
    seen = images.augmented

    def objective(params: Params):
        model_state = state.model_state.discriminator
        output, model_state = discriminate_real_and_fake(
            config, params, model_state, seen, labels=inputs.labels, key=network_key
        )
        loss = discriminator_loss(config, output, inputs.labels)
        penalty, penalty_state = mean_penalty(
            config, state, params, images, inputs, key=penalty_key
        )
        return loss + penalty.astype(loss.dtype), (output, model_state, penalty, penalty_state)

    gradient = jax.value_and_grad(objective, has_aux=True)
    (loss, aux), grads = gradient(state.params.discriminator)
    output, model_state, penalty, penalty_state = aux
    game_state = {
        "penalty": penalty_state,
        "augmentation": _adapt_augmentation(config, state, output.real_logits),
    }
    value_fn = lambda params: objective(params)[0]
    update = PlayerUpdate(loss, value_fn, grads, model_state, game_state)
    state, metrics = apply_gradients(config, state, update, player="discriminator")
    boundary = config.loss.boundary
    metrics |= diagnostics.of_logits(output.real_logits, output.fake_logits, boundary=boundary)
    metrics |= _optional_metrics(config, state, inputs, generated, penalty=penalty)
    return state, metrics


def _optional_metrics(
    config: GameConfig,
    state: TrainState,
    inputs: StepInputs,
    generated: Generated,
    *,
    penalty: Float[Array, ""],
) -> Metrics:
    """Returns the metrics of the penalty, of an adaptive augmentation and of `diagnose`."""
    metrics: Metrics = {}
    if config.penalty is not None:
        metrics["penalty"] = penalty
    if config.augmentation is not None and "probability" in state.game_state["augmentation"]:
        metrics["augmentation_probability"] = state.game_state["augmentation"]["probability"]
    if config.diagnose:
        metrics |= diagnostics.of_images(inputs.real, generated.images)
    return metrics


def generator_step(
    config: GameConfig, state: TrainState, inputs: StepInputs, generated: Generated
) -> tuple[TrainState, Metrics]:
    """Updates the generator, using the updated discriminator."""
    assert inputs.keys.generator_step is not None  # `inputs` are from the last discriminator step
    augmentation_key, network_key = jax.random.split(inputs.keys.generator_step)

    def objective(fake: jax.Array) -> jax.Array:
        both = Pair(fake, inputs.real)
        images = prepare(config, state, both, key=augmentation_key, step=inputs.step)
        # Some losses compare real and fake logits. For other losses, XLA drops the real pass.
        params, model_state = state.params.discriminator, state.model_state.discriminator
        output, _ = discriminate_real_and_fake(
            config, params, model_state, images.augmented, labels=inputs.labels, key=network_key
        )
        return generator_loss(config, output, inputs.labels)

    loss, gradient_of_images = jax.value_and_grad(objective)(generated.images)
    (grads,) = generated.pullback(gradient_of_images)
    value_fn = lambda params: objective(generated.apply(params))
    update = PlayerUpdate(loss, value_fn, grads, generated.model_state, state.game_state)
    return apply_gradients(config, state, update, player="generator")


def apply_gradients(
    config: GameConfig, state: TrainState, update: PlayerUpdate, *, player: str
) -> tuple[TrainState, Metrics]:
    """Updates a network and its states, unless its loss or gradient is non-finite."""
    norm = _global_norm(update.grads)
    finite = jnp.isfinite(update.loss) & jnp.isfinite(norm)
    optimizer = getattr(config.optimizer, player)
    old = (getattr(state.params, player), getattr(state.opt_state, player))
    params, opt_state = _update_if_finite(optimizer, finite, update, *old)
    model_state = state.model_state._replace(**{player: update.model_state})
    state = state.replace(
        params=state.params._replace(**{player: params}),
        opt_state=state.opt_state._replace(**{player: opt_state}),
        model_state=_select_if_finite(finite, model_state, state.model_state),
        game_state=_select_if_finite(finite, update.game_state, state.game_state),
    )
    return state, {
        f"{player}_loss": update.loss,
        f"{player}_gradient_norm": norm,
        f"{player}_skipped": 1 - finite.astype(jnp.int32),
    }


def _global_norm(grads: Params) -> Float[Array, ""]:
    """Returns the square root of the sum of all squares, which is non-finite if a gradient is."""
    with jax.numpy_dtype_promotion("standard"):
        separate = optax.tree.norm
        # On a GPU, one sum over all gradients needs fewer kernels. On a CPU, it copies them.
        joint = lambda grads: optax.tree.norm(jax.flatten_util.ravel_pytree(grads)[0])
        return jax.lax.platform_dependent(grads, cpu=separate, default=joint)


def _update_if_finite(
    optimizer: optax.GradientTransformation,
    finite: Bool[Array, ""],
    player_update: PlayerUpdate,
    params: Params,
    opt_state: optax.OptState,
) -> tuple[Params, optax.OptState]:
    """Applies the optimizer update if `finite`, else returns the old parameters and state."""
    loss, grads, value_fn = player_update.loss, player_update.grads, player_update.value_fn
    extra = _accepted(optimizer, {"value": loss, "grad": grads, "value_fn": value_fn})

    def update(grads: Params, params: Params, opt_state: PyTree) -> tuple[Params, PyTree]:
        # optax relies on dtype promotion, which the caller may have disabled.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = optimizer.update(grads, opt_state, params, **extra)
            return optax.apply_updates(params, updates), opt_state

    def branch(grads: Params, *old: PyTree) -> tuple[Params, PyTree]:
        return jax.lax.cond(finite, update, lambda _, *old: old, grads, *old)

    def select(grads: Params, *old: PyTree) -> tuple[Params, PyTree]:
        return _select_if_finite(finite, update(grads, *old), old)

    # On a CPU, a selection copies all parameters and moments. On a GPU, the copy is cheap, but a
    # branch waits for the host.
    return jax.lax.platform_dependent(grads, params, opt_state, cpu=branch, default=select)


def _accepted(optimizer: optax.GradientTransformation, extra: dict[str, Any]) -> dict[str, Any]:
    """Returns the extra arguments that `update` accepts. `optax.polyak_sgd` needs one, for example.

    `optax.with_extra_args_support` is not sufficient: `optax.MultiSteps` accepts all arguments, but
    is not a `GradientTransformationExtraArgs`. `optax.contrib.sam` is one, but does not accept all.
    """
    parameters = inspect.signature(optimizer.update).parameters
    if any(x.kind is inspect.Parameter.VAR_KEYWORD for x in parameters.values()):
        return extra
    return {name: value for name, value in extra.items() if name in parameters}


def _select_if_finite(finite: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    """Returns the new pytree if `finite`, else the old one."""
    # An unchanged leaf is the same array in both pytrees, and needs no selection.
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(finite, a, b), new, old)


def _adapt_augmentation(
    config: GameConfig, state: TrainState, real_logits: Float[Array, " packed"]
) -> PyTree:
    """Returns the new state of the augmentation, which receives one logit for each image."""
    if config.augmentation is None:
        return ()
    augmentation_state = state.game_state["augmentation"]
    if not jax.tree.leaves(augmentation_state):
        return augmentation_state
    assert config.loss.boundary is not None  # `gan` requires it of an augmentation with a state
    boundary = jnp.asarray(config.loss.boundary, real_logits.dtype)
    logits_of_images = jnp.repeat(real_logits - boundary, config.packing)
    return config.augmentation.adapt(augmentation_state, logits_of_images)


def _average(config: GameConfig, state: TrainState, *, batch_size: int) -> Params | None:
    """Returns the moving average of the generator's parameters after this step."""
    if config.ema_half_life is None:
        return None
    rate = average_rate(config.ema_half_life, config.ema_warmup, state.step, batch_size)

    def average(old: jax.Array, new: jax.Array) -> jax.Array:
        return old + jnp.asarray(rate, old.dtype) * (new.astype(old.dtype) - old)

    return jax.tree.map(average, state.ema_params, state.params.generator)


def average_rate(
    half_life: Any, warmup: float | None, step: Int32[Array, ""], batch_size: int
) -> ArrayLike:
    """Returns the weight of the new parameters, 1 - 0.5 ** (batch_size / half_life)."""
    if warmup is not None:
        seen = step.astype(float) * batch_size  # an int32 product could overflow
        half_life = jnp.clip(warmup * seen, 1e-8, half_life)
    # The weight is small, so the subtraction would cancel in float32.
    expm1 = math.expm1 if isinstance(half_life, int | float) else jnp.expm1
    return -expm1(-math.log(2) * batch_size / half_life)
