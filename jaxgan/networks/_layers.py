"""Layers that several families share and that Flax lacks."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgan._internal import checks
from jaxgan.networks._checked import Checked

Initializer = Callable[..., jax.Array]

NORMAL_002 = nn.initializers.normal(0.02)
"""The initializer of DCGAN and of most later networks."""

NEGATIVE_SLOPE = 0.2
"""The slope of DCGAN's leaky ReLU below zero."""


def full_precision(x: jax.Array) -> jax.Array:
    """Casts floats narrower than float32 to float32, and returns wider ones unchanged.

    Args:
      x: floats of any shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan.networks._layers import full_precision
      >>> full_precision(jnp.ones(2, jnp.bfloat16)).dtype
      dtype('float32')
    """
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


def batch_norm(x: jax.Array, train: bool, dtype: DTypeLike | None, **options: Any) -> jax.Array:
    """Applies batch normalization with DCGAN's numbers, momentum 0.9 and epsilon 1e-5.

    Args:
      x: features, `[batch, ..., channels]`.
      train: whether to normalize by the batch and to move the running averages, or to use these.
      dtype: of the result; statistics are float32 at least.
      **options: other fields of `flax.linen.BatchNorm`.
    """
    norm = nn.BatchNorm(not train, dtype=dtype, **{"momentum": 0.9, "epsilon": 1e-5, **options})
    # Flax mixes wide statistics with narrow features on purpose.
    with jax.numpy_dtype_promotion("standard"):
        return norm(x)


def logit(x: jax.Array, kernel_init: Initializer = NORMAL_002) -> jax.Array:
    """Applies the last dense layer of a discriminator: `[batch, features] -> [batch]`.

    The layer computes in float32, or wider where the features are, whatever the rest computes in.

    Args:
      x: features of a batch.
      kernel_init: of its kernel.
    """
    x = full_precision(x)
    return nn.Dense(1, kernel_init=kernel_init, dtype=x.dtype)(x)[:, 0]


class UpConv(Checked):
    r"""Transposed convolution of stride 2: `[batch, h, w, c] -> [batch, 2h, 2w, features]`.

    It is `flax.linen.ConvTranspose` with padding SAME, kernel and all, but computed as one
    convolution of stride 1 whose 3 x 3 kernel makes the four pixels that each input pixel becomes
    (a sub-pixel convolution), because XLA's CPU compiler has no fast code for the gradient of the
    usual form.

    Args:
      features: channels of the output.
      kernel_size: 3, 4 or 5, both ways.
      use_bias: whether to add one.
      kernel_init: of the kernel, `[kernel_size, kernel_size, c, features]`.
      dtype: what to compute in; the input's and the parameters' if None.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan.networks._layers import UpConv
      >>> y, variables = UpConv(features=3).init_with_output(
      ...     jax.random.key(0), jnp.ones((2, 7, 7, 8))
      ... )
      >>> y.shape
      (2, 14, 14, 3)

    References:
      Shi et al., Is the deconvolution layer the same as a convolutional layer?, 2016,
      https://arxiv.org/abs/1609.07009
    """

    features: int
    kernel_size: int = 5
    use_bias: bool = True
    kernel_init: Initializer = NORMAL_002
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.as_floats(x, "[batch, height, width, channels]")
        fits = self.kernel_size in (3, 4, 5)
        checks.require(fits, "kernel_size", "3, 4 or 5", f"{self.kernel_size}")
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        batch, height, width, channels = x.shape
        # Tap j of the kernel meets input pixel p + t - 1 for output pixel 2p + r, where
        # j = 2t - r + const: padded to six taps, the axes (t, r) are a reshape and a flip.
        front = 3 - -(-self.kernel_size // 2)
        pad = (front, 6 - self.kernel_size - front)
        taps = jnp.pad(kernel, (pad, pad, (0, 0), (0, 0)))
        taps = taps.reshape(3, 2, 3, 2, channels, self.features)[:, ::-1, :, ::-1]
        taps = taps.transpose(0, 2, 4, 1, 3, 5).reshape(3, 3, channels, 4 * self.features)
        y = jax.lax.conv_general_dilated(
            x, taps, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        y = y.reshape(batch, height, width, 2, 2, self.features).transpose(0, 1, 3, 2, 4, 5)
        y = y.reshape(batch, 2 * height, 2 * width, self.features)
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


class ConditionalBatchNorm(Checked):
    r"""Batch normalisation whose scale and shift belong to the class.

    $y_i = \gamma_{c_i} \hat{x}_i + \beta_{c_i}$, with $\hat{x}$ normalised over the batch. Scales
    begin at one and shifts at zero, so it begins as plain batch normalisation.

    Args:
      num_classes: how many classes there are.
      momentum: how much of the running averages a training pass keeps.
      epsilon: added to the variance.
      dtype: what to compute in; the input's and the parameters' if None.

    Returns:
      When called with `x`, `[batch, ..., channels]`, integer `labels`, `[batch]`, and `train`: what
      `x` became, in its shape.

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
    r"""Adds a channel that says how varied the images of a group are.

    Images are put in groups; the standard deviation of each feature over a group, averaged over
    all features and pixels, is the value of the new channel for all images of that group. A
    discriminator that sees it notices a generator that always makes the same image.

    Args:
      group_size: images in a group; the whole batch where it is smaller. The batch must be a
        multiple of it.

    Returns:
      When called with `x`, `[batch, h, w, c]`: `[batch, h, w, c + 1]`.

    Raises:
      ValueError: when called with a batch that is no multiple of the group.

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
