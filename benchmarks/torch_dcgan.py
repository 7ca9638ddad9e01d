"""Trains DCGAN in PyTorch with the channels-last layout, fused Adam, and autocast for bfloat16.

The layers and parameters equal those of `jaxgan.networks`. Two differences do not affect the time.
Padding is two pixels on both sides, where SAME has one and two. The generator step also updates the
discriminator's running averages.
"""

import itertools

import harness
import numpy as np
import torch_recipe
from torch_recipe import torch

KERNEL = 5

if torch is not None:
    from torch import nn

    class ChannelsLast(nn.Module):
        """Reshapes `[batch, side * side * channels]` to `[batch, channels, side, side]`."""

        def __init__(self, side: int, channels: int):
            super().__init__()
            self.shape = (side, side, channels)

        def forward(self, x):
            return x.view(-1, *self.shape).permute(0, 3, 1, 2)


def arms(
    images: np.ndarray,
    batch_size: int,
    latent_dim: int,
    *,
    bfloat16: bool,
    compiled: bool,
    features: int = 64,
    penalty: str = "none",
) -> list[harness.Arm]:
    """Returns eager and, if requested, compiled arms; empty without PyTorch.

    Args:
      images: uint8 `[num, height, width, channels]`, square, with a side divisible by 4.
      batch_size: images per step.
      latent_dim: dimension of a latent.
      bfloat16: whether to train under autocast.
      compiled: whether to add arms with `torch.compile`.
      features: channels next to the images.
      penalty: the discriminator's penalty, "none", "R1" or "WGAN-GP".
    """
    if torch is None:
        return []
    side, channels = images.shape[2:]
    on_device = torch.tensor(images, device=torch_recipe.device()).permute(0, 3, 1, 2)

    def networks():
        pair = (
            generator(side, channels, latent_dim, features),
            discriminator(side, channels, features),
        )
        return tuple(network.to(memory_format=torch.channels_last) for network in pair)

    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    recipe = torch_recipe.Recipe(
        networks, on_device, batch_size, latent_dim, adam, bfloat16, penalty
    )
    return torch_recipe.variants(recipe, "channels-last", compiled)


def stages(side: int) -> int:
    """Returns how often the side is halved, as in `jaxgan.networks`."""
    return 0 if side <= 4 or side % 2 else 1 + stages(side // 2)


def generator(side: int, channels: int, latent_dim: int, features: int) -> "nn.Sequential":
    num = stages(side)
    smallest, widths = side >> num, [features << i for i in reversed(range(num))]
    units = smallest**2 * widths[0]
    # Unflattening with channels last avoids a conversion to the channels-last layout.
    layers = [nn.Linear(latent_dim, units, bias=False), ChannelsLast(smallest, widths[0])]
    for i, (width, narrower) in enumerate(itertools.pairwise([*widths, channels]), 1):
        up = nn.ConvTranspose2d(width, narrower, KERNEL, 2, KERNEL // 2, 1, bias=i == num)
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True), up]
    return initialize(nn.Sequential(*layers, nn.Tanh()))


def discriminator(side: int, channels: int, features: int) -> "nn.Sequential":
    num = stages(side)
    widths = [channels, *(features << i for i in range(num))]
    layers: list[nn.Module] = []
    for i in range(num):
        layers.append(nn.Conv2d(*widths[i : i + 2], KERNEL, 2, KERNEL // 2, bias=i == 0))
        layers += [nn.BatchNorm2d(widths[i + 1])] if i else []
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    units = (side >> num) ** 2 * widths[-1]
    return initialize(nn.Sequential(*layers, nn.Flatten(), nn.Linear(units, 1)))


def initialize(network: "nn.Sequential") -> "nn.Sequential":
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return network
