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
# The result contains elements of the operands only, or means of them.
_SELECTIONS = {
    *("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "transpose", "rev", "copy"),
    *("slice", "dynamic_slice", "gather", "concatenate", "convert_element_type", "sort"),
    *("reduce_max", "reduce_min", "stop_gradient", "optimization_barrier", "reduce_precision"),
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
    """Returns the bounds of a constant, or no bounds for a traced value and for a key."""
    if isinstance(value, jax.core.Tracer) or jax.dtypes.issubdtype(
        getattr(value, "dtype", float), jax.dtypes.extended
    ):
        return ANY
    array: np.ndarray = np.asarray(value, np.float64)
    return Bounds(float(array.min()), float(array.max())) if array.size else ANY


def _of_equation(eqn: Any, inputs: list[Bounds], origin: dict[Any, Any]) -> list[Bounds]:
    name, params = eqn.primitive.name, eqn.params
    if name == "cond":
        branches = [_of_result(b.jaxpr, b.consts, inputs[1:]) for b in params["branches"]]
        return [_union(parts) for parts in zip(*branches, strict=True)]
    inner = next((params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in params), None)
    jaxpr = getattr(inner, "jaxpr", inner)
    is_call = jaxpr is not None and name not in ("scan", "while")
    if is_call and len(getattr(jaxpr, "invars", ())) == len(inputs):
        return _of_result(jaxpr, getattr(inner, "consts", ()), inputs)
    if name == "div" and _is_sum(eqn.invars[1], eqn.invars[0], origin) and inputs[0].low >= 0:
        return [Bounds(0.0, 1.0)]  # softmax
    if len(eqn.outvars) != 1:
        return [ANY] * len(eqn.outvars)
    return [_of_operation(name, eqn, inputs)]


def _of_operation(name: str, eqn: Any, inputs: list[Bounds]) -> Bounds:
    """Returns the bounds of the result of one operation."""
    if name in _RANGES:
        return _RANGES[name]
    if name in _SELECTIONS:
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
        return Bounds(inputs[0].low, inputs[2].high)
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
    if any(map(math.isnan, corners)):  # such as 0 * inf
        return ANY
    return Bounds(min(corners), max(corners))


def _is_sum(total: Any, part: Any, origin: dict[Any, Any]) -> bool:
    """Returns whether `total` is a sum over elements of `part`, broadcast to its shape."""
    eqn: Any = None if isinstance(total, core.Literal) else origin.get(total)
    if eqn is not None and eqn.primitive.name in _SELECTIONS:
        return _is_sum(eqn.invars[0], part, origin)
    return eqn is not None and eqn.primitive.name == "reduce_sum" and eqn.invars[0] is part
