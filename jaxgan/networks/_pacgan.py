"""The networks of PacGAN's (and VEEGAN's) experiments with points in the plane."""

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from jaxgan.networks._checked import Checked
from jaxgan.networks._layers import NORMAL_002, batch_norm, logit
from jaxgan.types import PyTree


class PacGANGenerator(Checked):
    """Maps latents to points: dense layers with batch normalization and ReLU, then a dense layer.

    With the defaults and two latents the generator has 484,802 parameters. Layers before a batch
    normalization have no bias.

    Args:
      num_dims: coordinates of a point.
      features: widths of the hidden layers.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32.

    Returns:
      The call takes `latents`, `[batch, latent_dim]` or a pytree of such arrays, and `train`. It
      returns points, `[batch, num_dims]`, unbounded, in the dtype of the latents.

    Example:
      >>> import jax, jaxgan
      >>> generator = jaxgan.networks.PacGANGenerator()
      >>> latents = jax.random.normal(jax.random.key(0), (4, 2))
      >>> images, variables = generator.init_with_output(jax.random.key(1), latents, train=False)
      >>> images.shape
      (4, 2)

    References:
      Lin et al., PacGAN: The power of two samples in generative adversarial networks, 2018,
      https://arxiv.org/abs/1712.04086

      Srivastava et al., VEEGAN, 2017, https://arxiv.org/abs/1705.07761
    """

    num_dims: int = 2
    features: tuple[int, ...] = (400, 400, 400, 400)
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, latents: PyTree, *, train: bool) -> jax.Array:
        latents = self.as_latents(latents)
        x = latents
        for width in self.features:
            x = nn.Dense(width, use_bias=False, kernel_init=NORMAL_002, dtype=self.dtype)(x)
            x = nn.relu(batch_norm(x, train, self.dtype, momentum=0.95))
        x = nn.Dense(self.num_dims, kernel_init=NORMAL_002, dtype=self.dtype)(x)
        return x.astype(latents.dtype)


class PacGANDiscriminator(Checked):
    """Maps each point, or pack of points, to one logit: maxout layers, then a dense layer.

    A maxout unit is the maximum of `pieces` linear functions. With the defaults and single points
    the discriminator has 405,201 parameters. With `augment.pack(m)` it takes `2 m` coordinates.

    Args:
      features: widths of the hidden layers.
      pieces: linear functions of each unit.
      dtype: the compute dtype, such as `jnp.bfloat16`; parameters stay float32, logits are float32
        or wider.

    Returns:
      The call takes `points`, `[batch, coordinates]`. It returns logits, `[batch]`.

    Example:
      >>> import jax, jaxgan
      >>> discriminator = jaxgan.networks.PacGANDiscriminator()
      >>> points = jax.numpy.zeros((4, 2))
      >>> logits, variables = discriminator.init_with_output(jax.random.key(1), points)
      >>> logits.shape
      (4,)

    References:
      Lin et al., PacGAN: The power of two samples in generative adversarial networks, 2018,
      https://arxiv.org/abs/1712.04086

      Goodfellow et al., Maxout Networks, 2013, https://arxiv.org/abs/1302.4389
    """

    features: tuple[int, ...] = (200, 200, 200)
    pieces: int = 5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, points: jax.Array) -> jax.Array:
        points = self.as_floats(points, "[batch, coordinates]")
        x = points
        for width in self.features:
            x = nn.Dense(width * self.pieces, kernel_init=NORMAL_002, dtype=self.dtype)(x)
            x = x.reshape(x.shape[0], width, self.pieces).max(axis=-1)
        return logit(x)
