"""The InfoGAN networks, in the form that "Are GANs Created Equal?" uses."""

import functools
import math

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from jaxgan._internal.precision import full_precision
from jaxgan.networks._checked import Checked, check_sides
from jaxgan.networks._layers import (
    NEGATIVE_SLOPE,
    NORMAL_002,
    UpConv,
    batch_norm,
    logit,
)
from jaxgan.types import PyTree


class InfoGANGenerator(Checked):
    """Maps latents to images: two dense layers, then two transposed convolutions.

    The layers have 1024 units, 128 channels at a quarter of the size, and 64 channels at half.
    Batch normalization and leaky ReLU (slope 0.2) are in between, tanh at the end. The transposed
    convolutions are 4 x 4 with stride 2. "Are GANs Created Equal?" uses this form with 64 latents;
    the original InfoGAN has ReLU. With 64 latents and 28 x 28 x 1 images the generator has
    6,634,881 parameters. Layers before a batch normalization have no bias.

    Args:
      image_shape: height and width, multiples of four, and channels of one image.
      features: units of the dense layer, channels after it, channels of the last hidden layer.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32.

    Returns:
      The call takes `latents`, `[batch, latent_dim]` or a pytree of such arrays, and `train`. It
      returns images in [-1, 1], `[batch, *image_shape]`, in the dtype of the latents.

    Raises:
      ValueError: If height or width is not a multiple of four (raised by the call).

    Example:
      >>> import jax, jaxgan
      >>> generator = jaxgan.networks.InfoGANGenerator(features=(32, 8, 4))
      >>> latents = jax.random.normal(jax.random.key(0), (4, 64))
      >>> images, variables = generator.init_with_output(jax.random.key(1), latents, train=False)
      >>> images.shape
      (4, 28, 28, 1)

    References:
      Chen et al., InfoGAN, 2016, https://arxiv.org/abs/1606.03657

      Lucic et al., Are GANs Created Equal? A Large-Scale Study, 2018,
      https://arxiv.org/abs/1711.10337
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    features: tuple[int, int, int] = (1024, 128, 64)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, latents: PyTree, *, train: bool) -> jax.Array:
        latents = self.as_latents(latents)
        height, width, channels = self.image_shape
        check_sides("image_shape", self.image_shape, 4, "two doublings")

        def activate(x: jax.Array) -> jax.Array:
            return nn.leaky_relu(batch_norm(x, train, self.dtype), NEGATIVE_SLOPE)

        units, many, few = self.features
        shape = (height // 4, width // 4, many)
        x = latents
        for width in (units, math.prod(shape)):
            dense = nn.Dense(width, use_bias=False, kernel_init=NORMAL_002, dtype=self.dtype)
            x = activate(dense(x))
        x = x.reshape(-1, *shape)
        x = activate(UpConv(few, 4, use_bias=False, dtype=self.dtype)(x))
        return nn.tanh(full_precision(UpConv(channels, 4, dtype=self.dtype)(x))).astype(
            latents.dtype
        )


class InfoGANDiscriminator(Checked):
    """Maps each image to one logit: two convolutions (4 x 4, stride 2), then two dense layers.

    The hidden layers have 64 and 128 channels and 1024 units, with leaky ReLU (slope 0.2), and
    batch normalization in all but the first. With 28 x 28 x 1 images the discriminator has
    6,558,017 parameters.

    Args:
      features: channels of the first and of the second layer, units of the dense layer.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32, logits are float32
        or wider.

    Returns:
      The call takes `images`, `[batch, height, width, channels]`, and `train`. It returns logits,
      `[batch]`.

    Example:
      >>> import jax, jaxgan
      >>> discriminator = jaxgan.networks.InfoGANDiscriminator(features=(4, 8, 32))
      >>> images = jax.numpy.zeros((4, 28, 28, 1))
      >>> logits, variables = discriminator.init_with_output(jax.random.key(1), images, train=False)
      >>> logits.shape
      (4,)

    References:
      Chen et al., InfoGAN, 2016, https://arxiv.org/abs/1606.03657

      Lucic et al., Are GANs Created Equal? A Large-Scale Study, 2018,
      https://arxiv.org/abs/1711.10337
    """

    features: tuple[int, int, int] = (64, 128, 1024)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        images = self.as_floats(images, "[batch, height, width, channels]")
        few, many, units = self.features
        conv = functools.partial(nn.Conv, strides=2, kernel_init=NORMAL_002, dtype=self.dtype)
        dense = nn.Dense(units, use_bias=False, kernel_init=NORMAL_002, dtype=self.dtype)
        x = nn.leaky_relu(conv(few, (4, 4))(images), NEGATIVE_SLOPE)
        x = conv(many, (4, 4), use_bias=False)(x)
        x = nn.leaky_relu(batch_norm(x, train, self.dtype), NEGATIVE_SLOPE)
        x = dense(x.reshape(x.shape[0], -1))
        x = nn.leaky_relu(batch_norm(x, train, self.dtype), NEGATIVE_SLOPE)
        return logit(x)
