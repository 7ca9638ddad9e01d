"""Convolutions that stay fast inside a loop on a CPU."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxgan._internal import checks

ConvParams = dict[str, Any]
"""The parameters of a convolution in a jaxpr."""

P = ParamSpec("P")
T = TypeVar("T")


def channels_last(function: Callable[P, T]) -> Callable[P, T]:
    """Makes every convolution that a function traces to a channels-last one, on CPUs.

    XLA's CPU compiler rewrites convolutions to the one form that it has fast code for, but only
    outside of loops. In the body of a `lax.scan` all other forms ran 5 to 80 times slower when
    measured (docs/performance.md). The gradient of every convolution is such a form. This function
    traces `function`, and replaces each convolution by transpositions around one in the fast form.
    Values do not change, and on other devices nothing changes.

    `jaxgan.training` calls it. Call it for `gan.update` in a loop of your own.

    Args:
      function: of arrays and pytrees of arrays; keyword arguments are arrays too.

    Returns:
      The same function, to be traced in a loop. What it returned must be pytrees of arrays.

    Raises:
      TypeError: If `function` is not callable.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan.training import channels_last
      >>> convolve = lambda x, kernel: jax.lax.conv(x, kernel, (1, 1), "SAME")  # channels first
      >>> x, kernel = jnp.ones((1, 3, 8, 8)), jnp.ones((4, 3, 3, 3))
      >>> y = channels_last(convolve)(x, kernel)
      >>> bool((y == convolve(x, kernel)).all())
      True

    References:
      https://github.com/jax-ml/jax/issues/12868
    """

    checks.function("function", function, "of arrays")

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        jaxpr, shape = jax.make_jaxpr(function, return_shape=True)(*args, **kwargs)
        leaves = core.jaxpr_as_fun(_rewrite(jaxpr))(*jax.tree.leaves((args, kwargs)))
        return jax.tree.unflatten(jax.tree.structure(shape), leaves)

    return wrapped


def _rewrite(jaxpr: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """Returns a jaxpr with its convolutions replaced."""
    return jaxpr.replace(jaxpr=jaxpr.jaxpr.replace(eqns=list(map(_replace, jaxpr.jaxpr.eqns))))


def _rewrite_param(value: object) -> object:
    """Rewrites the jaxprs among the parameters of an equation, such as the branches of a `cond`."""
    if isinstance(value, tuple):
        return tuple(map(_rewrite_param, value)) if _holds_jaxpr(value) else value
    return _rewrite(value) if isinstance(value, core.ClosedJaxpr) else value


def _holds_jaxpr(values: tuple[object, ...]) -> bool:
    return any(isinstance(value, core.ClosedJaxpr) for value in values)


def _replace(eqn: core.JaxprEqn) -> core.JaxprEqn:
    if eqn.primitive is not jax.lax.conv_general_dilated_p:
        params = {name: _rewrite_param(value) for name, value in eqn.params.items()}
        return eqn.replace(params=params)
    convolve = jax.jit(functools.partial(_convolve, eqn.params))
    (call,) = jax.make_jaxpr(convolve)(*(atom.aval for atom in eqn.invars)).eqns
    return call.replace(invars=eqn.invars, outvars=eqn.outvars)


def _convolve(params: ConvParams, x: jax.Array, kernel: jax.Array) -> jax.Array:
    as_it_is = functools.partial(jax.lax.conv_general_dilated_p.bind, **params)

    def transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
        numbers, last = params["dimension_numbers"], x.ndim - 1
        pixels = range(1, last)
        form = jax.lax.ConvDimensionNumbers(
            (0, last, *pixels), (last, last - 1, *range(last - 1)), (0, last, *pixels)
        )
        x = x.transpose(_order(numbers.lhs_spec, form.lhs_spec))
        kernel = kernel.transpose(_order(numbers.rhs_spec, form.rhs_spec))
        x, changed = _at_least_as_large(x, kernel, {**params, "dimension_numbers": form})
        y = jax.lax.conv_general_dilated_p.bind(x, kernel, **changed)
        return y.transpose(_order(form.out_spec, numbers.out_spec))

    return jax.lax.platform_dependent(x, kernel, cpu=transposed, default=as_it_is)


def _at_least_as_large(
    x: jax.Array, kernel: jax.Array, params: ConvParams
) -> tuple[jax.Array, ConvParams]:
    """Writes the padding of a map smaller than its kernel out, which changes no value.

    XLA would exchange the two, which brings them into a form that it has no fast code for.
    """
    if math.prod(x.shape[1:-1]) >= math.prod(kernel.shape[:-2]):
        return x, params
    around = zip(params["padding"], params["lhs_dilation"], strict=True)
    config = [(0, 0, 0), *((low, high, step - 1) for (low, high), step in around), (0, 0, 0)]
    # Without the barrier XLA would take the padding back into the convolution.
    x = jax.lax.optimization_barrier(jax.lax.pad(x, jnp.zeros((), x.dtype), config))
    pixels = x.ndim - 2
    return x, {**params, "padding": ((0, 0),) * pixels, "lhs_dilation": (1,) * pixels}


def _order(there: Sequence[int], here: Sequence[int]) -> tuple[int, ...]:
    """The transposition that takes each role from its axis `there` to its axis `here`."""
    return tuple(int(axis) for axis in np.asarray(there)[np.argsort(here)])
