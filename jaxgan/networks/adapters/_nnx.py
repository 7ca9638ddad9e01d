"""The adapter from Flax nnx modules to `jaxgan.Network`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgan._internal import checks
from jaxgan.networks.adapters._common import check_make, train_flags
from jaxgan.types import ModelState, Network, Params, PyTree


def from_nnx(make: Callable[..., object]) -> Network:
    """Makes a `Network` from a function that makes a Flax nnx module.

    The module's `nnx.Param` variables become the parameters. Its other variables (`nnx.BatchStat`,
    the vectors of `nnx.SpectralNorm`, custom ones) become the model state. Parameters and model
    state are nested dicts of arrays, keyed by attribute. The model state excludes sown values
    (`nnx.Intermediate`) and random streams: every pass restarts each stream from the pass's key.

    A pass runs `module.train()` or `module.eval()` first. A `__call__` receives flags such as
    `train` as in `from_linen`. Batch statistics are updated as in `from_linen`.

    Args:
      make: `(rngs: nnx.Rngs) -> nnx.Module`, often the class itself. The module's `__call__` takes
        an array with a batch axis, and labels if the GAN has classes.

    Returns:
      A `Network`. `nnx.update(module, params)` and `nnx.update(module, model_state)` copy trained
      arrays into a module.

    Raises:
      TypeError: If `make` is a module, or makes something else, or a parameter of the `__call__`
        can be a flag with an unknown name.

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

    check_make(make, "(rngs) -> module", nnx.Module)
    outline: Any = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    checks.instance("make(rngs)", outline, nnx.Module, "an nnx.Module")
    checks.function("make(rngs)", outline, "of x, defined as __call__")
    options = train_flags(f"{type(outline).__name__}.__call__", outline)
    graphdef, *states = nnx.split(outline, nnx.RngState, ...)
    streams = states[0]

    def arrays(module: object) -> tuple[Params, ModelState]:
        # Plain dicts of arrays, because a pass would overwrite nnx variables in place.
        hidden = (nnx.RngState, nnx.Intermediate)
        _, *states = nnx.split(module, nnx.Param, hidden, ...)
        params, _, others = states
        return nnx.to_pure_dict(params), nnx.to_pure_dict(others)

    def init(key: jax.Array, *inputs: jax.Array) -> tuple[Params, ModelState]:
        return arrays(make(nnx.Rngs(key)))

    def apply(
        params: Params,
        model_state: ModelState,
        *inputs: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[PyTree, ModelState]:
        fresh = _restart(nnx.as_pure(streams), key)
        module: Any = nnx.merge(graphdef, params, model_state, fresh)
        module.train() if train else module.eval()
        y = module(*inputs, **options(train))
        return y, arrays(module)[1] if train else model_state

    return Network(init, apply)


def _restart(streams: PyTree, key: jax.Array | None) -> PyTree:
    """Returns the initial state of random streams, each with its own key."""
    # A module needs the state of its streams even in a pass that draws nothing.
    key = jax.random.key(0) if key is None else key
    leaves, structure = jax.tree.flatten(streams)
    fresh = [
        jax.random.split(jax.random.fold_in(key, i), leaf.shape)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else jnp.zeros(leaf.shape, leaf.dtype)
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, fresh)
