"""Defines the types of dynamics, and how both players move at once."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import optax

from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Metrics, Objective, Pair, Params, PyTree


class Rules(NamedTuple):
    """Holds the losses of a game and the optimizers of its players.

    Args:
      objective: a `jaxgan.Objective`.
      optimizer: one optax transformation for each player.
    """

    objective: Objective
    optimizer: Pair[optax.GradientTransformation]


class DynamicsUpdate(Protocol):
    """Moves the players once: `(rules, state, shares, key) -> (state, metrics)`.

    `shares` is a tuple with as many equal parts of the batch as `Dynamics.shares`. `key` is the
    typed PRNG key of the training step. Evaluate `rules.objective` with `jaxgan.types.Inputs`. The
    parameters and the memory in the new state keep their structure. `metrics` is a dict of scalars.
    The step number and the average of the generator's parameters are updated afterwards.
    """

    def __call__(
        self, rules: Rules, state: TrainState, shares: tuple[Batch, ...], key: jax.Array, /
    ) -> tuple[TrainState, Metrics]: ...


class Dynamics(NamedTuple):
    """Holds a dynamics as two pure functions.

    Args:
      init: `(params) -> memory`, a pytree of arrays that is kept in `TrainState.dynamics_state`;
        `()` for a dynamics without memory. `params` is a `Pair`.
      update: a `DynamicsUpdate`, `(rules, state, shares, key) -> (state, metrics)`.
      shares: the number of equal parts into which each batch is cut.

    Example:
      >>> from jaxgan import dynamics
      >>> dynamics.alternating(discriminator_steps=5).shares
      5
    """

    init: Callable[[Pair[Params]], PyTree]
    update: DynamicsUpdate
    shares: int = 1
