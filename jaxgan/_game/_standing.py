"""Recomputes the generator's running averages, so that they weight many passes equally.

The caller checks the arguments.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan._internal.precision import full_precision
from jaxgan._internal.shapes import Array, Bool, Float, Key
from jaxgan.types import ModelState, Network, Params, PyTree

Floats = list[jax.Array]
"""The float leaves of a model state, at least float32."""

_ROUNDS = 2
_TOLERANCE = 1e-3  # far above the rounding error of a memory, and far below a vector's variation
_LARGEST_MEMORY = 1 - 1e-5  # above, `1 - memory` is mostly rounding error


def standing_model_state(
    network: Network,
    params: Params,
    model_state: ModelState,
    inputs: tuple[PyTree, ...],
    key: Key[Array, ""],
) -> ModelState:
    r"""Returns the model state with averages that weight all passes equally.

    A training pass with statistics $b_i$ replaces an average $s$ by $f_i(s) = ms + (1 - m)b_i$. The
    mean of the $b_i$ is the $s$ that equals the mean of all $f_i(s)$. A Newton step finds $s$:

    $$s \leftarrow s + \frac{\bar f(s) - s}{1 - m}.$$

    The first step finds all averages that depend only on the $b_i$. The second step finds values
    that derive from them, such as Haiku's bias-corrected averages, and reduces rounding errors.

    Args:
      network: the generator.
      params: its parameters.
      model_state: its model state.
      inputs: latents `[passes, batch, ...]`, and a condition `[passes, batch, ...]` if given.
      key: the key of the passes.
    """
    start = _floats(model_state)

    def run(floats: Floats, inputs: tuple[PyTree, ...], key: Key[Array, ""]) -> Floats:
        given = _replace_floats(model_state, floats)
        _, moved = network.apply(params, given, *inputs, train=True, key=key)
        return [y.astype(x.dtype) for x, y in zip(floats, _floats(moved), strict=True)]

    few = jax.tree.map(lambda x: x[0, :2], inputs)
    memories = _memories(lambda floats: run(floats, few, key), start)
    num_passes = jax.tree.leaves(inputs)[0].shape[0]
    passes = (inputs, jax.random.split(key, num_passes))

    def newton_step(floats: Floats, _: None) -> tuple[Floats, None]:
        rows = zip(floats, _mean_change(run, floats, passes), memories, strict=True)
        return [
            jnp.where(is_average, x + change / (1 - memory), x)
            for x, change, (memory, is_average) in rows
        ], None

    floats, _ = jax.lax.scan(newton_step, start, None, _ROUNDS)
    return _replace_floats(model_state, floats, cast=True)


def _is_float(x: jax.Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def _floats(model_state: ModelState) -> Floats:
    """Returns the float leaves, cast to at least float32."""
    return [full_precision(x) for x in jax.tree.leaves(model_state) if _is_float(x)]


def _replace_floats(model_state: ModelState, floats: Floats, *, cast: bool = False) -> ModelState:
    """Replaces the float leaves, and with `cast` keeps their dtypes."""
    new = iter(floats)

    def replace(x: jax.Array) -> jax.Array:
        if not _is_float(x):
            return x
        return next(new).astype(x.dtype) if cast else next(new)

    return jax.tree.map(replace, model_state)


def _mean_change(run: Callable[..., Floats], floats: Floats, passes: PyTree) -> Floats:
    """Returns the mean over the passes of the change of each leaf."""

    def add(total: Floats, one: PyTree) -> tuple[Floats, None]:
        rows = zip(total, floats, run(floats, *one), strict=True)
        return [t + (y - x) for t, x, y in rows], None

    total, _ = jax.lax.scan(add, [jnp.zeros_like(x) for x in floats], passes)
    return [t / len(passes[1]) for t in total]


def _memories(
    run: Callable[[Floats], Floats], floats: Floats
) -> list[tuple[Float[Array, ""], Bool[Array, ""]]]:
    """Returns the weight of each leaf's old value in its new value, and whether it is an average.

    The weights are differences, because a network may stop the gradient of its model state. A leaf
    is an average if all of its elements have the same weight, below 1. The vectors of spectral
    normalization have different weights, and counters and constants have weight 1.
    """
    if not floats:
        return []
    steps = [1 + jnp.abs(x) for x in floats]

    def run_with_step(place: jax.Array) -> Floats:
        pairs = enumerate(zip(floats, steps, strict=True))
        return run([x + jnp.where(place == i, step, 0) for i, (x, step) in pairs])

    # vmap repeats only those operations that depend on the model state.
    moved, still = jax.vmap(run_with_step)(jnp.arange(len(floats))), run(floats)
    found = []
    for i, (y, x, step) in enumerate(zip(moved, still, steps, strict=True)):
        weights = (y[i] - x) / step
        memory = jnp.mean(weights)
        in_range = (memory > -_TOLERANCE) & (memory < _LARGEST_MEMORY)
        is_average = jnp.all(jnp.abs(weights - memory) < _TOLERANCE) & in_range
        found.append((jnp.where(is_average, memory, 0), is_average))
    return found
