"""The state of a training run: one immutable pytree of arrays."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgan._internal import checks
from jaxgan.types import ModelState, Pair, Params, PyTree

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
    game_state: PyTree = ()

    def replace(self, **changes: Any) -> "TrainState":
        """Returns a copy with the named fields changed.

        Args:
          **changes: new values by field name.

        Raises:
          TypeError: a name is not a field.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            known = name in names
            checks.require(known, "A field", f"one of {names}", repr(name), error=TypeError)
        return dataclasses.replace(self, **changes)


def create(
    key: jax.Array,
    params: Pair[Params],
    optimizer: Pair[optax.GradientTransformation],
    model_state: Pair[ModelState] | None = None,
    *,
    ema: bool = False,
    game_state: PyTree = (),
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
    model_state = Pair({}, {}) if model_state is None else model_state
    checks.key(key)
    checks.pair("params", params, "pytrees of float arrays")
    _check_floats(params)
    checks.optimizers("optimizer", optimizer)
    checks.pair("model_state", model_state, "pytrees of arrays")
    checks.boolean("ema", ema)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=key,
        params=params,
        opt_state=Pair(*(opt.init(p) for opt, p in zip(optimizer, params, strict=True))),
        model_state=model_state,
        ema_params=jax.tree.map(jnp.copy, params.generator) if ema else None,
        game_state=game_state,
    )


def _check_floats(params: Pair[Params]) -> None:
    advice = "Move what is not trained to the model state."
    for player, tree in params._asdict().items():
        for leaf in jax.tree.leaves(tree):
            fits = jnp.issubdtype(getattr(leaf, "dtype", object), jnp.inexact)
            name, got = f"The {player}'s parameters", checks.show(leaf)
            checks.require(fits, name, "arrays of floats", got, advice, error=TypeError)
