"""Rewrites convolutions to a form that is fast inside loops on CPUs."""

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
    """Rewrites all convolutions of a function to the channels-last form, on CPUs.

    XLA's CPU compiler has fast code for one form of convolution. It rewrites other forms to the
    fast form, but only outside of loops. In the body of a `lax.scan`, all other forms ran 5 to 80
    times slower when measured (docs/performance.md). The gradient of every convolution uses such
    a slow form. `channels_last` traces `function`, and replaces each convolution by a fast one
    between transposes. Values do not change. On other devices, nothing changes.

    `jaxgan.training` applies `channels_last` to `gan.update`. Apply it in your own training loop.

    Args:
      function: a function of arrays and pytrees of arrays, including keyword arguments. It returns
        pytrees of arrays.

    Returns:
      The rewritten function, for use in a loop.

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
    """Rewrites the jaxprs in a parameter of an equation, such as the branches of a `cond`."""
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
    unchanged = functools.partial(jax.lax.conv_general_dilated_p.bind, **params)

    def transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
        numbers, last = params["dimension_numbers"], x.ndim - 1
        pixels = range(1, last)
        form = jax.lax.ConvDimensionNumbers(
            (0, last, *pixels), (last, last - 1, *range(last - 1)), (0, last, *pixels)
        )
        x = x.transpose(_order(numbers.lhs_spec, form.lhs_spec))
        kernel = kernel.transpose(_order(numbers.rhs_spec, form.rhs_spec))
        x, padded = _pad_small_map(x, kernel, {**params, "dimension_numbers": form})
        y = jax.lax.conv_general_dilated_p.bind(x, kernel, **padded)
        return y.transpose(_order(form.out_spec, numbers.out_spec))

    return jax.lax.platform_dependent(x, kernel, cpu=transposed, default=unchanged)


def _pad_small_map(
    x: jax.Array, kernel: jax.Array, params: ConvParams
) -> tuple[jax.Array, ConvParams]:
    """Pads a feature map explicitly if it is smaller than its kernel, without changing values.

    Otherwise, XLA would swap map and kernel into a form for which XLA has no fast code.
    """
    if math.prod(x.shape[1:-1]) >= math.prod(kernel.shape[:-2]):
        return x, params
    around = zip(params["padding"], params["lhs_dilation"], strict=True)
    config = [(0, 0, 0), *((low, high, step - 1) for (low, high), step in around), (0, 0, 0)]
    # Without the barrier, XLA would fuse the padding into the convolution again.
    x = jax.lax.optimization_barrier(jax.lax.pad(x, jnp.zeros((), x.dtype), config))
    pixels = x.ndim - 2
    return x, {**params, "padding": ((0, 0),) * pixels, "lhs_dilation": (1,) * pixels}


def _order(source: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """Returns the order of axes that transposes from the source layout to the target layout."""
    return tuple(int(axis) for axis in np.asarray(source)[np.argsort(target)])
