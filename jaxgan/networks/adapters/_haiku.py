"""The adapter from Haiku functions to `jaxgan.Network`."""

from collections.abc import Callable

import jax

from jaxgan._internal import checks
from jaxgan.networks.adapters._common import import_library, train_flags
from jaxgan.types import ModelState, Network, Params, PyTree


def from_haiku(function: Callable[..., PyTree]) -> Network:
    """Makes a `Network` from a function that uses Haiku modules.

    The adapter calls `hk.transform_with_state`. Parameters and model state (batch statistics, the
    vectors of `hk.SpectralNorm`) are Haiku's nested dicts. `hk.next_rng_key()` draws from the key
    of the pass. A function receives flags such as `train` as in `from_linen`. `init` runs a
    training pass, because Haiku creates some state only there. Batch statistics are updated as in
    `from_linen`. They have the dtype of the inputs of `hk.BatchNorm`: cast bfloat16 inputs to
    float32 there, because bfloat16 rounds small updates to zero.

    Args:
      function: `(x[, labels][, train]) -> y`, before any transformation. `x` has a batch axis.

    Returns:
      A `Network`. `hk.transform_with_state(function).apply(params, model_state, key, x)` takes the
      trained parameters and state.

    Raises:
      ImportError: If Haiku is not installed.
      TypeError: If `function` is already transformed, or is not a function, or a parameter can be a
        flag with an unknown name.

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
    hk = import_library("haiku", "dm-haiku")
    checks.function("function", function, "as it is before hk.transform")
    options = train_flags(getattr(function, "__name__", "function"), function)
    transformed = hk.transform_with_state(function)

    def init(key: jax.Array, *inputs: jax.Array) -> tuple[Params, ModelState]:
        with jax.numpy_dtype_promotion("standard"):
            return transformed.init(key, *inputs, **options(True))

    def apply(
        params: Params,
        model_state: ModelState,
        *inputs: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[PyTree, ModelState]:
        # Haiku's dropout multiplies floats by booleans, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"):
            y, moved = transformed.apply(params, model_state, key, *inputs, **options(train))
        return y, moved if train else model_state

    return Network(init, apply)
