"""From a Flax nnx module to `jaxgan.Network`."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgan._internal import checks
from jaxgan.types import ModelState, Network, Params


def from_nnx(make: Callable[[Any], Any]) -> Network:
    """Makes a `Network` of a function that makes a Flax nnx module.

    The module's `nnx.Param` become the parameters; all its other variables (`nnx.BatchStat`, the
    vectors of `nnx.SpectralNorm`, your own) become the model state, except the state of its random
    streams: each stream starts anew in every pass, from that pass's key. What is sown
    (`nnx.Intermediate`) is dropped. Both are nested dicts of arrays, by attribute.

    A pass runs `module.train()` or `module.eval()` first, and tells `train` to a `__call__` that
    takes it. Every training pass moves the statistics: in a GAN the discriminator's twice in its
    own half-step, with the real batch and then the fake one, as DCGAN does, and never in the
    generator's half-step.

    Args:
      make: `(rngs: nnx.Rngs) -> nnx.Module`, often the class itself. The module's `__call__` takes
        an array with a batch axis, and labels if need be.

    Returns:
      A `Network`. `nnx.update(module, params)` and `nnx.update(module, model_state)` put what was
      trained back into a module.

    Raises:
      TypeError: `make` is a module, or does not make one.

    Example:
      >>> import jax, jaxgan
      >>> from flax import nnx
      >>> make = lambda rngs: nnx.Linear(2, 3, rngs=rngs)
      >>> network = jaxgan.networks.from_nnx(make)
      >>> params, model_state = network.init(jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> y, model_state = network.apply(params, model_state, jax.numpy.ones((5, 2)), train=False)
      >>> y.shape
      (5, 3)
      >>> module = make(nnx.Rngs(0))
      >>> nnx.update(module, params)
      >>> bool((module(jax.numpy.ones((5, 2))) == y).all())
      True
    """
    from flax import nnx

    if isinstance(make, nnx.Module):
        raise TypeError(
            f"from_nnx takes a function (rngs) -> module, not a module; got {type(make).__name__}. "
            "jaxgan initialises networks itself, with keys of its own."
        )
    checks.function("make", make, "(rngs) -> module")
    outline = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    if not isinstance(outline, nnx.Module):
        raise TypeError(f"make(rngs) must return an nnx.Module; got {type(outline).__name__}.")
    knows_train = "train" in inspect.signature(type(outline).__call__).parameters
    graphdef, streams, _ = nnx.split(outline, nnx.RngState, ...)

    def arrays(module: Any) -> tuple[Params, ModelState]:
        # Arrays in dicts, not nnx's own variables: a pass would write into the caller's.
        hidden = (nnx.RngState, nnx.Intermediate)
        _, params, _, others = nnx.split(module, nnx.Param, hidden, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(others)

    def init(key: jax.Array, *inputs: jax.Array) -> tuple[Params, ModelState]:
        return arrays(make(nnx.Rngs(key)))

    def apply(
        params: Params,
        model_state: ModelState,
        *inputs: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Any, ModelState]:
        fresh = _restart(nnx.as_pure(streams), key)
        module = nnx.merge(graphdef, params, model_state, fresh)
        module.train() if train else module.eval()
        y = module(*inputs, **({"train": train} if knows_train else {}))
        return y, arrays(module)[1] if train else model_state

    return Network(init, apply)


def _restart(streams: Any, key: jax.Array | None) -> Any:
    """The state of random streams at their beginning, each with a key of its own."""
    # A module holds its streams even where it draws nothing, as in inference.
    key = jax.random.key(0) if key is None else key
    leaves, structure = jax.tree.flatten(streams)
    fresh = [
        jax.random.split(jax.random.fold_in(key, i), leaf.shape)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else jnp.zeros(leaf.shape, leaf.dtype)
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, fresh)
