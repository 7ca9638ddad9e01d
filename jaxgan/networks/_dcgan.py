"""The deep convolutional GAN, for images of 28, 32, 64 and more pixels."""

import functools
import math

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from jaxgan._internal import checks
from jaxgan._internal.precision import full_precision
from jaxgan.networks._checked import Checked
from jaxgan.networks._classes import add_projection, append_one_hot, check_labels
from jaxgan.networks._layers import (
    NEGATIVE_SLOPE,
    NORMAL_002,
    MinibatchStddev,
    UpConv,
    batch_norm,
    logit,
)
from jaxgan.types import PyTree


def halvings(height: int, width: int, stages: int | None) -> list[tuple[int, int]]:
    """Lists the sizes of repeated halvings of an image, rounded up, from the whole image down.

    Args:
      height, width: of the image, in pixels.
      stages: the number of halvings. None halves while both sides are even and above 4.

    Returns:
      `stages + 1` sizes.

    Raises:
      ValueError: If the list has no halving, or a halving of a single pixel.

    Example:
      >>> from jaxgan.networks._dcgan import halvings
      >>> halvings(28, 28, None)
      [(28, 28), (14, 14), (7, 7)]
      >>> halvings(28, 28, 4)
      [(28, 28), (14, 14), (7, 7), (4, 4), (2, 2)]
    """
    sizes = [(height, width)]

    def more() -> bool:
        if stages is not None:
            return len(sizes) <= stages
        return all(side > 4 and side % 2 == 0 for side in sizes[-1])

    while more():
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    got, advice = f"{height} x {width} with stages={stages}", "Set stages to at least 1."
    checks.require(len(sizes) > 1, "The sides of an image", "even and above 4", got, advice)
    expected = "larger than one pixel before every halving"
    checks.require(sizes[-2] != (1, 1), "An image", expected, got, "Use fewer stages.")
    return sizes


