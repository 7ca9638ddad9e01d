"""Defines the types that the modules share: pairs, networks, losses and batches."""

from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import jax

__all__ = [
    "Batch",
    "Labels",
    "Loss",
    "LossFn",
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
"""Nested dicts, lists, tuples and registered classes that contain arrays; or a single array."""

Params = PyTree
"""A pytree of float arrays that an optimizer updates."""

ModelState = PyTree
"""A pytree of arrays that a forward pass may change, such as batch statistics. Often empty."""

Batch = jax.Array
"""Images, float in [-1, 1], `[batch, height, width, channels]`."""

Labels = jax.Array
"""Integers in [0, num_classes), `[batch]`."""

Metrics = dict[str, jax.Array]
"""Metrics by name: scalars for one training step; arrays with one value per step for several."""


class Pair(NamedTuple, Generic[T]):
    """Holds one value for the generator and one for the discriminator.

    A `Pair` is a NamedTuple and therefore a pytree: `jax.tree.map` maps over both values.

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

    `key` is a typed PRNG key, and `x` is an example input with a batch axis. In a GAN with labels,
    the arguments are `(key, x, labels)`.
    """

    def __call__(
        self, key: jax.Array, x: jax.Array, /, *args: Any, **kwargs: Any
    ) -> tuple[Params, ModelState]: ...


class NetworkApply(Protocol):
    """Applies a network: `(params, model_state, x, *, train, key) -> (y, model_state)`.

    In a GAN with labels, the labels follow `x`. jaxgan always passes `train` and `key`. `train` is
    a Python bool. If true, the pass may change `model_state` and use dropout. `key` is a typed PRNG
    key, or None if `train` is false.
    """

    def __call__(
        self, params: Params, model_state: ModelState, x: jax.Array, /, *args: Any, **kwargs: Any
    ) -> tuple[PyTree, ModelState]: ...


class Network(NamedTuple):
    """Holds a network as two pure functions. Every adapter returns a `Network`.

    Args:
      init: a `NetworkInit`, `(key, x) -> (params, model_state)`.
      apply: a `NetworkApply`, `(params, model_state, x, *, train, key) -> (y, model_state)`.

    Example:
      A network without a network library:

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


class LossFn(Protocol):
    """Computes the loss of one network: `(real_logits, fake_logits) -> [batch]`.

    Both arguments are float `[batch]`, the discriminator outputs for real and fake images. `gan`
    takes the mean of the result over the batch.
    """

    def __call__(self, real_logits: jax.Array, fake_logits: jax.Array, /) -> jax.Array: ...


class Loss(NamedTuple):
    """Holds the losses of both networks, and the logit of an undecided discriminator.

    Args:
      generator: the generator's `LossFn`, `(real_logits, fake_logits) -> [batch]`.
      discriminator: the discriminator's `LossFn`.
      boundary: the best logit for an image that is equally likely to be real and fake; or None if
        no such logit exists. `augment.adaptive` and the accuracies in the metrics need a boundary.

    Example:
      >>> from jaxgan import Loss
      >>> loss = Loss(lambda real, fake: -fake, lambda real, fake: (1 - real) ** 2 + fake**2, 0.5)
      >>> loss.boundary
      0.5
    """

    generator: LossFn
    discriminator: LossFn
    boundary: float | None = None
