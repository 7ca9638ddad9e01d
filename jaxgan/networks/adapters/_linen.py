"""The adapter from Flax linen modules to `jaxgan.Network`."""

import contextlib
from collections.abc import Iterator

import flax.linen as nn
import jax
from flax.errors import InvalidRngError, ModifyScopeVariableError

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
        of the `__call__` can be a flag with another name. From `apply`, if a layer trains in every
        pass, because the `__call__` has no flag.

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
    name = f"{type(module).__name__}.__call__"
    options = train_flags(name, module)

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
            with _error_without_flag(name, has_flag=bool(options(train))):
                return module.apply(variables, *inputs, **options(train)), model_state
        y, moved = module.apply(
            variables, *inputs, **options(train), rngs=key, mutable=list(model_state)
        )
        return y, dict(moved)

    return Network(init, apply)


@contextlib.contextmanager
def _error_without_flag(name: str, *, has_flag: bool) -> Iterator[None]:
    """Explains errors of layers that train in every pass, in a module without a flag."""
    try:
        yield
    except (ModifyScopeVariableError, InvalidRngError) as error:
        if has_flag:
            raise
        expected = "able to turn off training by a parameter such as train"
        got = f"{type(error).__name__} outside of training: {str(error).splitlines()[0][:300]}"
        advice = "Use it in the layers: BatchNorm(use_running_average=not train)."
        checks.require(False, name, expected, got, advice, error=TypeError)
