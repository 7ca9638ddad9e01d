"""Computes a convolution in forms for which XLA's CPU compiler has fast code.

The fast code takes pixels between batch and channels, and small kernels. Other forms ran 2 to 200
times slower in a loop. Values change only by rounding, because the products are added in another
order.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

ConvParams = dict[str, Any]
"""The parameters of a convolution in a jaxpr."""


class Window(NamedTuple):
    """Describes the positions of a kernel, with one entry for each spatial axis.

    Attributes:
      strides: the distance between two output pixels.
      padding: the numbers of zeros before and after the map.
      spread: the distance between two pixels of the map, with zeros between them (`lhs_dilation`).
      kernel_spread: the same for the kernel (`rhs_dilation`).
    """

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    spread: tuple[int, ...]
    kernel_spread: tuple[int, ...]


def convolve(x: jax.Array, kernel: jax.Array, params: ConvParams) -> jax.Array:
    """Computes a convolution, with the operands in any layout.

    Args:
      x: the feature map.
      kernel: the kernel.
      params: the parameters of `jax.lax.conv_general_dilated_p`.
    """
    numbers, last = params["dimension_numbers"], x.ndim - 1
    pixels = range(1, last)
    x_form, kernel_form = (0, last, *pixels), (last, last - 1, *range(last - 1))
    x = x.transpose(order(numbers.lhs_spec, x_form))
    kernel = kernel.transpose(order(numbers.rhs_spec, kernel_form))
    y = _channels_last(x, kernel, params)
    return y.transpose(order(x_form, numbers.out_spec))


def order(source: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the order of axes that transposes from the source layout to the target layout."""
    return tuple(int(axis) for axis in np.asarray(source)[np.argsort(target)])


def _channels_last(x: jax.Array, kernel: jax.Array, params: ConvParams) -> jax.Array:
    """Convolves `x`, [batch, pixels, channels], with `kernel`, [pixels, channels, features]."""
    window = Window(
        params["window_strides"],
        tuple(params["padding"]),
        params["lhs_dilation"],
        params["rhs_dilation"],
    )
    if params["batch_group_count"] > 1:
        x, params = _with_feature_groups(x, params)
    is_plain = params["feature_group_count"] == 1
    is_spread = max(window.spread) > 1 and max(window.strides) == 1
    if is_plain and is_spread and math.prod(kernel.shape[:-2]) > math.prod(x.shape[1:-1]):
        return _with_roles_exchanged(x, kernel, window, params)
    return _directly(x, kernel, window, params)


def _with_feature_groups(x: jax.Array, params: ConvParams) -> tuple[jax.Array, ConvParams]:
    """Moves the groups of the batch to the channels, because XLA has no fast code for the former.

    Gradients with respect to the kernels of grouped convolutions have groups of the batch.
    """
    groups = params["batch_group_count"]
    split = x.reshape(groups, x.shape[0] // groups, *x.shape[1:])
    joined = jnp.moveaxis(split, 0, -2).reshape(*split.shape[1:-1], groups * x.shape[-1])
    return joined, {**params, "batch_group_count": 1, "feature_group_count": groups}


def _with_roles_exchanged(
    x: jax.Array, kernel: jax.Array, window: Window, params: ConvParams
) -> jax.Array:
    r"""Convolves the kernel with a small spread map, and reverses the result.

    The second derivatives of strided convolutions have this form: their kernel is as large as an
    image. With spread $d$, padding $l$ and $L$ output pixels, substitute $k = l + d q - i$:

    $$\sum_k x_{(i + k - l) / d}\, w_k = \sum_q x_q\, w_{d q + (L - 1 - i) - (L - 1 - l)}.$$
    """
    sizes = _output_sizes(x, kernel, window)
    before = [size - 1 - low for size, (low, _) in zip(sizes, window.padding, strict=True)]
    spread_size = [d * (n - 1) + 1 for d, n in zip(window.spread, x.shape[1:-1], strict=True)]
    kernel_size = [
        d * (n - 1) + 1 for d, n in zip(window.kernel_spread, kernel.shape[:-2], strict=True)
    ]
    after = [
        wide + size - 1 - narrow - low
        for wide, size, narrow, low in zip(spread_size, sizes, kernel_size, before, strict=True)
    ]
    exchanged = window._replace(
        padding=tuple(zip(before, after, strict=True)),
        spread=window.kernel_spread,
        kernel_spread=window.spread,
    )
    image, taps = jnp.moveaxis(kernel, -1, 0), jnp.moveaxis(x, 0, -1)
    y = jax.lax.rev(_directly(image, taps, exchanged, params), range(1, x.ndim - 1))
    return jnp.swapaxes(y, 0, -1)


def _directly(x: jax.Array, kernel: jax.Array, window: Window, params: ConvParams) -> jax.Array:
    """Convolves in the layout of the fast code.

    Pads a map explicitly if it is smaller than its kernel. Otherwise, XLA would exchange map and
    kernel, and give the kernel a slow layout.
    """
    if math.prod(x.shape[1:-1]) < math.prod(kernel.shape[:-2]):
        around = zip(window.padding, window.spread, strict=True)
        config = [(0, 0, 0), *((low, high, step - 1) for (low, high), step in around), (0, 0, 0)]
        # Without the barrier, XLA would fuse the padding into the convolution again.
        x = jax.lax.optimization_barrier(jax.lax.pad(x, jnp.zeros((), x.dtype), config))
        none = len(window.spread)
        window = window._replace(padding=((0, 0),) * none, spread=(1,) * none)
    last = x.ndim - 1
    pixels = (0, last, *range(1, last))
    form = jax.lax.ConvDimensionNumbers(pixels, (last, last - 1, *range(last - 1)), pixels)
    return jax.lax.conv_general_dilated_p.bind(
        x,
        kernel,
        **{
            **params,
            "dimension_numbers": form,
            "window_strides": window.strides,
            "padding": window.padding,
            "lhs_dilation": window.spread,
            "rhs_dilation": window.kernel_spread,
        },
    )


def _output_sizes(x: jax.Array, kernel: jax.Array, window: Window) -> list[int]:
    """Returns the sizes of a convolution's result with stride 1."""
    return [
        d * (n - 1) + 1 + low + high - (e * (k - 1))
        for d, n, (low, high), e, k in zip(
            window.spread,
            x.shape[1:-1],
            window.padding,
            window.kernel_spread,
            kernel.shape[:-2],
            strict=True,
        )
    ]
