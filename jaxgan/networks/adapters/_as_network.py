"""Any network to `jaxgan.Network`, or an error that names the adapter to use."""

import inspect
import sys
from typing import Any

import flax.linen as nn

from jaxgan.networks.adapters._linen import from_linen
from jaxgan.types import Network

_OTHERS = {
    "flax.nnx": (("Module",), "from_nnx(make), where make(rngs) returns the module"),
    "equinox": (("Module",), "from_equinox(make), where make(key) returns the module"),
    "haiku": (
        ("Module", "Transformed", "TransformedWithState"),
        "from_haiku(function), with the function as it is before hk.transform",
    ),
}


def as_network(network: Any) -> Network:
    """Returns `network` as a `Network`, adapting a linen module.

    Args:
      network: a `Network` or a linen module.

    Raises:
      TypeError: it is neither. The message names the adapter that a module of nnx, Equinox or Haiku
        needs.
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, nn.Module):
        return from_linen(network)
    is_class = inspect.isclass(network)
    what = f"the class {network.__name__}" if is_class else type(network).__name__
    raise TypeError(
        "A player must be a flax.linen module or a jaxgan.Network(init, apply); "
        f"got {what}.{_advice(network)}"
    )


def _advice(network: Any) -> str:
    kind = network if inspect.isclass(network) else type(network)
    for name, (bases, adapter) in _OTHERS.items():
        library = sys.modules.get(name)  # who has not imported it has no module of it
        if library and issubclass(kind, tuple(getattr(library, base) for base in bases)):
            return f" Use jaxgan.networks.{adapter}."
    return " Make an instance of it." if inspect.isclass(network) else ""
