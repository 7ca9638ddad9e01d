"""The small networks with which Unrolled GAN and PacGAN counted modes of Stacked MNIST."""

import functools
import math

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from jaxgan._internal.precision import full_precision
from jaxgan.networks._checked import Checked
from jaxgan.networks._dcgan import halvings
from jaxgan.networks._layers import NORMAL_002, UpConv, batch_norm, logit
from jaxgan.types import PyTree

STAGES = 3
NEGATIVE_SLOPE = 0.3


class UnrolledGenerator(Checked):
    """Maps latents to images: a small DCGAN with 3 x 3 kernels and 64, 32, 16 and 8 channels.

    The layers are a dense layer, three transposed convolutions of stride 2 and a convolution, with
    batch normalization and ReLU in between, and tanh at the end. For 28 pixels the sizes are 4, 7,
    14 and 28, and `UpConv` crops 8 to 7. With 256 latents and three channels the generator has
    286,795 parameters. Layers before a batch normalization have no bias.

    Args:
      image_shape: height, width and channels of one image.
      features: channels at each of the four sizes, smallest size first.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32.

    Returns:
      The call takes `latents`, `[batch, latent_dim]` or a pytree of such arrays, and `train`. It
      returns images in [-1, 1], `[batch, *image_shape]`, in the dtype of the latents.

    Example:
      >>> import jax, jaxgan
      >>> generator = jaxgan.networks.UnrolledGenerator()
      >>> latents = jax.random.normal(jax.random.key(0), (4, 256))
      >>> images, variables = generator.init_with_output(jax.random.key(1), latents, train=False)
      >>> images.shape
      (4, 28, 28, 3)

    References:
      Metz et al., Unrolled Generative Adversarial Networks, 2017, https://arxiv.org/abs/1611.02163

      Lin et al., PacGAN: The power of two samples in generative adversarial networks, 2018,
      https://arxiv.org/abs/1712.04086
    """

    image_shape: tuple[int, int, int] = (28, 28, 3)
    features: tuple[int, int, int, int] = (64, 32, 16, 8)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, latents: PyTree, *, train: bool) -> jax.Array:
        latents = self.as_latents(latents)
        height, width, channels = self.image_shape
        *sizes, smallest = halvings(height, width, STAGES)

        def activate(x: jax.Array) -> jax.Array:
            return nn.relu(batch_norm(x, train, self.dtype))

        shape = (*smallest, self.features[0])
        size, init = math.prod(shape), NORMAL_002
        x = nn.Dense(size, use_bias=False, kernel_init=init, dtype=self.dtype)(latents)
        x = activate(x.reshape(-1, *shape))
        for features, (height, width) in zip(self.features[1:], reversed(sizes), strict=True):
            upconv = UpConv(features, 3, use_bias=False, dtype=self.dtype)
            x = activate(upconv(x, (height, width)))
        x = nn.Conv(channels, (3, 3), kernel_init=NORMAL_002, dtype=self.dtype)(x)
        return nn.tanh(full_precision(x)).astype(latents.dtype)


class UnrolledDiscriminator(Checked):
    """Maps each image to one logit: three 3 x 3 convolutions of stride 2, then a dense layer.

    Batch normalization and leaky ReLU (slope 0.3) follow each convolution. `features=(2, 4, 8)` has
    a quarter of the generator's channels, `(4, 8, 16)` half of them. With 28 x 28 x 3 images the
    discriminator has 571 or 1,861 parameters.

    Args:
      features: channels of the convolutions.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32, logits are float32
        or wider.

    Returns:
      The call takes `images`, `[batch, height, width, channels]`, and `train`. It returns logits,
      `[batch]`.

    Example:
      >>> import jax, jaxgan
      >>> discriminator = jaxgan.networks.UnrolledDiscriminator()
      >>> images = jax.numpy.zeros((4, 28, 28, 3))
      >>> logits, variables = discriminator.init_with_output(jax.random.key(1), images, train=False)
      >>> logits.shape
      (4,)

    References:
      Metz et al., Unrolled Generative Adversarial Networks, 2017, https://arxiv.org/abs/1611.02163

      Lin et al., PacGAN: The power of two samples in generative adversarial networks, 2018,
      https://arxiv.org/abs/1712.04086
    """

    features: tuple[int, ...] = (2, 4, 8)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        images = self.as_floats(images, "[batch, height, width, channels]")
        conv = functools.partial(nn.Conv, strides=2, kernel_init=NORMAL_002, dtype=self.dtype)
        x = images
        for width in self.features:
            x = conv(width, (3, 3), use_bias=False)(x)
            x = nn.leaky_relu(batch_norm(x, train, self.dtype), NEGATIVE_SLOPE)
        return logit(x.reshape(x.shape[0], -1))
