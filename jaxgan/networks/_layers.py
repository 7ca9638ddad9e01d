"""Layers and helper functions that the networks share."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgan._internal import checks
from jaxgan._internal.precision import full_precision
from jaxgan.networks._checked import Checked

Initializer = Callable[..., jax.Array]

NORMAL_002 = nn.initializers.normal(0.02)
"""The initializer of DCGAN and of most later networks."""

NEGATIVE_SLOPE = 0.2
"""The slope of DCGAN's leaky ReLU below zero."""


def batch_norm(x: jax.Array, train: bool, dtype: DTypeLike | None, **options: Any) -> jax.Array:
    """Applies batch normalization with DCGAN's numbers, momentum 0.9 and epsilon 1e-5.

    The running variance is biased: a batch's variance divides by the number of values, not by one
    less.

    Args:
      x: features, `[batch, ..., channels]`.
      train: True normalizes by the batch and updates the running averages; False normalizes by the
        averages.
      dtype: of the result; statistics are at least float32.
      **options: other fields of `flax.linen.BatchNorm`.
    """
    norm = nn.BatchNorm(not train, dtype=dtype, **{"momentum": 0.9, "epsilon": 1e-5, **options})
    # Flax combines float32 statistics with narrower features, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
        return norm(x)


def logit(x: jax.Array, kernel_init: Initializer = NORMAL_002) -> jax.Array:
    """Applies the last dense layer of a discriminator: `[batch, features] -> [batch]`.

    The layer computes in float32 or wider, whatever the compute dtype of the other layers.

    Args:
      x: features of a batch.
      kernel_init: initializer of the kernel.
    """
    x = full_precision(x)
    return nn.Dense(1, kernel_init=kernel_init, dtype=x.dtype)(x)[:, 0]


class UpConv(Checked):
    r"""Doubles height and width: `[batch, h, w, c] -> [batch, 2h, 2w, features]`.

    The layer is a transposed convolution of stride 2 with padding SAME, like
    `flax.linen.ConvTranspose`. For an odd `size`, such as 7 from 4, it omits one row and one column
    of the doubled image, where TensorFlow does: the first for kernels of 3 and 5, the last for 4.

    Args:
      features: channels of the output.
      kernel_size: height and width of the kernel: 3, 4 or 5.
      use_bias: whether to add a bias.
      kernel_init: initializer of the kernel, `[kernel_size, kernel_size, c, features]`.
      dtype: the compute dtype; None promotes the dtypes of the input and the parameters.

    Returns:
      The call takes `x`, `[batch, h, w, c]`, and optionally `size`, the height and width of the
      output: 2h or 2h - 1, and 2w or 2w - 1. It returns `[batch, *size, features]`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan.networks._layers import UpConv
      >>> y, variables = UpConv(features=3).init_with_output(
      ...     jax.random.key(0), jnp.ones((2, 7, 7, 8))
      ... )
      >>> y.shape
      (2, 14, 14, 3)
    """

    features: int
    kernel_size: int = 5
    use_bias: bool = True
    kernel_init: Initializer = NORMAL_002
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, size: tuple[int, int] | None = None) -> jax.Array:
        x = self.as_floats(x, "[batch, height, width, channels]")
        fits = self.kernel_size in (3, 4, 5)
        checks.require(fits, "kernel_size", "3, 4 or 5", f"{self.kernel_size}")
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        height, width = x.shape[1:3]
        doubled = (2 * height, 2 * width)
        size = doubled if size is None else size
        allowed = itertools.product(*((side - 1, side) for side in doubled))
        expected = f"twice {height} x {width}, or one less"
        checks.require(size in allowed, "size", expected, checks.show(size))
        omitted = (doubled[0] - size[0], doubled[1] - size[1])
        # On a GPU, a step with transposed convolutions reads and writes a quarter more memory.
        y = jax.lax.platform_dependent(
            x,
            kernel,
            cpu=functools.partial(_transposed, omitted=omitted),
            default=functools.partial(_subpixel, omitted=omitted),
        )
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


def _transposed(x: jax.Array, kernel: jax.Array, *, omitted: tuple[int, int]) -> jax.Array:
    """Computes `UpConv` as a transposed convolution."""
    width = kernel.shape[0]
    before = -(-width // 2)
    after = width - before
    is_odd = width % 2 == 1
    padding = [(before - n, after) if is_odd else (before, after - n) for n in omitted]
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), padding, (2, 2), dimension_numbers=numbers
    )


