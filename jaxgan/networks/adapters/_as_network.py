"""The conversion of a linen module to `jaxgan.Network`, or an error that names the adapter."""

import inspect
import sys

import flax.linen as nn

from jaxgan.networks.adapters._linen import from_linen
from jaxgan.types import Network

NetworkLike = Network | nn.Module
"""The types that `jaxgan.gan` takes as a player: a `Network`, or a linen module."""

_OTHERS = {
    "flax.nnx": (("Module",), "from_nnx(make), where make(rngs) returns the module"),
    "equinox": (("Module",), "from_equinox(make), where make(key) returns the module"),
    "haiku": (
        ("Module", "Transformed", "TransformedWithState"),
        "from_haiku(function), with the function as it is before hk.transform",
    ),
}


def as_network(network: object) -> Network:
    """Returns `network` as a `Network`, adapting a linen module.

    Args:
      network: a `Network` or a linen module.

    Raises:
      TypeError: If it is neither. The message names the adapter for a module of nnx, Equinox or
        Haiku.
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, nn.Module):
        return from_linen(network)
    is_class, kind = isinstance(network, type), _class_of(network)
    got = f"the class {kind.__name__}" if is_class else kind.__name__
    expected = "a flax.linen module or a jaxgan.Network(init, apply)"
    raise TypeError(f"A player must be {expected}; got {got}.{_advice(network)}")


def _class_of(network: object) -> type:
    return network if isinstance(network, type) else type(network)


def _advice(network: object) -> str:
    kind = _class_of(network)
    for name, (bases, adapter) in _OTHERS.items():
        library = sys.modules.get(name)  # no instance exists unless it is imported
        if library and issubclass(kind, tuple(getattr(library, base) for base in bases)):
            return f" Use jaxgan.networks.{adapter}."
    return " Make an instance of it." if inspect.isclass(network) else ""
