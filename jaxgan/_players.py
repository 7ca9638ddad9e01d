"""Evaluates the losses of two players, and applies their optimizers.

The callers check the arguments.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax

from jaxgan._internal import checks
from jaxgan._internal.shapes import Array, Bool, Float
from jaxgan.train_state import TrainState
from jaxgan.types import Inputs, Metrics, ModelState, Objective, Pair, Params, PyTree


class Generated(NamedTuple):
    """Holds the results of `Objective.generate`, which both losses share.

    Attributes:
      value: the results through which the generator's gradient flows.
      aux: the other results.
      pullback: maps a gradient with respect to `value` to one with respect to the parameters.
    """

    value: PyTree
    aux: PyTree
    pullback: Callable[[PyTree], tuple[Params]]


class Evaluation(NamedTuple):
    """Holds the loss of one player, before the optimizer update.

    Attributes:
      loss: the player's loss.
      grads: the gradient of the loss with respect to the player's parameters.
      value_fn: the loss as a function of the player's parameters, on the same batch.
      model_state: the player's model state after the evaluation.
      metrics: metrics of the evaluation.
    """

    loss: Float[Array, ""]
    grads: Params
    value_fn: Callable[[Params], jax.Array]
    model_state: ModelState
    metrics: Metrics


def generate(objective: Objective, params: Params, inputs: Inputs) -> Generated:
    """Computes what both losses share, with its pullback."""
    forward = lambda params: objective.generate(params, inputs)
    value, pullback, aux = jax.vjp(forward, params, has_aux=True)
    return Generated(value, aux, pullback)


def evaluate_discriminator(
    objective: Objective, params: Pair[Params], generated: Generated, inputs: Inputs
) -> Evaluation:
    """Evaluates the discriminator's loss and its gradient."""

    def loss(own: Params) -> tuple[jax.Array, tuple[ModelState, Metrics]]:
        both = params._replace(discriminator=own)
        result = objective.losses.discriminator(both, generated.value, generated.aux, inputs)
        return check_loss("discriminator", result)

    (value, aux), grads = jax.value_and_grad(loss, has_aux=True)(params.discriminator)
    return Evaluation(value, grads, lambda own: loss(own)[0], *aux)


def evaluate_generator(
    objective: Objective, params: Pair[Params], generated: Generated, inputs: Inputs
) -> Evaluation:
    """Evaluates the generator's loss and its gradient, directly and through the shared results."""

    def loss(own: Params, value: PyTree) -> tuple[jax.Array, tuple[ModelState, Metrics]]:
        both = params._replace(generator=own)
        result = objective.losses.generator(both, value, generated.aux, inputs)
        return check_loss("generator", result)

    gradient = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    (value, aux), (direct, of_generated) = gradient(params.generator, generated.value)
    (through,) = generated.pullback(of_generated)
    grads = jax.tree.map(jnp.add, direct, through)  # XLA removes the sum if `direct` is zero
    value_fn = lambda own: loss(own, objective.generate(own, inputs)[0])[0]
    return Evaluation(value, grads, value_fn, *aux)


def discriminator_step(
    objective: Objective,
    optimizer: Pair[optax.GradientTransformation],
    state: TrainState,
    generated: Generated,
    inputs: Inputs,
) -> tuple[TrainState, Metrics]:
    """Updates the discriminator."""
    evaluation = evaluate_discriminator(objective, state.params, generated, inputs)
    state, metrics = apply_gradients(optimizer, state, evaluation, player="discriminator")
    return state, metrics | evaluation.metrics


def generator_step(
    objective: Objective,
    optimizer: Pair[optax.GradientTransformation],
    state: TrainState,
    generated: Generated,
    inputs: Inputs,
) -> tuple[TrainState, Metrics]:
    """Updates the generator, against the discriminator of `state`."""
    inputs = inputs._replace(model_state=state.model_state)
    evaluation = evaluate_generator(objective, state.params, generated, inputs)
    state, metrics = apply_gradients(optimizer, state, evaluation, player="generator")
    return state, metrics | evaluation.metrics


def check_loss(player: str, result: Any) -> tuple[jax.Array, tuple[ModelState, Metrics]]:
    """Checks that a player's loss is a float scalar, and returns the result with it."""
    loss, name = result[0], f"The {player}'s loss"
    fits = jnp.issubdtype(getattr(loss, "dtype", type(loss)), jnp.floating) and jnp.ndim(loss) == 0
    checks.require(fits, name, "a float scalar", checks.shown(loss), error=TypeError)
    return result


def apply_gradients(
    optimizer: Pair[optax.GradientTransformation],
    state: TrainState,
    evaluation: Evaluation,
    *,
    player: str,
) -> tuple[TrainState, Metrics]:
    """Updates a player and its model state, unless its loss or gradient is non-finite."""
    norm = _global_norm(evaluation.grads)
    finite = jnp.isfinite(evaluation.loss) & jnp.isfinite(norm)
    old = (getattr(state.params, player), getattr(state.opt_state, player))
    params, opt_state = _update_if_finite(getattr(optimizer, player), finite, evaluation, *old)
    model_state = state.model_state._replace(**{player: evaluation.model_state})
    state = state.replace(
        params=state.params._replace(**{player: params}),
        opt_state=state.opt_state._replace(**{player: opt_state}),
        model_state=_select_if_finite(finite, model_state, state.model_state),
    )
    return state, {
        f"{player}_loss": evaluation.loss,
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


def apply_optimizer(
    optimizer: optax.GradientTransformation,
    evaluation: Evaluation,
    params: Params,
    opt_state: optax.OptState,
) -> tuple[Params, optax.OptState]:
    """Applies an optimizer, with the extra arguments that it accepts."""
    loss, grads, value_fn = evaluation.loss, evaluation.grads, evaluation.value_fn
    extra = _accepted(optimizer, {"value": loss, "grad": grads, "value_fn": value_fn})
    # optax relies on dtype promotion, which the caller may have disabled.
    with jax.numpy_dtype_promotion("standard"):
        updates, opt_state = optimizer.update(grads, opt_state, params, **extra)
        return optax.apply_updates(params, updates), opt_state


def _update_if_finite(
    optimizer: optax.GradientTransformation,
    finite: Bool[Array, ""],
    evaluation: Evaluation,
    params: Params,
    opt_state: optax.OptState,
) -> tuple[Params, optax.OptState]:
    """Applies the optimizer update if `finite`, else returns the old parameters and state."""

    def update(grads: Params, params: Params, opt_state: PyTree) -> tuple[Params, PyTree]:
        return apply_optimizer(optimizer, evaluation._replace(grads=grads), params, opt_state)

    def branch(grads: Params, *old: PyTree) -> tuple[Params, PyTree]:
        return jax.lax.cond(finite, update, lambda _, *old: old, grads, *old)

    def select(grads: Params, *old: PyTree) -> tuple[Params, PyTree]:
        return _select_if_finite(finite, update(grads, *old), old)

    # On a CPU, a selection copies all parameters and moments. On a GPU, the copy is cheap, but a
    # branch waits for the host.
    old = (params, opt_state)
    return jax.lax.platform_dependent(evaluation.grads, *old, cpu=branch, default=select)


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
