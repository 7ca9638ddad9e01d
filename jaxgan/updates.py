"""Performs the halves of a training step separately, for your own training loops.

`update` of a GAN or a game performs discriminator steps and a generator step on one batch. The
functions of this module perform one of them, so that a loop can choose how often each player moves,
and on which data. Terms and augmentations that depend on a step receive `state.step`, which counts
generator steps. `penalties.lazy` therefore applies to all discriminator steps before the same
generator step, or to none.
"""

from typing import Any

import jax

from jaxgan import _players
from jaxgan._game import GAN, Game
from jaxgan._internal import checks
from jaxgan.dynamics import Dynamics, Rules
from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Inputs, Metrics, Pair

__all__ = ["discriminator_step", "generator_step"]


def discriminator_step(
    gan: GAN | Game, state: TrainState, batch: Batch = (), key: jax.Array | None = None
) -> tuple[TrainState, Metrics]:
    """Updates the discriminator once, on a whole batch and new samples.

    The step number and the generator's average do not change. A following `generator_step` with the
    same key uses the same latents, as `update` does.

    Args:
      gan: a `jaxgan.GAN` or a `jaxgan.Game`.
      state: a `TrainState`.
      batch: the batch, as for `gan.update`.
      key: typed PRNG key of the step; by default `fold_in(state.key, state.step)`. Several
        discriminator steps before one generator step need different keys.

    Returns:
      The new state, and the discriminator's metrics.

    Raises:
      TypeError: If `gan` is not a GAN or a game, or as `gan.update` does.
      ValueError: As `gan.update` does.

    Example:
      Two discriminator steps for each generator step, on batches of a loader:

      >>> import jax, jaxgan, numpy as np, optax
      >>> from jaxgan import updates
      >>> gan = jaxgan.gan(
      ...     jaxgan.networks.MLPGenerator((4, 4, 1), features=(8,)),
      ...     jaxgan.networks.MLPDiscriminator(features=(8,)),
      ...     jaxgan.losses.non_saturating(),
      ...     jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
      ...     latents=2,
      ... )
      >>> loader = iter(np.random.default_rng(0).uniform(-1, 1, (3, 8, 4, 4, 1)))
      >>> state = gan.init(jax.random.key(0), next(loader))
      >>> for number in range(2):
      ...     key = jax.random.fold_in(jax.random.key(1), number)
      ...     state, metrics = updates.discriminator_step(gan, state, next(loader), key)
      >>> state, metrics = updates.generator_step(gan, state, np.zeros((8, 4, 4, 1)))
      >>> int(state.step)
      1
    """
    after, metrics = _half_step(gan, state, batch, key, _DISCRIMINATOR)
    return after.replace(step=state.step, ema_params=state.ema_params), metrics


def generator_step(
    gan: GAN | Game, state: TrainState, batch: Batch = (), key: jax.Array | None = None
) -> tuple[TrainState, Metrics]:
    """Updates the generator once, counts the step, and updates the generator's average.

    Args:
      gan: a `jaxgan.GAN` or a `jaxgan.Game`.
      state: a `TrainState`.
      batch: the batch, as for `gan.update`. Its size is the number of samples.
      key: typed PRNG key of the step; by default `fold_in(state.key, state.step)`.

    Returns:
      The new state, and the generator's metrics.

    Raises:
      TypeError: If `gan` is not a GAN or a game, or as `gan.update` does.
      ValueError: As `gan.update` does.

    Example:
      See `discriminator_step`.
    """
    return _half_step(gan, state, batch, key, _GENERATOR)


def _half_step(
    gan: Any, state: TrainState, batch: Batch, key: jax.Array | None, dynamics: Dynamics
) -> tuple[TrainState, Metrics]:
    is_game, got = isinstance(gan, GAN | Game), checks.shown(gan)
    checks.require(is_game, "gan", "a jaxgan.GAN or a jaxgan.Game", got, error=TypeError)
    return gan.update(state, batch, dynamics=dynamics, key=key)


def _half(step: Any) -> Dynamics:
    """Returns the dynamics in which one player moves."""

    def update(
        rules: Rules, state: TrainState, shares: tuple[Batch, ...], key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        inputs = Inputs(state.model_state, shares[0], key, Pair(state.step, state.step))
        generated = _players.generate(rules.objective, state.params.generator, inputs)
        return step(*rules, state, generated, inputs)

    return Dynamics(lambda params: (), update)


_DISCRIMINATOR = _half(_players.discriminator_step)
_GENERATOR = _half(_players.generator_step)
