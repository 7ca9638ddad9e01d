"""Adversarial losses: pairs of functions from logits to one number an image.

Each is a `Pair` of `(real_logits, fake_logits) -> [batch]`. They are elementwise, as optax's
are; `jaxgan.gan` takes the mean. They know nothing of networks, so they can be used anywhere.
"""

import jax
import jax.numpy as jnp
import optax

from jaxgan.types import Loss, Pair


def non_saturating(real_label: float = 0.9) -> Pair[Loss]:
    r"""The non-saturating loss, with one-sided label smoothing.

    With $\mathrm{BCE}(x, t) = -t \log\sigma(x) - (1 - t) \log(1 - \sigma(x))$, for logits
    $r$ of real and $f$ of fake images:

    $$L_D = \mathrm{BCE}(r, t) + \mathrm{BCE}(f, 0), \qquad L_G = \mathrm{BCE}(f, 1).$$

    A target $t < 1$ for real images alone keeps the discriminator from growing arbitrarily
    confident and so from starving the generator of gradient: its best answer to a real image is
    the finite logit $\log(t / (1 - t))$, 2.2 for 0.9. The target itself is $t$ (neither smoothed
    towards one half nor a scaled logit, as some libraries mean by it).

    Args:
      real_label: the target of real logits, in (0, 1]; 1 is no smoothing.

    Returns:
      A `Pair` of losses. Both take float `real_logits` and `fake_logits`, `[batch]`, and return
      `[batch]` of the same dtype; they are finite for every finite logit.

    Raises:
      ValueError: `real_label` is outside (0, 1].

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.non_saturating(real_label=0.9)
      >>> undecided = jnp.zeros(2)
      >>> print(loss.generator(undecided, undecided))
      [0.6931472 0.6931472]
      >>> print(loss.discriminator(undecided, undecided))
      [1.3862944 1.3862944]

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661

      Salimans et al., Improved Techniques for Training GANs, 2016,
      https://arxiv.org/abs/1606.03498 (one-sided label smoothing)
    """
    if not 0.0 < real_label <= 1.0:
        raise ValueError(
            f"real_label must be in (0, 1]; got {real_label}. 0.9 is the usual choice."
        )
    cross_entropy = optax.losses.sigmoid_binary_cross_entropy

    def generator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
        del real_logits
        return cross_entropy(fake_logits, jnp.ones_like(fake_logits))

    def discriminator(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
        real = cross_entropy(real_logits, jnp.full_like(real_logits, real_label))
        fake = cross_entropy(fake_logits, jnp.zeros_like(fake_logits))
        return real + fake

    return Pair(generator, discriminator)
