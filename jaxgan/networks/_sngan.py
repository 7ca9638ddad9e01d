"""The residual networks of SN-GAN and of the projection discriminator."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgan._internal.precision import full_precision
from jaxgan.networks._checked import Checked, check_sides
from jaxgan.networks._classes import add_projection, check_labels
from jaxgan.networks._layers import (
    ConditionalBatchNorm,
    Initializer,
    batch_norm,
)
from jaxgan.types import PyTree

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


class SpectralNorm(Checked):
    r"""Applies a layer with the kernel $W / \sigma$. The parameter is the kernel $W$ itself.

    $\sigma = v^\top W u$ estimates the largest singular value of $W$, a matrix with one column for
    each output. Each pass makes one power iteration from the stored $u$, and a training pass stores
    the new $u$. The gradient treats $u$ and $v$ as constants.

    The layer's initializer sets the size of $W$. Adam's steps do not depend on this size, so they
    change a larger $W$ relatively less. (`flax.linen.SpectralNorm` starts with $W / \sigma$ as the
    parameter, which removes the initializer's gain.)

    Args:
      layer: a layer with a parameter `kernel`, `[..., outputs]`.

    Returns:
      The call takes the input of the layer and `train`. It returns the output of the layer.

    Example:
      >>> import flax.linen as nn, jax, jax.numpy as jnp
      >>> from jaxgan.networks._sngan import SpectralNorm
      >>> norm, key = SpectralNorm(nn.Dense(3)), jax.random.key(0)
      >>> y, variables = norm.init_with_output(key, jnp.ones((2, 4)), train=False)
      >>> y.shape, variables["batch_stats"]["u"].shape
      ((2, 3), (3,))

    References:
      Miyato et al., Spectral Normalization for GANs, 2018, https://arxiv.org/abs/1802.05957
    """

    layer: nn.Module

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        if self.is_initializing():
            self.layer(x)  # creates the parameters

        def divide(variables: dict[str, Any]) -> dict[str, Any]:
            params = variables["params"]
            kernel = params["kernel"]
            return {"params": {**params, "kernel": kernel / self.largest(kernel, train=train)}}

        return nn.map_variables(lambda layer: layer(x), "params", divide)(self.layer)

    def largest(self, kernel: jax.Array, *, train: bool) -> jax.Array:
        """Estimates the largest singular value of a kernel."""
        matrix = kernel.reshape(-1, kernel.shape[-1])
        draw = lambda: jax.random.normal(self.make_rng("params"), matrix.shape[1:], matrix.dtype)
        u = self.variable("batch_stats", "u", draw)
        fixed = jax.lax.stop_gradient(matrix)
        product = functools.partial(jnp.matmul, precision="highest")  # not TF32, on GPUs
        left = unit(product(fixed, u.value))
        right = unit(product(left, fixed))
        if train:
            u.value = right
        sigma = product(product(left, matrix), right)
        return jnp.where(sigma == 0.0, 1.0, sigma)


def unit(x: jax.Array) -> jax.Array:
    """Divides a vector by its length."""
    return x / (jnp.linalg.norm(x) + 1e-12)


class SNGANGenerator(Checked):
    """Maps latents to images: a dense layer, then residual blocks that double the size.

    The defaults are the 32-pixel generator of SN-GAN: 4 x 4 x 256, three blocks of 256 channels,
    batch normalization, ReLU, a 3 x 3 convolution and tanh. With 128 latents and three channels it
    has 4,276,739 parameters. With `num_classes` the batch normalization in the blocks is
    class-conditional. The last one, after the blocks, is not, as in the authors' code.

    Args:
      image_shape: height and width, multiples of `2 ** blocks`, and channels of one image.
      features: channels of every block.
      blocks: the number of blocks, each of which doubles the size.
      num_classes: the number of classes; if given, the call takes labels.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32.

    Returns:
      The call takes `latents`, `[batch, latent_dim]` or a pytree of such arrays, integer `labels`,
      `[batch]`, if there are classes, and `train`. It returns images in [-1, 1],
      `[batch, *image_shape]`, in the dtype of the latents.

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
        self, latents: PyTree, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        latents = self.as_latents(latents)
        check_labels(labels, len(latents), self.num_classes)
        height, width, channels = self.image_shape
        times = 2 ** min(self.blocks, 16)
        advice = "Pad 28-pixel digits to 32 pixels."
        check_sides("image_shape", self.image_shape, times, "2 ** blocks", advice)

        def activate(x: jax.Array) -> jax.Array:
            return nn.relu(batch_norm(x, train, self.dtype, epsilon=2e-5))

        def activate_by_class(x: jax.Array) -> jax.Array:
            if self.num_classes is None or labels is None:
                return activate(x)
            norm = ConditionalBatchNorm(self.num_classes, epsilon=2e-5, dtype=self.dtype)
            return nn.relu(norm(x, labels, train=train))

        def conv(x: jax.Array, features: int, size: int, init: Initializer) -> jax.Array:
            return nn.Conv(features, (size, size), kernel_init=init, dtype=self.dtype)(x)

        shape = (height // times, width // times, self.features)
        x = nn.Dense(math.prod(shape), kernel_init=PLAIN, dtype=self.dtype)(latents)
        x = x.reshape(-1, *shape)
        for _ in range(self.blocks):
            y = conv(enlarge(activate_by_class(x)), self.features, 3, BRANCH)
            y = conv(activate_by_class(y), self.features, 3, BRANCH)
            # Repeating after the 1 x 1 convolution gives the same result and is cheaper.
            x = y + enlarge(conv(x, self.features, 1, PLAIN))
        return nn.tanh(full_precision(conv(activate(x), channels, 3, PLAIN))).astype(latents.dtype)


class SNGANDiscriminator(Checked):
    r"""Maps each image to one logit: residual blocks with spectral normalization in every layer.

    The defaults are the 32-pixel discriminator of SN-GAN: four blocks of 128 channels, of which the
    first two halve the size, ReLU, a sum over all pixels, a dense layer without bias. With three
    channels it has 1,053,824 parameters. Every weight matrix is divided by an estimate of its
    largest singular value. The parameters are the matrices before the division.

    Each training pass makes one power iteration, whose vectors are in `model_state`. In a GAN, the
    two passes of a discriminator step store these vectors. In the authors' code, the generator
    step's pass stores them, too.

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
            return SpectralNorm(layer)(x, train=train)

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

        def product(features: int, name: str) -> jax.Array:
            layer = nn.Dense(features, use_bias=False, kernel_init=PLAIN, dtype=h.dtype, name=name)
            return SpectralNorm(layer)(h, train=train)

        logits = product(1, "head")[:, 0]
        by_class = functools.partial(product, name="classes")
        return add_projection(logits, labels, self.num_classes, by_class)