def _subpixel(x: jax.Array, kernel: jax.Array, *, omitted: tuple[int, int]) -> jax.Array:
    """Computes `UpConv` as a sub-pixel convolution.

    A 3 x 3 kernel of stride 1 makes four output pixels from each input pixel. For output pixel
    2p + r, tap j = 2t - r + const multiplies input pixel p + t - 1. Padded to six taps, the kernel
    gets the axes (t, r) by a reshape and a flip.

    References:
      Shi et al., Is the deconvolution layer the same as a convolutional layer?, 2016,
      https://arxiv.org/abs/1609.07009
    """
    (batch, height, width, channels), (taps, *_, features) = x.shape, kernel.shape
    front = 3 - -(-taps // 2)
    pad = (front, 6 - taps - front)
    wide = jnp.pad(kernel, (pad, pad, (0, 0), (0, 0))).reshape(3, 2, 3, 2, channels, features)
    wide = wide[:, ::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5)
    wide = wide.reshape(3, 3, channels, 4 * features)
    numbers = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(x, wide, (1, 1), "SAME", dimension_numbers=numbers)
    y = y.reshape(batch, height, width, 2, 2, features).transpose(0, 1, 3, 2, 4, 5)
    y = y.reshape(batch, 2 * height, 2 * width, features)
    if taps % 2 == 1:
        return y[:, omitted[0] :, omitted[1] :]
    return y[:, : y.shape[1] - omitted[0], : y.shape[2] - omitted[1]]


class ConditionalBatchNorm(Checked):
    r"""Applies batch normalization with a scale and a shift for each class.

    $y_i = \gamma_{c_i} \hat{x}_i + \beta_{c_i}$, with $\hat{x}$ normalized over the batch. Scales
    start at 1 and shifts at 0, so the layer starts as plain batch normalization. The running
    variance is biased, as in `flax.linen.BatchNorm`.

    Args:
      num_classes: the number of classes.
      momentum: the weight of the old running averages in a training pass.
      epsilon: added to the variance.
      dtype: the compute dtype; None promotes the dtypes of the input and the parameters.

    Returns:
      The call takes `x`, `[batch, ..., channels]`, integer `labels`, `[batch]`, and `train`. It
      returns an array of the shape of `x`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan.networks._layers import ConditionalBatchNorm
      >>> x, labels = jnp.ones((4, 7, 7, 8)), jnp.array([0, 1, 2, 2])
      >>> norm = ConditionalBatchNorm(num_classes=3)
      >>> y, variables = norm.init_with_output(jax.random.key(0), x, labels, train=False)
      >>> y.shape
      (4, 7, 7, 8)

    References:
      de Vries et al., Modulating early visual processing by language, 2017,
      https://arxiv.org/abs/1707.00683

      Miyato and Koyama, cGANs with Projection Discriminator, 2018, https://arxiv.org/abs/1802.05637
    """

    num_classes: int
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array, labels: jax.Array, *, train: bool) -> jax.Array:
        x = self.as_floats(x, "[batch, ...]")
        labels = checks.labels(labels, x.shape[:1], self.num_classes)
        channels = x.shape[-1]
        numbers = {"momentum": self.momentum, "epsilon": self.epsilon}
        x = batch_norm(x, train, self.dtype, **numbers, use_scale=False, use_bias=False)

        def of_class(name: str, init: Initializer) -> jax.Array:
            embed = nn.Embed(self.num_classes, channels, embedding_init=init, name=name)
            shape = (x.shape[0], *(1,) * (x.ndim - 2), channels)
            return embed(labels).astype(x.dtype).reshape(shape)

        scale = of_class("scale", nn.initializers.ones)
        return x * scale + of_class("shift", nn.initializers.zeros)


class MinibatchStddev(Checked):
    r"""Adds a channel that measures how much the images of a group vary.

    The layer splits the batch into groups. The new channel holds one value for each group: the
    standard deviation of each feature over the group, averaged over all features and pixels. With
    this channel, a discriminator can detect a generator that always makes the same image.

    Args:
      group_size: images in a group; a smaller batch is one group. The batch size must be a multiple
        of the group size.

    Returns:
      The call takes `x`, `[batch, h, w, c]`, and returns `[batch, h, w, c + 1]`.

    Raises:
      ValueError: If the batch size is not a multiple of the group size (raised by the call).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan.networks._layers import MinibatchStddev
      >>> MinibatchStddev().apply({}, jnp.ones((8, 7, 7, 16))).shape
      (8, 7, 7, 17)

    References:
      Karras et al., Progressive Growing of GANs, 2018, https://arxiv.org/abs/1710.10196
    """

    group_size: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.as_floats(x, "[batch, ...]")
        batch, *pixels, _ = x.shape
        size = min(self.group_size, batch)
        fits = batch % size == 0
        checks.require(fits, "The batch", f"a multiple of {size}", f"{batch} images")
        # Image i belongs to group i % (batch / size), as in the authors' code.
        groups = full_precision(x).reshape(size, batch // size, *x.shape[1:])
        deviation = jnp.sqrt(groups.var(axis=0) + 1e-8)
        value = deviation.mean(axis=range(1, deviation.ndim)).astype(x.dtype)
        column = jnp.tile(value, size).reshape(batch, *(1,) * (x.ndim - 1))
        return jnp.concatenate([x, jnp.broadcast_to(column, (batch, *pixels, 1))], axis=-1)
