"""Defines the types that the modules share: pairs, networks, losses, games and batches."""

from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import jax

__all__ = [
    "Batch",
    "Condition",
    "Generate",
    "Inputs",
    "Loss",
    "LossFn",
    "Metrics",
    "ModelState",
    "Network",
    "NetworkApply",
    "NetworkInit",
    "Objective",
    "ObjectiveInit",
    "Pair",
    "Params",
    "PlayerLoss",
    "PyTree",
]

T = TypeVar("T")

PyTree = Any
"""Nested dicts, lists, tuples and registered classes that contain arrays; or a single array."""

Params = PyTree
"""A pytree of float arrays that an optimizer updates."""

ModelState = PyTree
"""A pytree of arrays that a forward pass may change, such as batch statistics. Often empty."""

Condition = PyTree
"""A pytree of arrays `[batch, ...]` that both networks receive, such as labels or images."""

Batch = PyTree
"""The data of a training step. For `jaxgan.gan`, images or a tuple `(images, condition)`.

Images are float, `[batch, height, width, channels]`, in [-1, 1]; or other data, `[batch, ...]`.
"""

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

    `key` is a typed PRNG key, and `x` is an example input with a batch axis. In a GAN with
    conditions, the arguments are `(key, x, condition)`.
    """

    def __call__(
        self, key: jax.Array, x: jax.Array, /, *args: Any, **kwargs: Any
    ) -> tuple[Params, ModelState]: ...


class NetworkApply(Protocol):
    """Applies a network: `(params, model_state, x, *, train, key) -> (y, model_state)`.

    In a GAN with conditions, the condition follows `x`. jaxgan always passes `train` and `key`.
    `train` is a Python bool. If true, the pass may change `model_state` and use dropout. `key` is a
    typed PRNG key, or None if `train` is false.
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
    """Computes the loss of one network: `(real_logits, fake_logits) -> [batch, ...]`.

    Both arguments are float, the discriminator outputs for real and fake images: `[batch]`, or
    `[batch, ...]` for a discriminator of patches. The result has the shape of the logits. `gan`
    takes its mean.
    """

    def __call__(self, real_logits: jax.Array, fake_logits: jax.Array, /) -> jax.Array: ...


class Loss(NamedTuple):
    """Holds the losses of both networks, and the logit of an undecided discriminator.

    Args:
      generator: the generator's `LossFn`, `(real_logits, fake_logits) -> [batch, ...]`.
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


class Inputs(NamedTuple):
    """Holds everything that a player's loss depends on, except parameters.

    Args:
      model_state: the model states of both players.
      batch: the data of the step.
      key: typed PRNG key of the step.
      steps: int32 scalars that count the steps of each player.
    """

    model_state: Pair[ModelState]
    batch: Batch
    key: jax.Array
    steps: Pair[jax.Array]


class ObjectiveInit(Protocol):
    """Initializes both players: `(keys, batch) -> (params, model_state)`.

    `keys` and the results are `Pair`s. Only shapes and dtypes of `batch` may affect the result.
    """

    def __call__(
        self, keys: Pair[jax.Array], batch: Batch, /
    ) -> tuple[Pair[Params], Pair[ModelState]]: ...


class Generate(Protocol):
    """Computes what both losses share: `(generator_params, inputs) -> (generated, aux)`.

    `generated` is a pytree of float arrays, through which the generator's gradient flows. `aux` is
    any pytree of arrays that is not differentiated, such as latents.
    """

    def __call__(self, params: Params, inputs: Inputs, /) -> tuple[PyTree, PyTree]: ...


class PlayerLoss(Protocol):
    """Computes a player's loss: `(params, generated, aux, inputs) -> (loss, (state, metrics))`.

    `params` are those of both players. `state` is the player's new model state.
    """

    def __call__(
        self, params: Pair[Params], generated: PyTree, aux: PyTree, inputs: Inputs, /
    ) -> tuple[jax.Array, tuple[ModelState, Metrics]]: ...


class Objective(NamedTuple):
    """Holds the losses of two players as pure functions of the parameters of both.

    The losses have two stages, so that both use one pass of the generator. `jaxgan.gan` builds the
    objective of a GAN, and `jaxgan.objective` one from a function of both losses.

    Args:
      init: an `ObjectiveInit`, `(keys, batch) -> (params, model_state)`.
      generate: a `Generate`, `(generator_params, inputs) -> (generated, aux)`.
      losses: a `Pair` of `PlayerLoss`, `(params, generated, aux, inputs) -> (loss, (state,
        metrics))`.
    """

    init: ObjectiveInit
    generate: Generate
    losses: Pair[PlayerLoss]
