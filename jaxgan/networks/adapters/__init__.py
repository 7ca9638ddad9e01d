"""Adapters from networks of any library to `jaxgan.Network`, one file for each library.

This module imports only flax. Each adapter imports its library when it is called.
"""

from jaxgan.networks.adapters._as_network import NetworkLike, as_network
from jaxgan.networks.adapters._equinox import from_equinox
from jaxgan.networks.adapters._haiku import from_haiku
from jaxgan.networks.adapters._linen import from_linen
from jaxgan.networks.adapters._nnx import from_nnx

__all__ = ["NetworkLike", "as_network", "from_equinox", "from_haiku", "from_linen", "from_nnx"]
