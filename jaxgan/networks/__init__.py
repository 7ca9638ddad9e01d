"""Networks, and adapters that convert networks of other libraries to `jaxgan.Network`."""

from jaxgan.networks._classifier import DigitClassifier
from jaxgan.networks._dcgan import DCGANDiscriminator, DCGANGenerator
from jaxgan.networks._infogan import InfoGANDiscriminator, InfoGANGenerator
from jaxgan.networks._layers import ConditionalBatchNorm, MinibatchStddev, UpConv
from jaxgan.networks._mlp import MLPDiscriminator, MLPGenerator
from jaxgan.networks._pacgan import PacGANDiscriminator, PacGANGenerator
from jaxgan.networks._pix2pix import PatchDiscriminator, UNetGenerator
from jaxgan.networks._r3gan import R3GANDiscriminator, R3GANGenerator
from jaxgan.networks._sngan import SNGANDiscriminator, SNGANGenerator
from jaxgan.networks._unrolled import UnrolledDiscriminator, UnrolledGenerator
from jaxgan.networks.adapters import as_network, from_equinox, from_haiku, from_linen, from_nnx

__all__ = [
    "ConditionalBatchNorm",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DigitClassifier",
    "InfoGANDiscriminator",
    "InfoGANGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "MinibatchStddev",
    "PacGANDiscriminator",
    "PacGANGenerator",
    "PatchDiscriminator",
    "R3GANDiscriminator",
    "R3GANGenerator",
    "SNGANDiscriminator",
    "SNGANGenerator",
    "UNetGenerator",
    "UnrolledDiscriminator",
    "UnrolledGenerator",
    "UpConv",
    "as_network",
    "from_equinox",
    "from_haiku",
    "from_linen",
    "from_nnx",
]
