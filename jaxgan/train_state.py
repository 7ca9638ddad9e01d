"""Defines the state of a training run: one immutable pytree of arrays."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgan._internal import checks, opt_states
from jaxgan._internal.precision import full_precision
from jaxgan.types import ModelState, Pair, Params, PyTree

__all__ = ["TrainState", "create"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Holds everything that a GAN run needs to continue.

    A state contains only arrays, so it can be donated (JAX reuses its memory), mapped with
    `jax.vmap`, sharded and saved. The state and the images determine the rest of the run: the key
    of a training step is `jax.random.fold_in(state.key, state.step)`.

    Attributes:
      step: int32 scalar, the number of training steps so far, below 2^31.
      key: typed PRNG key, fixed for the whole run.
      params: float parameters of both networks.
      opt_state: optimizer states of both networks.
      model_state: arrays that a player's loss changes. In a GAN, each player has a dict:
        "network" (such as batch statistics) and "terms" (the states of the player's terms by name);
        the discriminator also has "augmentation". Their values are often empty.
      ema_params: an exponential moving average of the generator's parameters, float32 or wider;
        or None.
      dynamics_state: the memory of the game's dynamics; often empty.

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
    dynamics_state: PyTree = ()

    def replace(self, **changes: Any) -> "TrainState":
        """Returns a copy with the named fields changed.

        Args:
          **changes: new values by field name.

        Raises:
          TypeError: If a name is not a field.
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
    dynamics_state: PyTree = (),
) -> TrainState:
    """Creates the state of step 0 from initialized parameters.

    Args:
      key: typed PRNG key (`jax.random.key`), from which each training step derives its own key.
      params: initialized float parameters of both networks.
      optimizer: one optax transformation for each network.
      model_state: initialized model states of both networks; empty if None.
      ema: whether to keep a moving average of the generator's parameters. The average starts as a
        copy, because JAX cannot donate two fields that share a buffer. The copy is at least
        float32, because bfloat16 would round small changes to zero.
      dynamics_state: the initial memory of the game's dynamics, which is copied for the same
        reason.

    Returns:
      A `TrainState` at step 0.

    Raises:
      TypeError: If `key` is not a single typed PRNG key, `params`, `optimizer` or `model_state` is
        not a `Pair`, an optimizer is not an optax transformation, or parameters are not arrays of
        floats.
      ValueError: If an optimizer is `optax.lookahead`, which needs two copies of the parameters.
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
        opt_state=opt_states.init(optimizer, params),
        model_state=model_state,
        ema_params=jax.tree.map(_start_average, params.generator) if ema else None,
        dynamics_state=jax.tree.map(jnp.copy, dynamics_state),
    )


def _start_average(x: jax.Array) -> jax.Array:
    return full_precision(jnp.copy(x))


def _check_floats(params: Pair[Params]) -> None:
    advice = "Put arrays that are not trained into the model state."
    for network, tree in params._asdict().items():
        for leaf in jax.tree.leaves(tree):
            fits = jnp.issubdtype(getattr(leaf, "dtype", object), jnp.floating)
            name, got = f"The {network}'s parameters", checks.show(leaf)
            checks.require(fits, name, "arrays of floats", got, advice, error=TypeError)
