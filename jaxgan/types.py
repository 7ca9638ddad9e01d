"""What everything else agrees on: two players, and what a player, a loss and a batch are."""

from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import jax

__all__ = [
    "Batch",
    "Labels",
    "Loss",
    "Metrics",
    "ModelState",
    "Network",
    "NetworkApply",
    "NetworkInit",
    "Pair",
    "Params",
    "PyTree",
]

T = TypeVar("T")

PyTree = Any
"""Arrays in nested dicts, lists, tuples and registered classes; also a single array."""

Params = PyTree
"""A pytree of float arrays: what an optimizer moves."""

ModelState = PyTree
"""A pytree of arrays that a forward pass may move, such as batch statistics. Often empty."""

Batch = jax.Array
"""Images, float in [-1, 1], `[batch, height, width, channels]`."""

Labels = jax.Array
"""Integers in [0, num_classes), `[batch]`."""

Metrics = dict[str, jax.Array]
"""Scalars by name, one step's worth."""


class Pair(NamedTuple, Generic[T]):
    """One value for each of the two players.

    A NamedTuple, so it is a pytree, and `jax.tree.map` reaches both sides.

    Example:
      >>> from jaxgan import Pair
      >>> learning_rate = Pair(generator=1e-4, discriminator=4e-4)
      >>> learning_rate.discriminator
      0.0004
    """

    generator: T
    discriminator: T


class NetworkInit(Protocol):
    """Initializes a network: `(key, x) -> (params, model_state)`.

    `key` is a typed PRNG key, and `x` an example of the input with a batch axis. In a GAN with
    labels they follow: `(key, x, labels)`.
    """

    def __call__(
        self, key: jax.Array, x: jax.Array, /, *args: Any, **kwargs: Any
    ) -> tuple[Params, ModelState]: ...


class NetworkApply(Protocol):
    """Applies a network: `(params, model_state, x, *, train, key) -> (y, model_state)`.

    Labels, if any, follow `x`. jaxgan always passes `train` and `key`. `train` is a Python bool:
    whether the pass may move `model_state` and use dropout. `key` is a typed PRNG key, or None
    where `train` is false.
    """

    def __call__(
        self, params: Params, model_state: ModelState, x: jax.Array, /, *args: Any, **kwargs: Any
    ) -> tuple[PyTree, ModelState]: ...


class Network(NamedTuple):
    """A network as two pure functions; every adapter returns one.

    Args:
      init: a `NetworkInit`, `(key, x) -> (params, model_state)`.
      apply: a `NetworkApply`, `(params, model_state, x, *, train, key) -> (y, model_state)`.

    Example:
      A network needs no library at all:

      >>> import jax.numpy as jnp
      >>> from jaxgan import Network
      >>> def init(key, x):
      ...     return {"scale": jnp.ones(x.shape[-1])}, {}
      >>> def apply(params, model_state, x, *, train, key=None):
      ...     return x * params["scale"], model_state
      >>> network = Network(init, apply)
    """

    init: NetworkInit
    apply: NetworkApply


class Loss(Protocol):
    """What one player minimizes: `(real_logits, fake_logits) -> [batch]`.

    Elementwise over the batch; `gan` takes the mean. Both arguments are `[batch]` floats.
    """

    def __call__(self, real_logits: jax.Array, fake_logits: jax.Array, /) -> jax.Array: ...
