"""The classic GAN networks: two multilayer perceptrons of three layers."""

import math

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from jaxgan._internal.precision import full_precision
from jaxgan.networks._checked import Checked
from jaxgan.networks._classes import append_one_hot
from jaxgan.networks._layers import NEGATIVE_SLOPE, logit
from jaxgan.types import PyTree


class MLPGenerator(Checked):
    """Maps latents to images: dense layers with leaky ReLU (slope 0.2), then tanh.

    $x = \\tanh(W_3 \\, a(W_2 \\, a(W_1 z + b_1) + b_2) + b_3)$, reshaped to an image.
    With the defaults and 100 latents the generator has 130,576 parameters. With `num_classes` the
    input is the latents followed by the label in one-hot form, as in the conditional GAN.

    Args:
      image_shape: the shape of one image, such as (height, width, channels); any rank is valid.
      features: widths of the hidden layers.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32.
      num_classes: the number of classes; if given, the call takes labels.

    Returns:
      The call takes `latents`, float `[batch, latent_dim]` or a pytree of such arrays, and integer
      `labels`, `[batch]`, if there are classes. It returns images in [-1, 1],
      `[batch, *image_shape]`, in the dtype of the latents.

    Raises:
      ValueError: If only one of labels and `num_classes` is given (raised by the call).

    Example:
      >>> import jax, jaxgan
      >>> generator = jaxgan.networks.MLPGenerator()
      >>> latents = jax.random.normal(jax.random.key(0), (4, 100))
      >>> images, variables = generator.init_with_output(jax.random.key(1), latents)
      >>> images.shape
      (4, 28, 28, 1)

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661

      Mirza and Osindero, Conditional Generative Adversarial Nets, 2014,
      https://arxiv.org/abs/1411.1784 (classes)
    """

    image_shape: tuple[int, ...] = (28, 28, 1)
    features: tuple[int, ...] = (128, 128)
    dtype: DTypeLike | None = None
    num_classes: int | None = None

    @nn.compact
    def __call__(self, latents: PyTree, labels: jax.Array | None = None) -> jax.Array:
        latents = self.as_latents(latents)
        x = append_one_hot(latents, labels, self.num_classes)
        for width in self.features:
            x = nn.leaky_relu(nn.Dense(width, dtype=self.dtype)(x), NEGATIVE_SLOPE)
        x = nn.Dense(math.prod(self.image_shape), dtype=self.dtype)(x)
        x = nn.tanh(full_precision(x)).astype(latents.dtype)
        return x.reshape(x.shape[0], *self.image_shape)


class MLPDiscriminator(Checked):
    """Maps each image to one logit: dense layers with leaky ReLU (slope 0.2).

    With the defaults and 28 x 28 x 1 images the discriminator has 117,121 parameters. With
    `num_classes` the input is the pixels followed by the label in one-hot form.

    Args:
      features: widths of the hidden layers.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32, logits are float32
        or wider.
      num_classes: the number of classes; if given, the call takes labels.

    Returns:
      The call takes float images, `[batch, ...]`, and integer `labels`, `[batch]`, if there are
      classes. It returns logits, `[batch]`, positive for "real".

    Raises:
      ValueError: If only one of labels and `num_classes` is given (raised by the call).

    Example:
      >>> import jax, jaxgan
      >>> discriminator = jaxgan.networks.MLPDiscriminator()
      >>> images = jax.numpy.zeros((4, 28, 28, 1))
      >>> logits, variables = discriminator.init_with_output(jax.random.key(1), images)
      >>> logits.shape
      (4,)

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661

      Mirza and Osindero, Conditional Generative Adversarial Nets, 2014,
      https://arxiv.org/abs/1411.1784 (classes)
    """

    features: tuple[int, ...] = (128, 128)
    dtype: DTypeLike | None = None
    num_classes: int | None = None

    @nn.compact
    def __call__(self, images: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        images = self.as_floats(images, "[batch, ...]")
        x = append_one_hot(images.reshape(images.shape[0], -1), labels, self.num_classes)
        for width in self.features:
            x = nn.leaky_relu(nn.Dense(width, dtype=self.dtype)(x), NEGATIVE_SLOPE)
        return logit(x, nn.linear.default_kernel_init)
