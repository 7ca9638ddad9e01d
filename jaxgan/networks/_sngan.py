"""The residual networks of SN-GAN and of the projection discriminator."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgan._internal import checks
from jaxgan._internal.precision import full_precision
from jaxgan.networks._checked import Checked, check_sides
from jaxgan.networks._layers import (
    ConditionalBatchNorm,
    Initializer,
    batch_norm,
)

# Glorot uniform with a gain: sqrt(2) in the residual branch, 1 elsewhere.
BRANCH: Initializer = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
PLAIN: Initializer = nn.initializers.glorot_uniform()


def enlarge(x: jax.Array) -> jax.Array:
    """Doubles height and width by repetition."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def shrink(x: jax.Array) -> jax.Array:
    """Halves height and width by averaging."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def check_labels(labels: jax.Array | None, batch: int, num_classes: int | None) -> None:
    """Checks the range of labels, which must be given if and only if `num_classes` is."""
    expected = "None" if num_classes is None else "integers"
    fits, got = (labels is None) == (num_classes is None), checks.show(labels)
    checks.require(fits, "labels", f"{expected} with num_classes={num_classes}", got)
    if labels is not None:
        checks.labels(labels, (batch,), num_classes)


class SNGANGenerator(Checked):
    """Maps latents to images: a dense layer, then residual blocks that double the size.

    The defaults are the 32-pixel generator of SN-GAN: 4 x 4 x 256, three blocks of 256 channels,
    batch normalization, ReLU, a 3 x 3 convolution and tanh. With 128 latents and three channels it
    has 4,276,739 parameters. With `num_classes` every batch normalization is class-conditional.

    Args:
      image_shape: height and width, multiples of `2 ** blocks`, and channels of one image.
      features: channels of every block.
      blocks: the number of blocks, each of which doubles the size.
      num_classes: the number of classes; if given, the call takes labels.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32.

    Returns:
      The call takes `latents`, `[batch, latent_dim]`, integer `labels`, `[batch]`, if there are
      classes, and `train`. It returns images in [-1, 1], `[batch, *image_shape]`, in the dtype of
      the latents.

    Raises:
      ValueError: If height or width is not a multiple of `2 ** blocks`, or only one of labels and
        `num_classes` is given (raised by the call).

    Example:
      >>> import jax, jaxgan
      >>> generator = jaxgan.networks.SNGANGenerator(features=8)
      >>> latents = jax.random.normal(jax.random.key(0), (4, 128))
      >>> images, variables = generator.init_with_output(jax.random.key(1), latents, train=False)
      >>> images.shape
      (4, 32, 32, 3)

    References:
      Miyato et al., Spectral Normalization for GANs, 2018, https://arxiv.org/abs/1802.05957

      Miyato and Koyama, cGANs with Projection Discriminator, 2018, https://arxiv.org/abs/1802.05637
    """

    image_shape: tuple[int, int, int] = (32, 32, 3)
    features: int = 256
    blocks: int = 3
    num_classes: int | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        latents = self.as_floats(latents, "[batch, latent_dim]")
        check_labels(labels, len(latents), self.num_classes)
        height, width, channels = self.image_shape
        times = 2 ** min(self.blocks, 16)
        advice = "Pad 28-pixel digits to 32 pixels."
        check_sides("image_shape", self.image_shape, times, "2 ** blocks", advice)

        def activate(x: jax.Array) -> jax.Array:
            if self.num_classes is None or labels is None:
                return nn.relu(batch_norm(x, train, self.dtype, epsilon=2e-5))
            norm = ConditionalBatchNorm(self.num_classes, epsilon=2e-5, dtype=self.dtype)
            return nn.relu(norm(x, labels, train=train))

        def conv(x: jax.Array, features: int, size: int, init: Initializer) -> jax.Array:
            return nn.Conv(features, (size, size), kernel_init=init, dtype=self.dtype)(x)

        shape = (height // times, width // times, self.features)
        x = nn.Dense(math.prod(shape), kernel_init=PLAIN, dtype=self.dtype)(latents)
        x = x.reshape(-1, *shape)
        for _ in range(self.blocks):
            y = conv(enlarge(activate(x)), self.features, 3, BRANCH)
            y = conv(activate(y), self.features, 3, BRANCH)
            # Repeating after the 1 x 1 convolution gives the same result and is cheaper.
            x = y + enlarge(conv(x, self.features, 1, PLAIN))
        return nn.tanh(full_precision(conv(activate(x), channels, 3, PLAIN))).astype(latents.dtype)


class SNGANDiscriminator(Checked):
    r"""Maps each image to one logit: residual blocks with spectral normalization in every layer.

    The defaults are the 32-pixel discriminator of SN-GAN: four blocks of 128 channels, of which the
    first two halve the size, ReLU, a sum over all pixels, a dense layer. With three channels it has
    1,053,825 parameters. Every weight matrix is divided by an estimate of its largest singular
    value. Each training pass makes one power iteration, whose vectors are in `model_state`.

    With `num_classes` it is the projection discriminator, $f(x, c) = w^\top h(x) + v_c^\top h(x)$
    with embeddings $v_c$, which are normalized too.

    Args:
      features: channels of every block.
      blocks: whether each block, starting at the image, halves the size.
      num_classes: the number of classes; if given, the call takes labels.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32, logits are float32
        or wider.

    Returns:
      The call takes `images`, `[batch, height, width, channels]`, integer `labels`, `[batch]`, if
      there are classes, and `train`. It returns logits, `[batch]`.

    Raises:
      ValueError: If the images cannot be halved that often, or only one of labels and `num_classes`
        is given (raised by the call).

    Example:
      >>> import jax, jaxgan
      >>> discriminator = jaxgan.networks.SNGANDiscriminator(features=8)
      >>> images = jax.numpy.zeros((4, 32, 32, 3))
      >>> logits, variables = discriminator.init_with_output(jax.random.key(1), images, train=False)
      >>> logits.shape
      (4,)

    References:
      Miyato et al., Spectral Normalization for GANs, 2018, https://arxiv.org/abs/1802.05957

      Miyato and Koyama, cGANs with Projection Discriminator, 2018, https://arxiv.org/abs/1802.05637
    """

    features: int = 128
    blocks: tuple[bool, ...] = (True, True, False, False)
    num_classes: int | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        images = self.as_floats(images, "[batch, height, width, channels]")

        def conv(x: jax.Array, size: int, init: Initializer) -> jax.Array:
            layer = nn.Conv(self.features, (size, size), kernel_init=init, dtype=self.dtype)
            return nn.SpectralNorm(layer)(x, update_stats=train)

        check_labels(labels, len(images), self.num_classes)
        times = 2 ** sum(self.blocks)
        check_sides("images", images.shape[1:], times, f"blocks={self.blocks}")
        x = images
        for i, halve in enumerate(self.blocks):
            pool = shrink if halve else lambda x: x
            y = conv(x if i == 0 else nn.relu(x), 3, BRANCH)  # no ReLU on images
            y = pool(conv(nn.relu(y), 3, BRANCH))
            x = y + (conv(pool(x), 1, PLAIN) if i == 0 or halve else x)
        h = full_precision(nn.relu(x)).sum(axis=(1, 2))
        logits = nn.SpectralNorm(nn.Dense(1, kernel_init=PLAIN, dtype=h.dtype))(
            h, update_stats=train
        )[:, 0]
        if self.num_classes is None or labels is None:
            return logits
        classes = nn.Dense(
            self.num_classes, use_bias=False, kernel_init=PLAIN, dtype=h.dtype, name="classes"
        )
        # The columns of a dense layer without bias are the embeddings of the classes.
        by_class = nn.SpectralNorm(classes)(h, update_stats=train)
        return logits + jnp.take_along_axis(by_class, labels[:, None], axis=1)[:, 0]