class DCGANGenerator(Checked):
    r"""Maps latents to images: a dense layer, then transposed convolutions that double the size.

    Batch normalization and ReLU follow every layer except the last, which ends in tanh. With
    `stages` $s$ and `features` $f$ the channels are $2^{s-1} f, ..., 2f, f$. The paper's generator
    of 64 x 64 x 3 images has `features=128`, so 1024, 512, 256 and 128 channels, and 18,855,043
    parameters with 100 latents. VEEGAN and PacGAN use `features=64, stages=4` for Stacked MNIST at
    28 pixels.

    Layers before a batch normalization have no bias, because the normalization would remove it.
    With `num_classes` the input is the latents followed by the label in one-hot form.

    Args:
      image_shape: height, width and channels of one image.
      features: channels before the last layer.
      stages: the number of doublings. By default the image is halved while both sides are even
        and above 4 (28: 7, 14, 28; 64: 4, 8, 16, 32, 64). `UpConv` crops to odd sizes in between.
      kernel_size: 3, 4 or 5 (the paper's).
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32.
      num_classes: the number of classes; if given, the call takes labels.

    Returns:
      The call takes `latents`, `[batch, latent_dim]` or a pytree of such arrays, integer `labels`,
      `[batch]`, if there are classes, and `train`. It returns images in [-1, 1],
      `[batch, *image_shape]`, in the dtype of the latents.

    Raises:
      ValueError: If the image cannot be halved, or only one of labels and `num_classes` is given
        (raised by the call).

    Example:
      >>> import jax, jaxgan
      >>> generator = jaxgan.networks.DCGANGenerator(features=8)
      >>> latents = jax.random.normal(jax.random.key(0), (4, 100))
      >>> images, variables = generator.init_with_output(jax.random.key(1), latents, train=False)
      >>> images.shape
      (4, 28, 28, 1)

    References:
      Radford et al., Unsupervised Representation Learning with Deep Convolutional GANs, 2016,
      https://arxiv.org/abs/1511.06434
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)
    features: int = 64
    stages: int | None = None
    kernel_size: int = 5
    dtype: DTypeLike | None = None
    num_classes: int | None = None

    @nn.compact
    def __call__(
        self, latents: PyTree, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        latents = self.as_latents(latents)
        height, width, channels = self.image_shape
        *sizes, smallest = halvings(height, width, self.stages)
        shape = (*smallest, self.features * 2 ** (len(sizes) - 1))
        dense = nn.Dense(math.prod(shape), use_bias=False, kernel_init=NORMAL_002, dtype=self.dtype)
        x = dense(append_one_hot(latents, labels, self.num_classes)).reshape(-1, *shape)
        for i, (height, width) in reversed(list(enumerate(sizes))):
            x = nn.relu(batch_norm(x, train, self.dtype))
            x = UpConv(
                channels if i == 0 else self.features * 2 ** (i - 1),
                self.kernel_size,
                use_bias=i == 0,
                dtype=self.dtype,
            )(x, (height, width))
        return nn.tanh(full_precision(x)).astype(latents.dtype)


class DCGANDiscriminator(Checked):
    r"""Maps each image to one logit: convolutions of stride 2 that double the channels.

    Leaky ReLU (slope 0.2) follows every convolution, with batch normalization before it in all but
    the first. The last layer is dense. With `features` $f$ the channels are $f, 2f, 4f, ...$

    With `num_classes` it is a projection discriminator, like `SNGANDiscriminator`. The logit is
    increased by $v_c^\top h(x)$, with the features $h$ and the embedding $v_c$ of the label.

    Args:
      features: channels after the first layer.
      stages: the number of halvings; by default as in `DCGANGenerator`.
      kernel_size: of the convolutions (the paper's: 5).
      minibatch_stddev: if given, the group size of a `MinibatchStddev` before the dense layer.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32, logits are float32
        or wider.
      num_classes: the number of classes; if given, the call takes labels.

    Returns:
      The call takes `images`, `[batch, height, width, channels]`, integer `labels`, `[batch]`, if
      there are classes, and `train`. It returns logits, `[batch]`.

    Raises:
      ValueError: If the image cannot be halved, or only one of labels and `num_classes` is given
        (raised by the call).

    Example:
      >>> import jax, jaxgan
      >>> discriminator = jaxgan.networks.DCGANDiscriminator(features=8)
      >>> images = jax.numpy.zeros((4, 28, 28, 1))
      >>> logits, variables = discriminator.init_with_output(jax.random.key(1), images, train=False)
      >>> logits.shape
      (4,)

    References:
      Radford et al., Unsupervised Representation Learning with Deep Convolutional GANs, 2016,
      https://arxiv.org/abs/1511.06434

      Miyato and Koyama, cGANs with Projection Discriminator, 2018, https://arxiv.org/abs/1802.05637
    """

    features: int = 64
    stages: int | None = None
    kernel_size: int = 5
    minibatch_stddev: int | None = None
    dtype: DTypeLike | None = None
    num_classes: int | None = None

    @nn.compact
    def __call__(
        self, images: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        images = self.as_floats(images, "[batch, height, width, channels]")
        check_labels(labels, len(images), self.num_classes)
        x = images
        for i in range(len(halvings(images.shape[1], images.shape[2], self.stages)) - 1):
            x = nn.Conv(
                self.features * 2**i,
                (self.kernel_size, self.kernel_size),
                strides=2,
                use_bias=i == 0,
                kernel_init=NORMAL_002,
                dtype=self.dtype,
            )(x)
            x = x if i == 0 else batch_norm(x, train, self.dtype)
            x = nn.leaky_relu(x, NEGATIVE_SLOPE)
        if self.minibatch_stddev is not None:
            x = MinibatchStddev(self.minibatch_stddev)(x)
        x = full_precision(x.reshape(x.shape[0], -1))

        def by_class(num_classes: int) -> jax.Array:
            dense = functools.partial(nn.Dense, use_bias=False, name="classes")
            return dense(num_classes, kernel_init=NORMAL_002, dtype=x.dtype)(x)

        return add_projection(logit(x), labels, self.num_classes, by_class)
