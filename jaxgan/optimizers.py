"""Defines optax transformations for GANs that optax does not include."""

import jax
import jax.numpy as jnp
import optax

from jaxgan._internal import checks
from jaxgan.types import Params

__all__ = ["clip_weights"]


def clip_weights(limit: float = 0.01) -> optax.GradientTransformation:
    r"""Clips every parameter to $[-c, c]$ after each update, as in the original Wasserstein GAN.

    Put `clip_weights` after the optimizer in `optax.chain`.

    Args:
      limit: $c$, a number above 0.

    Returns:
      An `optax.GradientTransformation`. Its `update` requires `params`.

    Raises:
      TypeError: If `limit` is not a number.
      ValueError: If `limit` is not positive. From `update`: if `params` is None.

    Example:
      >>> import optax
      >>> from jaxgan import optimizers
      >>> optimizer = optax.chain(optax.rmsprop(5e-5), optimizers.clip_weights(0.01))

    References:
      Arjovsky et al., Wasserstein GAN, 2017, https://arxiv.org/abs/1701.07875
    """
    checks.real("limit", limit, positive=True)

    def clip(update: jax.Array, param: jax.Array) -> jax.Array:
        return jnp.clip(param + update, -limit, limit) - param

    def update(updates: optax.Updates, params: Params) -> optax.Updates:
        advice = "Call the optimizer's update with (updates, state, params)."
        checks.require(params is not None, "params", "the parameters", "None", advice)
        return jax.tree.map(clip, updates, params)

    return optax.stateless(update)
