"""The adapter from Equinox modules to `jaxgan.Network`."""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan._internal import checks
from jaxgan.networks.adapters._common import check_make, import_library, train_flags
from jaxgan.types import ModelState, Network, Params, PyTree


def from_equinox(make: Callable[[jax.Array], object]) -> Network:
    """Makes a `Network` from a function that makes an Equinox module.

    Equinox modules take one example. The adapter maps over the batch, an axis named `"batch"`: pass
    this `axis_name` to `eqx.nn.BatchNorm`. Every example has its own key. A `__call__` with
    parameters `state` or `key` receives them by name, and flags such as `train` as in `from_linen`.
    With `state` it must return `(y, state)`. `eqx.nn.inference_mode` follows `train`.

    The parameters are the module with its float arrays only (`eqx.is_inexact_array`). The model
    state holds `"state"`, the `eqx.nn.State` with the batch statistics and the vectors of
    `eqx.nn.SpectralNorm`, and `"buffers"`, the module with its other arrays only, which stay
    constant. Batch statistics are updated as in `from_linen`. They have the `dtype` of
    `eqx.nn.BatchNorm`: keep float32 there, because bfloat16 rounds small updates to zero.

    Args:
      make: `(key) -> eqx.Module`. The module's `__call__` takes one example, without a batch axis,
        and its label if the GAN has classes.

    Returns:
      A `Network`. With `module, _ = eqx.nn.make_with_state(make)(key)`, the trained module is
      `eqx.combine(params, model_state["buffers"], module)`, and `model_state["state"]` its state.

    Raises:
      ImportError: If Equinox is not installed.
      TypeError: If `make` is a module, or makes something else, or a parameter of the `__call__`
        can be a flag with an unknown name.

    Example:
      >>> import equinox as eqx, jax, jaxgan
      >>> make = lambda key: eqx.nn.Linear(2, 3, key=key)
      >>> network = jaxgan.networks.from_equinox(make)
      >>> params, model_state = network.init(jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> y, model_state = network.apply(params, model_state, jax.numpy.ones((5, 2)), train=False)
      >>> y.shape
      (5, 3)
      >>> params.weight.shape
      (3, 2)
    """
    eqx = import_library("equinox", "equinox")
    check_make(make, "(key) -> module", eqx.Module)
    make_with_state = eqx.nn.make_with_state(make)
    outline, _ = eqx.filter_eval_shape(make_with_state, jax.random.key(0))
    checks.instance("make(key)", outline, eqx.Module, "an eqx.Module")
    checks.function("make(key)", outline, "of one example, defined as __call__")
    options = train_flags(f"{type(outline).__name__}.__call__", outline, ("state", "key"))
    is_array = jax.tree.map(lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), outline)
    static = eqx.filter(outline, is_array, inverse=True)

    def init(key: jax.Array, *inputs: jax.Array) -> tuple[Params, ModelState]:
        module, state = make_with_state(key)
        # Static fields may hold functions that each `make` creates again. With those of the
        # outline, all modules have one tree structure.
        module = jax.tree.unflatten(jax.tree.structure(outline), jax.tree.leaves(module))
        params, buffers = eqx.partition(eqx.filter(module, is_array), eqx.is_inexact_array)
        return params, {"state": state, "buffers": jax.tree.map(jnp.asarray, buffers)}

    def apply(
        params: Params,
        model_state: ModelState,
        *inputs: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[PyTree, ModelState]:
        module = eqx.combine(params, model_state["buffers"], static)
        one = _for_one_example(eqx.nn.inference_mode(module, not train), options(train))
        keys = None if key is None else jax.random.split(key, inputs[0].shape[0])
        every = jax.vmap(one, in_axes=(0, None, 0), out_axes=(0, None), axis_name="batch")
        y, state = every(inputs, model_state["state"], keys)
        return y, {**model_state, "state": state} if train else model_state

    return Network(init, apply)


def _for_one_example(
    module: Callable, flags: dict[str, bool]
) -> Callable[..., tuple[PyTree, PyTree]]:
    """Makes a function `(inputs, state, key) -> (y, state)` from a module's `__call__`.

    The module receives `flags`, and `state` and `key` if its `__call__` has these parameters.
    """
    parameters = inspect.signature(type(module).__call__).parameters

    def call(
        inputs: tuple[jax.Array, ...], state: PyTree, key: jax.Array | None
    ) -> tuple[PyTree, PyTree]:
        offered = {"state": state, "key": key}
        taken = {name: value for name, value in offered.items() if name in parameters}
        y = module(*inputs, **taken, **flags)
        return y if "state" in parameters else (y, state)

    return call
