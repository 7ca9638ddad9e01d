"""The adapter from Flax linen modules to `jaxgan.Network`."""

import flax.linen as nn
import jax

from jaxgan._internal import checks
from jaxgan.networks.adapters._common import train_flags
from jaxgan.types import ModelState, Network, Params, PyTree


def from_linen(module: nn.Module) -> Network:
    """Makes a `Network` from a Flax linen module. `jaxgan.gan` calls it for linen modules.

    The collection `params` becomes the parameters. Every other collection (`batch_stats`, ...)
    becomes the model state, which only training passes update. A `__call__` receives
    the flags that it has as parameters, by name: `train`, `training`, `is_training` and
    `update_stats` are true in training passes; `deterministic`, `use_running_average` and
    `inference` are true in other passes. All random streams (`dropout`, ...) derive from one key.

    Every training pass updates the batch statistics. In a GAN, the discriminator step updates the
    discriminator's statistics twice, with the real batch and then the fake batch, as in DCGAN. The
    generator step leaves them unchanged.

    Args:
      module: an unbound linen module whose `__call__` takes an array with a batch axis, and labels
        if the GAN has classes.

    Returns:
      A `Network`.

    Raises:
      TypeError: If `module` is not an instance of a linen module with a `__call__`, or a parameter
        of the `__call__` can be a flag with another name.

    Example:
      >>> import flax.linen as nn, jax, jaxgan
      >>> network = jaxgan.networks.from_linen(nn.Dense(3))
      >>> params, model_state = network.init(jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> y, model_state = network.apply(params, model_state, jax.numpy.ones((5, 2)), train=False)
      >>> y.shape
      (5, 3)
    """
    checks.instance("module", module, nn.Module, "an instance of a flax.linen module")
    checks.function("module", module, "of x, defined as __call__")
    options = train_flags(f"{type(module).__name__}.__call__", module)

    def init(key: jax.Array, *inputs: jax.Array) -> tuple[Params, ModelState]:
        variables = dict(module.init(key, *inputs, **options(False)))
        params = variables.pop("params", {})
        return params, variables

    def apply(
        params: Params,
        model_state: ModelState,
        *inputs: jax.Array,
        train: bool,
        key: jax.Array | None = None,
    ) -> tuple[PyTree, ModelState]:
        variables = {"params": params, **model_state}
        if not train:
            return module.apply(variables, *inputs, **options(train)), model_state
        y, moved = module.apply(
            variables, *inputs, **options(train), rngs=key, mutable=list(model_state)
        )
        return y, dict(moved)

    return Network(init, apply)
