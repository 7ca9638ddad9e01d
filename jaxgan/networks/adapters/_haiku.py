"""From a Haiku function to `jaxgan.Network`."""

import inspect
from collections.abc import Callable
from typing import Any

import jax

from jaxgan.types import ModelState, Network, Params


def from_haiku(function: Callable[..., Any]) -> Network:
    """Makes a `Network` of a function that uses Haiku modules.

    The adapter transforms the function, with state. Parameters and model state (batch statistics,
    the vectors of `hk.SpectralNorm`) are Haiku's own nested dicts; `hk.next_rng_key()` draws from
    the key of the pass. If the function takes `train`, it is told; it is initialised as in
    training, for only then does Haiku make all of its state. Every training pass moves the
    statistics: in a GAN the discriminator's twice in its own half-step, with the real batch and
    then the fake one, as DCGAN does, and never in the generator's half-step.

    Args:
      function: `(x[, labels][, train]) -> y`, not transformed. `x` has a batch axis.

    Returns:
      A `Network`. `hk.transform_with_state(function).apply(params, model_state, key, x)` takes
      what was trained as it is.

    Raises:
      ImportError: Haiku is not installed.
      TypeError: `function` is transformed already, or no function.

    Example:
      >>> import haiku as hk, jax, jaxgan
      >>> network = jaxgan.networks.from_haiku(lambda x: hk.Linear(3)(x))
      >>> params, model_state = network.init(jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> y, model_state = network.apply(params, model_state, jax.numpy.ones((5, 2)), train=False)
      >>> y.shape
      (5, 3)
      >>> params["linear"]["w"].shape
      (2, 3)
    """
    try:
        import haiku as hk
    except ImportError as error:
        raise ImportError("from_haiku needs Haiku: pip install dm-haiku") from error

    if not callable(function):  # what hk.transform returns is not
        raise TypeError(
            f"from_haiku takes the function itself, and transforms it; got "
            f"{type(function).__name__}."
        )
    transformed = hk.transform_with_state(function)
    knows_train = "train" in inspect.signature(function).parameters

    def options(train: bool) -> dict[str, Any]:
        return {"train": train} if knows_train else {}

    def init(key: jax.Array, *inputs: jax.Array) -> tuple[Params, ModelState]:
        with jax.numpy_dtype_promotion("standard"):
            return transformed.init(key, *inputs, **options(train=True))

    def apply(
        params: Params,
        model_state: ModelState,
        *inputs: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Any, ModelState]:
        # Haiku's dropout multiplies floats by booleans; that must not trouble a caller who forbids
        # it elsewhere.
        with jax.numpy_dtype_promotion("standard"):
            y, moved = transformed.apply(params, model_state, key, *inputs, **options(train))
        return y, moved if train else model_state

    return Network(init, apply)
