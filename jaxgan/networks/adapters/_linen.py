"""From a Flax linen module to `jaxgan.Network`."""

import inspect
from typing import Any

import flax.linen as nn
import jax

from jaxgan._internal import checks
from jaxgan.types import ModelState, Network, Params


def from_linen(module: nn.Module) -> Network:
    """Makes a `Network` of a Flax linen module; `jaxgan.gan` does it for you.

    The collection `params` becomes the parameters; every other collection (`batch_stats`, ...)
    becomes the model state, which moves in training passes only. If the module's `__call__` takes
    `train`, it is told. One key serves every random stream (`dropout`, ...).

    Every training pass moves the statistics: in a GAN the discriminator's twice in its own
    half-step, with the real batch and then the fake one, as DCGAN does, and never in the
    generator's half-step.

    Args:
      module: an unbound linen module whose `__call__` takes an array with a batch axis, and labels
        if need be.

    Returns:
      A `Network`.

    Raises:
      TypeError: it is no linen module, or a class of them.

    Example:
      >>> import flax.linen as nn, jax, jaxgan
      >>> network = jaxgan.networks.from_linen(nn.Dense(3))
      >>> params, model_state = network.init(jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> y, model_state = network.apply(params, model_state, jax.numpy.ones((5, 2)), train=False)
      >>> y.shape
      (5, 3)
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"from_linen takes a flax.linen module; got {checks.show(module)}.")
    knows_train = "train" in inspect.signature(type(module).__call__).parameters

    def options(train: bool) -> dict[str, Any]:
        return {"train": train} if knows_train else {}

    def init(key: jax.Array, *inputs: jax.Array) -> tuple[Params, ModelState]:
        variables = dict(module.init(key, *inputs, **options(train=False)))
        params = variables.pop("params", {})
        return params, variables

    def apply(
        params: Params,
        model_state: ModelState,
        *inputs: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, ModelState]:
        variables = {"params": params, **model_state}
        if not train:
            return module.apply(variables, *inputs, **options(train)), model_state
        y, moved = module.apply(
            variables, *inputs, **options(train), rngs=key, mutable=list(model_state)
        )
        return y, dict(moved)

    return Network(init, apply)
