"""The state of a training run: one immutable pytree of arrays."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgan._internal import checks
from jaxgan.types import ModelState, Pair, Params

__all__ = ["TrainState", "create"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything a GAN run needs to go on, and nothing else.

    It holds arrays only, never functions, so it can be donated, `vmap`-ed, sharded and written
    to disk as it is. Together with the images it determines all that follows: the key of a step
    is `jax.random.fold_in(state.key, state.step)`.

    Attributes:
      step: int32 scalar, how many updates have been made.
      key: typed PRNG key, fixed for the whole run.
      params: float parameters of both players.
      opt_state: optimizer states of both players.
      model_state: what forward passes move (batch statistics and the like); often empty.
      ema_params: an exponential moving average of the generator's parameters, or None.
      game_state: what the game carries beside the players: the state of a penalty and of an
        adaptive augmentation; often empty.

    Example:
      >>> import jax, optax
      >>> from jaxgan import Pair
      >>> from jaxgan.train_state import create
      >>> params = Pair(generator={"w": jax.numpy.ones(3)}, discriminator={"w": jax.numpy.ones(2)})
      >>> state = create(jax.random.key(0), params, Pair(optax.adam(1e-3), optax.adam(1e-3)))
      >>> int(state.replace(step=state.step + 1).step)
      1
    """

    step: jax.Array
    key: jax.Array
    params: Pair[Params]
    opt_state: Pair[optax.OptState]
    model_state: Pair[ModelState]
    ema_params: Params | None = None
    game_state: Any = ()

    def replace(self, **changes: Any) -> "TrainState":
        """Returns a copy with the named fields changed.

        Args:
          **changes: new values by field name.

        Raises:
          TypeError: a name is not a field.
        """
        names = [field.name for field in dataclasses.fields(self)]
        if unknown := sorted(set(changes) - set(names)):
            raise TypeError(f"A TrainState has no {unknown}, only {names}.")
        return dataclasses.replace(self, **changes)


def create(
    key: jax.Array,
    params: Pair[Params],
    optimizer: Pair[optax.GradientTransformation],
    model_state: Pair[ModelState] | None = None,
    *,
    ema: bool = False,
    game_state: Any = (),
) -> TrainState:
    """Makes the state of step 0 from initialised parameters.

    Args:
      key: typed PRNG key (`jax.random.key`); every later step folds its number into it.
      params: initialised parameters of both players.
      optimizer: one optax transformation for each player.
      model_state: initialised mutable state of both players; empty if not given.
      ema: keep a moving average of the generator's parameters. It starts as a *copy*: two
        fields sharing one buffer could not be donated.
      game_state: the initial state of penalty and augmentation.

    Returns:
      A `TrainState` at step 0.

    Raises:
      TypeError: `key` is not a single typed PRNG key, what belongs to two players no `Pair`, an
        optimizer no optax transformation, or parameters are no arrays of floats.
    """
    checks.key(key)
    for name, value in (("params", params), ("optimizer", optimizer), ("model_state", model_state)):
        if not isinstance(value, Pair) and not (name == "model_state" and value is None):
            raise TypeError(
                f"{name} must be a jaxgan.Pair, one for each player; got {checks.show(value)}."
            )
    _check_players(params, optimizer)
    if not isinstance(ema, bool):
        raise TypeError(f"ema must be True or False; got {checks.show(ema)}.")
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=key,
        params=params,
        opt_state=Pair(*(opt.init(p) for opt, p in zip(optimizer, params, strict=True))),
        model_state=Pair({}, {}) if model_state is None else model_state,
        ema_params=jax.tree.map(jnp.copy, params.generator) if ema else None,
        game_state=game_state,
    )


def _check_players(params: Pair[Params], optimizer: Pair[optax.GradientTransformation]) -> None:
    for player, one in optimizer._asdict().items():
        if not callable(getattr(one, "init", None)):
            raise TypeError(
                f"optimizer.{player} must be an optax transformation, such as optax.adam(1e-3); "
                f"got {checks.show(one)}."
            )
    for player, tree in params._asdict().items():
        for leaf in jax.tree.leaves(tree):
            if not jnp.issubdtype(getattr(leaf, "dtype", object), jnp.inexact):
                raise TypeError(
                    f"The {player}'s parameters must be floats, in arrays, which an optimizer can "
                    f"move; got {checks.show(leaf)}. What is not trained is model state."
                )
