"""The networks of pix2pix, which translate images: a U-Net and a discriminator of patches."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgan._internal import checks
from jaxgan._internal.precision import full_precision
from jaxgan.networks._checked import Checked
from jaxgan.networks._dcgan import halvings
from jaxgan.networks._layers import NEGATIVE_SLOPE, NORMAL_002, UpConv, batch_norm
from jaxgan.types import PyTree

PIXELS = "[batch, height, width, channels]"


class PatchDiscriminator(Checked):
    r"""Maps each image to a grid of logits, each of which judges one patch (PatchGAN).

    The layers are 4 x 4 convolutions with leaky ReLU (slope 0.2), and batch normalization in all
    but the first. All but the last of `features` halve the size; the last one and the final
    convolution to one channel have stride 1. With $k$ widths, a patch has $9 \cdot 2^{k-1} - 2$
    pixels on each side: 16 for `(64, 128)`, 70 for the default, which is the paper's. A network for
    pairs of three channels each has 2,768,705 parameters.

    Args:
      features: channels of the layers before the last.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32, logits are float32
        or wider.

    Returns:
      The call takes `images`, `[batch, height, width, channels]`, optionally a `condition`, images
      of the same height, width and dtype, and `train`. It returns logits, `[batch, rows, columns]`.

    Raises:
      ValueError: If the images are too small, or the condition does not fit (raised by the call).

    Example:
      >>> import jax, jaxgan
      >>> discriminator = jaxgan.networks.PatchDiscriminator(features=(4, 8))
      >>> pair = jax.numpy.zeros((4, 28, 28, 1)), jax.numpy.zeros((4, 28, 28, 3))
      >>> logits, variables = discriminator.init_with_output(jax.random.key(1), *pair, train=False)
      >>> logits.shape
      (4, 12, 12)

    References:
      Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017,
      https://arxiv.org/abs/1611.07004
    """

    features: tuple[int, ...] = (64, 128, 256, 512)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: jax.Array, condition: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        x = self.as_floats(images, PIXELS)
        minimum, got = 3 * 2 ** (len(self.features) - 1), f"{x.shape}"
        expected = f"at least {minimum} with {len(self.features)} widths"
        checks.require(min(x.shape[1:3]) >= minimum, "The sides of images", expected, got)
        if condition is not None:
            condition = self.as_floats(condition, PIXELS, "condition")
            kind = lambda x: f"{x.dtype} of shape {x.shape[:3]} and channels"
            fits, name = kind(condition) == kind(x), "The condition of PatchDiscriminator"
            checks.require(fits, name, kind(x), kind(condition))
            x = jnp.concatenate([x, condition], axis=-1)
        conv = functools.partial(nn.Conv, kernel_size=(4, 4), padding=1, kernel_init=NORMAL_002)
        for i, width in enumerate(self.features):
            strides = 2 if i < len(self.features) - 1 else 1
            x = conv(width, strides=strides, use_bias=i == 0, dtype=self.dtype)(x)
            x = nn.leaky_relu(x if i == 0 else batch_norm(x, train, self.dtype), NEGATIVE_SLOPE)
        x = full_precision(x)
        return conv(1, dtype=x.dtype)(x)[..., 0]


class UNetGenerator(Checked):
    """Translates an image: convolutions that halve the size, transposed ones that double it.

    The kernels are 4 x 4. Each transposed convolution after the first also receives the features of
    the same size from the first half. Batch normalization and leaky ReLU (slope 0.2) follow the
    convolutions, but the first and the last convolution have no normalization. Batch normalization
    and ReLU follow the transposed convolutions, but the last one ends in tanh. The latents are
    appended to the smallest features as channels, equal at all pixels. They replace the noise of
    the paper's dropout.

    The paper's network for 256 pixels has eight widths, from 64 to 512. The default is for about 32
    pixels; with one channel and 100 latents it has 1,650,625 parameters.

    Args:
      channels: of the generated images.
      features: channels after each halving.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32.

    Returns:
      The call takes `latents`, `[batch, latent_dim]` or a pytree of such arrays, a `condition`,
      images `[batch, height, width, any]`, and `train`. It returns images in [-1, 1],
      `[batch, height, width, channels]`, in the dtype of the condition.

    Raises:
      ValueError: If the batch sizes differ, or the condition cannot be halved that often (raised by
        the call).

    Example:
      >>> import jax, jaxgan
      >>> generator = jaxgan.networks.UNetGenerator(features=(4, 8))
      >>> latents = jax.random.normal(jax.random.key(0), (2, 3))
      >>> edges = jax.numpy.zeros((2, 28, 28, 1))
      >>> images, _ = generator.init_with_output(jax.random.key(1), latents, edges, train=False)
      >>> images.shape
      (2, 28, 28, 1)

    References:
      Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017,
      https://arxiv.org/abs/1611.07004

      Ronneberger et al., U-Net, 2015, https://arxiv.org/abs/1505.04597
    """

    channels: int = 1
    features: tuple[int, ...] = (64, 128, 256)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, latents: PyTree, condition: jax.Array, *, train: bool) -> jax.Array:
        latents = self.as_latents(latents)
        x = condition = self.as_floats(condition, PIXELS, "condition")
        kind = lambda x: f"{x.dtype} with {len(x)} rows"
        fits, name = kind(x) == kind(latents), "The condition of UNetGenerator"
        checks.require(fits, name, kind(latents), kind(x))
        last = len(self.features) - 1
        sizes = halvings(x.shape[1], x.shape[2], last + 1)
        skips: list[jax.Array] = []
        for i, width in enumerate(self.features):
            conv = functools.partial(nn.Conv, strides=2, kernel_init=NORMAL_002, dtype=self.dtype)
            x = conv(width, (4, 4), use_bias=i in (0, last))(x)
            x = x if i in (0, last) else batch_norm(x, train, self.dtype)
            x = nn.leaky_relu(x, NEGATIVE_SLOPE)
            skips.append(x)
        noise = jnp.broadcast_to(latents[:, None, None], (*x.shape[:3], latents.shape[-1]))
        skips[last] = noise.astype(x.dtype)
        for i in reversed(range(last + 1)):
            x = jnp.concatenate([x, skips[i]], axis=-1)
            width = self.features[i - 1] if i > 0 else self.channels
            x = UpConv(width, 4, use_bias=i == 0, dtype=self.dtype)(x, sizes[i])
            x = x if i == 0 else nn.relu(batch_norm(x, train, self.dtype))
        return nn.tanh(full_precision(x)).astype(condition.dtype)
