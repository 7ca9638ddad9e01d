"""The modern residual networks of R3GAN, without normalization."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxgan._internal import checks
from jaxgan._internal.precision import full_precision
from jaxgan.networks._checked import Checked, check_sides
from jaxgan.networks._layers import NEGATIVE_SLOPE, Initializer
from jaxgan.types import PyTree


def scaled(gain: float) -> Initializer:
    """Returns a normal initializer that scales the variance of the input by `gain` squared."""
    return nn.initializers.variance_scaling(gain**2, "fan_in", "normal")


class InvertedBottleneck(Checked):
    """Applies a residual block: 1 x 1 up, grouped 3 x 3, 1 x 1 down, initialized to 0 (Fixup).

    Args:
      expansion: channels inside the block, as a multiple of those outside.
      group_size: channels of one group of the 3 x 3 convolution.
      depth: the number of such blocks in the network, which scales down the initial weights.
      dtype: the compute dtype.
    """

    expansion: int
    group_size: int
    depth: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        inside = channels * self.expansion
        fits, expected = inside % self.group_size == 0, f"a divisor of {inside}, a block's channels"
        checks.require(fits, "group_size", expected, f"{self.group_size}")
        # Fixup: with three layers in a block, the last of them 0, the scale is depth**(-1 / 4).
        gain = math.sqrt(2 / (1 + NEGATIVE_SLOPE**2)) * self.depth**-0.25
        init, dtype = scaled(gain), self.dtype
        groups = inside // self.group_size
        y = nn.Conv(inside, (1, 1), kernel_init=init, dtype=dtype)(x)
        y = nn.leaky_relu(y, NEGATIVE_SLOPE)
        y = nn.Conv(inside, (3, 3), feature_group_count=groups, kernel_init=init, dtype=dtype)(y)
        y = nn.leaky_relu(y, NEGATIVE_SLOPE)
        zero = nn.initializers.zeros
        return x + nn.Conv(channels, (1, 1), use_bias=False, kernel_init=zero, dtype=dtype)(y)


def stages(widths: tuple[int, ...]) -> int:
    """Returns the size of the image as a multiple of the smallest size."""
    checks.require(1 <= len(widths) <= 16, "widths", "from 1 to 16 numbers", checks.show(widths))
    return 2 ** (len(widths) - 1)


def linear(features: int, dtype: DTypeLike | None) -> nn.Dense:
    """Makes a dense layer without bias. On the last axis it is a 1 x 1 convolution."""
    return nn.Dense(features, use_bias=False, kernel_init=scaled(1.0), dtype=dtype)


def doubled(x: jax.Array) -> jax.Array:
    """Doubles height and width with taps 1 3 3 1, over 4. Pixels outside of `x` are zero."""
    return multiply_sides(x, *(taps(side).T for side in x.shape[1:3]))


def halved(x: jax.Array) -> jax.Array:
    """Halves height and width with taps 1 3 3 1, over 8. Pixels outside of `x` are zero."""
    return multiply_sides(x, *(taps(side // 2) / 2 for side in x.shape[1:3]))


def taps(size: int) -> np.ndarray:
    """Returns the matrix `[2 * size, size]` whose columns are 1 3 3 1, over 4."""
    distances = abs(np.arange(2 * size)[:, None] - 2 * np.arange(size) - 0.5)
    return np.maximum(0.0, 1.0 - distances / 2)


def multiply_sides(x: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    """Multiplies the height by a matrix, and the width by another."""
    matrices = (jnp.asarray(matrix, x.dtype) for matrix in (rows, columns))
    # The default precision on GPUs, TF32, would round the pixels.
    return jnp.einsum("nhwc,hi,wj->nijc", x, *matrices, precision="highest")


class R3GANGenerator(Checked):
    r"""Maps latents to images: a learned basis, residual blocks, doubling by interpolation.

    The latents scale the channels of a learned $4 \times 4$ basis. Each stage has `blocks` inverted
    bottlenecks. The size doubles between stages, with a 1 x 1 convolution where widths differ. A
    last 1 x 1 convolution makes the image. The output is unbounded, as in the paper. The defaults
    are the paper's configuration for CIFAR-10 and Stacked MNIST at 32 pixels: with 64 latents and
    three channels the generator has 20,732,160 parameters.

    Doubling uses the taps 1 3 3 1 in each direction: the authors' filter 1 2 1, convolved with 1 1.
    Pixels outside of the map are zero, as in their code, so doubling darkens the borders.

    Args:
      image_shape: height and width, multiples of `2 ** (len(widths) - 1)`, and channels.
      widths: channels of each stage, smallest size first.
      blocks: residual blocks in each stage.
      expansion: channels inside a block, as a multiple of those outside.
      group_size: channels of one group of the 3 x 3 convolutions. (The paper's cardinality is
        their number: 96 = 768 * 2 / 16.)
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32.

    Returns:
      The call takes `latents`, `[batch, latent_dim]` or a pytree of such arrays. It returns images,
      `[batch, *image_shape]`, in the dtype of the latents.

    Raises:
      ValueError: If the image sides or `group_size` do not divide evenly (raised by the call).

    Example:
      >>> import jax, jaxgan
      >>> generator = jaxgan.networks.R3GANGenerator(widths=(16, 16, 8, 8), group_size=4)
      >>> latents = jax.random.normal(jax.random.key(0), (4, 64))
      >>> images, variables = generator.init_with_output(jax.random.key(1), latents)
      >>> images.shape
      (4, 32, 32, 3)

    References:
      Huang et al., The GAN is dead; long live the GAN! A Modern GAN Baseline, 2024,
      https://arxiv.org/abs/2501.05441

      Zhang et al., Fixup Initialization, 2019, https://arxiv.org/abs/1901.09321
    """

    image_shape: tuple[int, int, int] = (32, 32, 3)
    widths: tuple[int, ...] = (768, 768, 768, 768)
    blocks: int = 2
    expansion: int = 2
    group_size: int = 16
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, latents: PyTree) -> jax.Array:
        latents = self.as_latents(latents)
        height, width, channels = self.image_shape
        times = stages(self.widths)
        check_sides("image_shape", self.image_shape, times, f"{len(self.widths)} widths")
        shape = (height // times, width // times, self.widths[0])
        basis = self.param("basis", nn.initializers.normal(1.0), shape)
        mixture = linear(self.widths[0], self.dtype)(latents)[:, None, None, :]
        x = mixture * basis[None].astype(mixture.dtype)
        for stage, features in enumerate(self.widths):
            if stage > 0:
                x = x if x.shape[-1] == features else linear(features, self.dtype)(x)
                x = doubled(x)
            for _ in range(self.blocks):
                depth = self.blocks * len(self.widths)
                x = InvertedBottleneck(self.expansion, self.group_size, depth, self.dtype)(x)
        return linear(channels, self.dtype)(x).astype(latents.dtype)


class R3GANDiscriminator(Checked):
    """Maps each image to one logit, by the generator's layers in reverse order.

    The layers are a 1 x 1 convolution, stages of residual blocks with halving between them, a
    weighted sum of each channel over the remaining pixels, and a weighted sum over channels.
    Halving uses the generator's taps 1 3 3 1, and zeros outside of the map. With the defaults and
    32 x 32 x 3 images the discriminator has 20,683,776 parameters. It is meant for the relativistic
    loss with R1 and R2.

    Args:
      widths: channels of each stage, starting at the image.
      blocks: residual blocks in each stage.
      expansion: channels inside a block, as a multiple of those outside.
      group_size: channels of one group of the 3 x 3 convolutions.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32, logits are float32
        or wider.

    Returns:
      The call takes `images`, `[batch, height, width, channels]`, with sides that are multiples of
      `2 ** (len(widths) - 1)`. It returns logits, `[batch]`.

    Raises:
      ValueError: If the image sides or `group_size` do not divide evenly (raised by the call).

    Example:
      >>> import jax, jaxgan
      >>> discriminator = jaxgan.networks.R3GANDiscriminator(widths=(8, 8, 16, 16), group_size=4)
      >>> images = jax.numpy.zeros((4, 32, 32, 3))
      >>> logits, variables = discriminator.init_with_output(jax.random.key(1), images)
      >>> logits.shape
      (4,)

    References:
      Huang et al., The GAN is dead; long live the GAN! A Modern GAN Baseline, 2024,
      https://arxiv.org/abs/2501.05441
    """

    widths: tuple[int, ...] = (768, 768, 768, 768)
    blocks: int = 2
    expansion: int = 2
    group_size: int = 16
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        images = self.as_floats(images, "[batch, height, width, channels]")
        times = stages(self.widths)
        check_sides("images", images.shape[1:], times, f"{len(self.widths)} widths")
        x = linear(self.widths[0], self.dtype)(images)
        for stage, features in enumerate(self.widths):
            if stage > 0:
                x = halved(x)
                x = x if x.shape[-1] == features else linear(features, self.dtype)(x)
            for _ in range(self.blocks):
                depth = self.blocks * len(self.widths)
                x = InvertedBottleneck(self.expansion, self.group_size, depth, self.dtype)(x)
        x = full_precision(x)
        pixels = x.shape[1] * x.shape[2]
        init = nn.initializers.normal(pixels**-0.5)
        basis = self.param("basis", init, x.shape[1:])
        summed = jnp.einsum("nhwc,hwc->nc", x, basis.astype(x.dtype))
        head = nn.Dense(1, use_bias=False, kernel_init=scaled(1.0), dtype=summed.dtype)
        return head(summed)[:, 0]
