"""The classic GAN networks: two multilayer perceptrons of three layers."""

import math

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from jaxgan._internal.precision import full_precision
from jaxgan.networks._checked import Checked
from jaxgan.networks._layers import NEGATIVE_SLOPE, logit


class MLPGenerator(Checked):
    """Maps latents to images: dense layers with leaky ReLU (slope 0.2), then tanh.

    $x = \\tanh(W_3 \\, a(W_2 \\, a(W_1 z + b_1) + b_2) + b_3)$, reshaped to an image.
    With the defaults and 100 latents the generator has 130,576 parameters.

    Args:
      image_shape: height, width and channels of one image.
      features: widths of the hidden layers.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32.

    Returns:
      The call takes float `latents`, `[batch, latent_dim]`. It returns images in [-1, 1],
      `[batch, *image_shape]`, in the dtype of the latents.

    Example:
      >>> import jax, jaxgan
      >>> generator = jaxgan.networks.MLPGenerator()
      >>> latents = jax.random.normal(jax.random.key(0), (4, 100))
      >>> images, variables = generator.init_with_output(jax.random.key(1), latents)
      >>> images.shape
      (4, 28, 28, 1)

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661
    """

    image_shape: tuple[int, ...] = (28, 28, 1)
    features: tuple[int, ...] = (128, 128)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, latents: jax.Array) -> jax.Array:
        latents = self.as_floats(latents, "[batch, latent_dim]")
        x = latents
        for width in self.features:
            x = nn.leaky_relu(nn.Dense(width, dtype=self.dtype)(x), NEGATIVE_SLOPE)
        x = nn.Dense(math.prod(self.image_shape), dtype=self.dtype)(x)
        x = nn.tanh(full_precision(x)).astype(latents.dtype)
        return x.reshape(x.shape[0], *self.image_shape)


class MLPDiscriminator(Checked):
    """Maps each image to one logit: dense layers with leaky ReLU (slope 0.2).

    With the defaults and 28 x 28 x 1 images the discriminator has 117,121 parameters.

    Args:
      features: widths of the hidden layers.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32, logits are float32
        or wider.

    Returns:
      The call takes float images, `[batch, ...]`. It returns logits, `[batch]`, positive for
      "real".

    Example:
      >>> import jax, jaxgan
      >>> discriminator = jaxgan.networks.MLPDiscriminator()
      >>> images = jax.numpy.zeros((4, 28, 28, 1))
      >>> logits, variables = discriminator.init_with_output(jax.random.key(1), images)
      >>> logits.shape
      (4,)

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661
    """

    features: tuple[int, ...] = (128, 128)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        images = self.as_floats(images, "[batch, ...]")
        x = images.reshape(images.shape[0], -1)
        for width in self.features:
            x = nn.leaky_relu(nn.Dense(width, dtype=self.dtype)(x), NEGATIVE_SLOPE)
        return logit(x, nn.linear.default_kernel_init)
