"""Rewrites convolutions to a form that is fast inside loops on CPUs."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
from jax.extend import core

from jaxgan._internal import checks
from jaxgan._internal.fast_convolution import ConvParams, convolve

P = ParamSpec("P")
T = TypeVar("T")

# Primitives with a jaxpr for a kernel or for one device, which cannot choose by platform.
_OPAQUE = {"pallas_call", "shard_map"}


def channels_last(function: Callable[P, T]) -> Callable[P, T]:
    """Rewrites all convolutions of a function to the channels-last form, on CPUs.

    XLA's CPU compiler has fast code for one form of convolution. It rewrites other forms to the
    fast form, but not all of them, and only outside of loops. In the body of a `lax.scan`, all
    other forms ran 5 to 80 times slower when measured (docs/performance.md). The gradient of every
    convolution uses such a slow form. `channels_last` traces `function`, and replaces each
    convolution by a fast one between transposes. Values change only by rounding. On other devices,
    nothing changes.

    The functions of a GAN apply `channels_last` to themselves. Use it for your own functions.

    Args:
      function: a function of arrays and pytrees of arrays, including keyword arguments. It returns
        pytrees of arrays.

    Returns:
      The rewritten function, for use inside `jax.jit`.

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
        if jax.config.jax_disable_jit:  # type: ignore[attr-defined]  # for a debugger
            return function(*args, **kwargs)
        jaxpr, shape = jax.make_jaxpr(function, return_shape=True)(*args, **kwargs)
        leaves = core.jaxpr_as_fun(_rewrite(jaxpr))(*jax.tree.leaves((args, kwargs)))
        return jax.tree.unflatten(jax.tree.structure(shape), leaves)

    return wrapped


def fast_if_traced(function: Callable[P, T]) -> Callable[P, T]:
    """Applies `channels_last` if an argument is traced; otherwise, each call would compile again.

    Args:
      function: as for `channels_last`.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        is_concrete = all(map(checks.is_concrete, jax.tree.leaves((args, kwargs))))
        return (function if is_concrete else channels_last(function))(*args, **kwargs)

    return wrapped


def _rewrite(value: Any) -> Any:
    """Returns a jaxpr with its convolutions replaced, and every other value as it is.

    Returns a jaxpr without convolutions as it is, because JAX lowers equal objects once.
    """
    # Since JAX 0.11, both types are the same.
    if isinstance(value, core.ClosedJaxpr) and value.jaxpr is not value:
        jaxpr = _rewrite(value.jaxpr)
        return value if jaxpr is value.jaxpr else value.replace(jaxpr=jaxpr)
    if not isinstance(value, core.Jaxpr):
        return value
    eqns = list(map(_replace, value.eqns))
    return value if _same(eqns, value.eqns) else value.replace(eqns=eqns)


def _same(new: Sequence[object], old: Sequence[object]) -> bool:
    return all(map(operator.is_, new, old))


def _replace(eqn: core.JaxprEqn) -> core.JaxprEqn:
    if eqn.primitive is not jax.lax.conv_general_dilated_p:
        # A parameter can be a jaxpr, or a tuple of jaxprs, such as the branches of a `cond`.
        if eqn.primitive.name in _OPAQUE:
            return eqn
        leaves, structure = jax.tree.flatten(eqn.params)
        rewritten = list(map(_rewrite, leaves))
        same = _same(rewritten, leaves)
        return eqn if same else eqn.replace(params=jax.tree.unflatten(structure, rewritten))
    convolve = jax.jit(functools.partial(_convolve, eqn.params))
    (call,) = jax.make_jaxpr(convolve)(*(atom.aval for atom in eqn.invars)).eqns
    return call.replace(invars=eqn.invars, outvars=eqn.outvars)


def _convolve(params: ConvParams, x: jax.Array, kernel: jax.Array) -> jax.Array:
    unchanged = functools.partial(jax.lax.conv_general_dilated_p.bind, **params)
    if 0 in (x.size, kernel.size, jax.eval_shape(unchanged, x, kernel).size):
        return unchanged(x, kernel)
    fast = functools.partial(convolve, params=params)
    return jax.lax.platform_dependent(x, kernel, cpu=fast, default=unchanged)
