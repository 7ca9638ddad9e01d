"""Networks, one family a file, and the adapters that turn any network into `jaxgan.Network`."""

from jaxgan.networks.adapters import as_network, from_equinox, from_haiku, from_linen, from_nnx
from jaxgan.networks.classifier import Classifier
from jaxgan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from jaxgan.networks.infogan import InfoGANDiscriminator, InfoGANGenerator
from jaxgan.networks.layers import ConditionalBatchNorm, MinibatchStddev, UpConv
from jaxgan.networks.mlp import MLPDiscriminator, MLPGenerator
from jaxgan.networks.pacgan import PacGANDiscriminator, PacGANGenerator
from jaxgan.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from jaxgan.networks.sngan import SNGANDiscriminator, SNGANGenerator
from jaxgan.networks.unrolled import UnrolledDiscriminator, UnrolledGenerator

__all__ = [
    "Classifier",
    "ConditionalBatchNorm",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "InfoGANDiscriminator",
    "InfoGANGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "MinibatchStddev",
    "PacGANDiscriminator",
    "PacGANGenerator",
    "R3GANDiscriminator",
    "R3GANGenerator",
    "SNGANDiscriminator",
    "SNGANGenerator",
    "UnrolledDiscriminator",
    "UnrolledGenerator",
    "UpConv",
    "as_network",
    "from_equinox",
    "from_haiku",
    "from_linen",
    "from_nnx",
]
