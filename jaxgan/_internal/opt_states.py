"""Initializes the optimizer states of both networks."""

import optax

from jaxgan.types import Pair, Params


def init(
    optimizer: Pair[optax.GradientTransformation], params: Pair[Params]
) -> Pair[optax.OptState]:
    """Returns the initial optimizer states of both networks.

    Args:
      optimizer: one optax transformation for each network.
      params: the parameters of both networks.
    """
    return Pair(*(opt.init(p) for opt, p in zip(optimizer, params, strict=True)))
