"""From an Equinox module to `jaxgan.Network`."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgan._internal import checks
from jaxgan.types import ModelState, Network, Params


def from_equinox(make: Callable[[jax.Array], Any]) -> Network:
    """Makes a `Network` of a function that makes an Equinox module.

    Equinox modules act on one example. The adapter maps over the batch, an axis that it names
    `"batch"`: that is the `axis_name` to give to `eqx.nn.BatchNorm`. Every example has a key of its
    own. If the module's `__call__` takes `state`, `key` or `train`, it is given them by name; with
    `state` it must return `(y, state)`. `eqx.nn.inference_mode` is switched with `train`.

    The parameters are the module with its float arrays only (`eqx.is_inexact_array`). The model
    state holds `"state"`, the `eqx.nn.State` with the batch statistics and the vectors of
    `eqx.nn.SpectralNorm`, and `"buffers"`, the module with its other arrays only, which never move.
    Every training pass moves the statistics: in a GAN the discriminator's twice in its own
    half-step, with the real batch and then the fake one, as DCGAN does, and never in the
    generator's half-step.

    Args:
      make: `(key) -> eqx.Module`. The module's `__call__` takes one example, without a batch axis,
        and its label if need be.

    Returns:
      A `Network`. With `module, _ = eqx.nn.make_with_state(make)(key)`, what was trained is
      `eqx.combine(params, model_state["buffers"], module)`, and `model_state["state"]` its state.

    Raises:
      ImportError: Equinox is not installed.
      TypeError: `make` is a module, or does not make one.

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
    try:
        import equinox as eqx
    except ImportError as error:
        raise ImportError("from_equinox needs Equinox: pip install equinox") from error

    if isinstance(make, eqx.Module):
        raise TypeError(
            f"from_equinox takes a function (key) -> module, not a module; got "
            f"{type(make).__name__}. jaxgan initialises networks itself, with keys of its own."
        )
    checks.function("make", make, "(key) -> module")
    make_with_state = eqx.nn.make_with_state(make)
    outline, _ = eqx.filter_eval_shape(make_with_state, jax.random.key(0))
    if not isinstance(outline, eqx.Module):
        raise TypeError(f"make(key) must return an eqx.Module; got {type(outline).__name__}.")
    is_array = jax.tree.map(lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), outline)
    static = eqx.filter(outline, is_array, inverse=True)
    asked = {"state", "key", "train"} & set(inspect.signature(type(outline).__call__).parameters)

    def init(key: jax.Array, *inputs: jax.Array) -> tuple[Params, ModelState]:
        module, state = make_with_state(key)
        # Functions among the static fields may be new in every module; the outline's stand for all.
        module = jax.tree.unflatten(jax.tree.structure(outline), jax.tree.leaves(module))
        params, buffers = eqx.partition(eqx.filter(module, is_array), eqx.is_inexact_array)
        return params, {"state": state, "buffers": jax.tree.map(jnp.asarray, buffers)}

    def apply(
        params: Params,
        model_state: ModelState,
        *inputs: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[Any, ModelState]:
        module = eqx.combine(params, model_state["buffers"], static)
        module = eqx.nn.inference_mode(module, not train)

        def one(example: tuple[jax.Array, ...], state: Any, key: jax.Array | None) -> Any:
            offered = {"state": state, "key": key, "train": train}
            answer = module(*example, **{name: offered[name] for name in asked})
            return answer if "state" in asked else (answer, state)

        keys = None if key is None else jax.random.split(key, inputs[0].shape[0])
        every = jax.vmap(one, in_axes=(0, None, 0), out_axes=(0, None), axis_name="batch")
        y, state = every(inputs, model_state["state"], keys)
        return y, {**model_state, "state": state} if train else model_state

    return Network(init, apply)
