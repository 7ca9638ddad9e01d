"""Evaluates the vector field of a game, and moves both players at once.

The callers check the arguments.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan import _players
from jaxgan._internal.shapes import Array, Bool, Float
from jaxgan.dynamics._types import Dynamics, Rules
from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Inputs, Metrics, ModelState, Pair, Params, PyTree


class Field(NamedTuple):
    """Holds both players' gradients at one point, and what their losses return.

    Attributes:
      grads: the gradient of each player's loss with respect to the player's own parameters.
      losses: both losses.
      model_state: both players' model states after the evaluation.
      metrics: the metrics of both players.
    """

    grads: Pair[Params]
    losses: Pair[Float[Array, ""]]
    model_state: Pair[ModelState]
    metrics: Metrics

    def finite(self) -> Bool[Array, ""]:
        """Returns whether all losses and gradients are finite."""
        values = (*self.losses, *map(optax.tree.norm, self.grads))
        return jnp.all(jnp.stack([jnp.isfinite(x) for x in values]))


VectorField = Callable[[Pair[Params]], tuple[Pair[Params], Field]]
"""A function `(params) -> (grads, field)`, to be differentiated with `has_aux`."""


class Direction(NamedTuple):
    """Holds the directions against which the players move, and what they are computed from."""

    directions: Pair[Params]
    field: Field
    memory: PyTree = ()


def inputs_of(state: TrainState, batch: Batch, key: jax.Array) -> Inputs:
    """Returns the inputs of a step in which both players move at once."""
    return Inputs(state.model_state, batch, key, Pair(state.step, state.step))


def vector_field(rules: Rules, inputs: Inputs) -> VectorField:
    """Returns the gradients of both players as a function of both players' parameters."""

    def evaluate(params: Pair[Params]) -> tuple[Pair[Params], Field]:
        generated = _players.generate(rules.objective, params.generator, inputs)
        both = Pair(
            _players.evaluate_generator(rules.objective, params, generated, inputs),
            _players.evaluate_discriminator(rules.objective, params, generated, inputs),
        )
        grads, losses, states = (
            Pair(*(getattr(x, name) for x in both)) for name in ("grads", "loss", "model_state")
        )
        metrics = both.discriminator.metrics | both.generator.metrics
        return grads, Field(grads, losses, states, metrics)

    return evaluate


def move_both(
    rules: Rules, state: TrainState, field: Field, directions: Pair[Params]
) -> tuple[TrainState, Metrics]:
    """Applies both optimizers to directions. A non-finite field skips both players.

    A solver can hide a non-finite gradient, so the gradients themselves are checked.
    """
    finite, metrics = field.finite(), dict(field.metrics)
    for player in ("discriminator", "generator"):
        loss, model_state = (getattr(x, player) for x in (field.losses, field.model_state))
        evaluation = _players.Evaluation(
            loss=jnp.where(finite, loss, jnp.nan),
            grads=getattr(directions, player),
            value_fn=functools.partial(_constant, loss),
            model_state=model_state,
            metrics={},
        )
        state, own = _players.apply_gradients(rules.optimizer, state, evaluation, player=player)
        metrics |= own | {f"{player}_loss": loss}
    return state, metrics


def _constant(loss: Float[Array, ""], params: Params) -> Float[Array, ""]:
    """Returns the loss of this step, whatever the parameters: a line search sees no descent."""
    return loss


def moving_against(
    direction: Callable[[VectorField, Pair[Params], PyTree], Direction],
    init: Callable[[Pair[Params]], PyTree] = lambda params: (),
) -> Dynamics:
    """Returns a dynamics in which both players move at once, against directions.

    `direction` maps the vector field, the parameters and the memory to a `Direction`.
    """

    def update(
        rules: Rules, state: TrainState, shares: tuple[Batch, ...], key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        field = vector_field(rules, inputs_of(state, shares[0], key))
        found = direction(field, state.params, state.dynamics_state)
        moved, metrics = move_both(rules, state, found.field, found.directions)
        memory = select(found.field.finite(), found.memory, state.dynamics_state)
        return moved.replace(dynamics_state=memory), metrics

    return Dynamics(init, update)


def select(finite: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    """Returns the new pytree if `finite`, else the old one."""
    return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)
