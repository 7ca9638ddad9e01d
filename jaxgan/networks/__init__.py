"""Networks, one family a file, and the adapters that turn any network into `jaxgan.Network`."""

from jaxgan.networks.adapters import as_network, from_linen
from jaxgan.networks.mlp import MLPDiscriminator, MLPGenerator

__all__ = ["MLPDiscriminator", "MLPGenerator", "as_network", "from_linen"]
