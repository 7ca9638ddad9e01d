"""Bounds the values that a network can return, from its operations alone.

The bounds hold for all parameters and inputs. They find networks that end in a sigmoid, softmax,
tanh or ReLU. Operations that this module does not know have no bounds.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core


class Bounds(NamedTuple):
    """Holds the smallest and largest value that an array can contain."""

    low: float
    high: float


ANY = Bounds(-math.inf, math.inf)

_RANGES = {
    "logistic": Bounds(0.0, 1.0),
    **dict.fromkeys(("tanh", "sin", "cos", "erf"), Bounds(-1.0, 1.0)),
    **dict.fromkeys(("exp", "exp2", "abs", "square"), Bounds(0.0, math.inf)),
}
# The result contains elements of the first operand only. Others are indices.
_SELECTIONS = {
    *("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "transpose", "rev", "copy"),
    *("slice", "dynamic_slice", "gather", "convert_element_type", "reduce_max", "reduce_min"),
    *("optimization_barrier", "reduce_precision", "stop_gradient"),
}
_CALLS = {
    *("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}


def bounds_of(function: Callable[..., jax.Array], *args: Any) -> Bounds:
    """Returns bounds of all values that a function can return.

    Args:
      function: a function of arrays that returns one array.
      *args: arrays, or `jax.ShapeDtypeStruct`s.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan._game._bounds import bounds_of
      >>> bounds_of(lambda x: jax.nn.softmax(2 * x)[:, 0], jnp.ones((4, 2)))
      Bounds(low=0.0, high=1.0)
      >>> bounds_of(jax.nn.relu, jnp.ones(4))
      Bounds(low=0.0, high=inf)
    """
    closed = jax.make_jaxpr(function)(*args)
    return _of_result(closed.jaxpr, closed.consts, [ANY] * len(closed.jaxpr.invars))[0]


def _of_result(jaxpr: Any, consts: Any, inputs: list[Bounds]) -> list[Bounds]:
    """Returns the bounds of the results of a jaxpr."""
    known = dict(zip(jaxpr.constvars, map(_of_value, consts), strict=True))
    known |= dict(zip(jaxpr.invars, inputs, strict=True))
    origin = {out: eqn for eqn in jaxpr.eqns for out in eqn.outvars}

    def read(atom: Any) -> Bounds:
        return _of_value(atom.val) if isinstance(atom, core.Literal) else known.get(atom, ANY)

    for eqn in jaxpr.eqns:
        found = _of_equation(eqn, list(map(read, eqn.invars)), origin)
        known |= dict(zip(eqn.outvars, found, strict=True))
    return list(map(read, jaxpr.outvars))


def _of_value(value: Any) -> Bounds:
    """Returns the bounds of a constant. No bounds are known for traced, complex and NaN values."""
    if isinstance(value, jax.core.Tracer) or not _is_real(getattr(value, "dtype", float)):
        return ANY
    array: np.ndarray = np.asarray(value).astype(np.float64)
    return _valid(Bounds(float(array.min()), float(array.max()))) if array.size else ANY


def _is_real(dtype: Any) -> bool:
    return any(jax.dtypes.issubdtype(dtype, kind) for kind in (np.floating, np.integer))


def _valid(bounds: Bounds) -> Bounds:
    """Replaces bounds that are not numbers, such as 0 * inf."""
    return ANY if any(map(math.isnan, bounds)) else bounds


def _of_equation(eqn: Any, inputs: list[Bounds], origin: dict[Any, Any]) -> list[Bounds]:
    name, params = eqn.primitive.name, eqn.params
    if name == "cond":
        branches = [_of_result(b.jaxpr, b.consts, inputs[1:]) for b in params["branches"]]
        return [_union(parts) for parts in zip(*branches, strict=True)]
    inner = next((params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in params), None)
    jaxpr = getattr(inner, "jaxpr", inner)
    if name in _CALLS and jaxpr is not None and len(jaxpr.invars) == len(inputs):
        return _of_result(jaxpr, getattr(inner, "consts", ()), inputs)
    if len(eqn.outvars) != 1 or not _is_floating(*eqn.outvars):
        return [ANY] * len(eqn.outvars)  # integers can overflow
    if name == "div" and inputs[0].low >= 0 and _is_normalized(eqn, origin):
        return [Bounds(0.0, 1.0)]
    return [_valid(_of_operation(name, eqn, inputs))]


def _is_floating(atom: Any) -> bool:
    return jax.dtypes.issubdtype(atom.aval.dtype, np.floating)


def _of_operation(name: str, eqn: Any, inputs: list[Bounds]) -> Bounds:
    """Returns the bounds of the result of one operation."""
    if name in _RANGES:
        return _RANGES[name]
    if name in _SELECTIONS:
        fill = eqn.params.get("fill_value")  # of indices out of range
        return inputs[0] if fill is None else _union([inputs[0], Bounds(fill, fill)])
    if name == "concatenate":
        return _union(inputs)
    if name == "select_n":
        return _union(inputs[1:])
    arithmetic = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
    ordering = {"max": np.maximum, "min": np.minimum}
    if name in arithmetic | ordering:
        return _combined((arithmetic | ordering)[name], *inputs)
    if name == "neg":
        return Bounds(-inputs[0].high, -inputs[0].low)
    if name == "clamp":
        return _combined(np.minimum, _combined(np.maximum, *inputs[:2]), inputs[2])
    if name == "reduce_sum":
        num = math.prod(eqn.invars[0].aval.shape[axis] for axis in eqn.params["axes"])
        return Bounds(*(num * bound for bound in inputs[0]))
    return ANY


def _union(parts: Any) -> Bounds:
    return Bounds(min(x.low for x in parts), max(x.high for x in parts))


def _combined(operation: Any, x: Bounds, y: Bounds) -> Bounds:
    """Returns the bounds of an operation that is monotonic in each operand."""
    if operation is np.divide and y.low <= 0 <= y.high:
        return ANY
    with np.errstate(invalid="ignore"):
        corners = [float(operation(a, b)) for a in x for b in y]
    return ANY if any(map(math.isnan, corners)) else Bounds(min(corners), max(corners))


def _is_normalized(division: Any, origin: dict[Any, Any]) -> bool:
    """Returns whether each element is divided by a sum that contains it, as in `softmax`."""
    part, total = division.invars
    found = _axes_of_sum(total, part, origin)
    places = enumerate(found or ())
    return found is not None and all(axis in (None, place) for place, axis in places)


def _axes_of_sum(atom: Any, part: Any, origin: dict[Any, Any]) -> list[int | None] | None:
    """Returns the axis of `part` for each axis of its sums, None for a new axis of the result.

    Returns None if `atom` does not hold sums of `part`.
    """
    eqn: Any = None if isinstance(atom, core.Literal) else origin.get(atom)
    name = "" if eqn is None else eqn.primitive.name
    if name == "reduce_sum" and eqn.invars[0] is part:
        return [axis for axis in range(part.aval.ndim) if axis not in eqn.params["axes"]]
    if name not in ("broadcast_in_dim", "reshape"):
        return None
    inner = _axes_of_sum(eqn.invars[0], part, origin)
    if inner is None:
        return None
    if name == "broadcast_in_dim":
        places = dict(zip(eqn.params["broadcast_dimensions"], inner, strict=True))
        return [places.get(axis) for axis in range(atom.aval.ndim)]
    shapes = (eqn.invars[0].aval.shape, atom.aval.shape)
    wide = [axis for axis, size in zip(inner, shapes[0], strict=True) if size != 1]
    if [s for s in shapes[0] if s != 1] != [s for s in shapes[1] if s != 1]:
        return None
    kept = iter(wide)
    return [None if size == 1 else next(kept) for size in shapes[1]]
