"""The first recipe in PyTorch, written to win: fused Adam, data on the device, no `.item()`."""

import functools
import itertools
from collections.abc import Callable

import harness
import numpy as np

try:
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
except ImportError:
    torch = None


def arms(
    images: np.ndarray, batch_size: int, latent_dim: int, width: int, *, compiled: bool
) -> list[harness.Arm]:
    """Eager and, if wanted, compiled; none where torch is not installed.

    Args:
      images: uint8 `[num, height, width, channels]`.
      batch_size: images a step.
      latent_dim: coordinates of a latent.
      width: units of a hidden layer.
      compiled: whether to add an arm with `torch.compile`.
    """
    if torch is None:
        return []
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs, as in JAX
    device = "cuda" if torch.cuda.is_available() else "cpu"
    on_device = torch.tensor(images.reshape(len(images), -1), device=device)
    make = functools.partial(arm, on_device, batch_size, latent_dim, width)
    found = [make("torch, eager, fused Adam", lambda function: function)]
    if compiled:
        wrap = functools.partial(torch.compile, fullgraph=True)
        found.append(make("torch.compile, fused Adam", wrap, timed_start=True))
    return found


def perceptron(*sizes: int) -> "nn.Sequential":
    layers = [(nn.Linear(*pair), nn.LeakyReLU(0.2)) for pair in itertools.pairwise(sizes)]
    return nn.Sequential(*itertools.chain(*layers))[:-1]


def arm(
    images: "torch.Tensor",
    batch_size: int,
    latent_dim: int,
    width: int,
    name: str,
    wrap: Callable,
    *,
    timed_start: bool = False,
) -> harness.Arm:
    device, (num_images, pixels) = images.device, images.shape
    generator = nn.Sequential(perceptron(latent_dim, width, width, pixels), nn.Tanh()).to(device)
    discriminator = perceptron(pixels, width, width, 1).to(device)
    players = (generator, discriminator)
    g_adam, d_adam = (torch.optim.Adam(p.parameters(), 1e-3, fused=True) for p in players)
    ones = torch.ones(batch_size, 1, device=device)

    @wrap
    def generate(latents):
        return generator(latents)

    @wrap
    def discriminator_loss(real, fake):
        real_logits = discriminator(real.float() / 127.5 - 1.0)
        fake_logits = discriminator(fake)
        return cross_entropy(real_logits, 0.9 * ones) + cross_entropy(fake_logits, 0.0 * ones)

    @wrap
    def generator_loss(fake):
        return cross_entropy(discriminator(fake), ones)

    def train(steps: int) -> None:
        order = torch.randperm(num_images, device=device)[: steps * batch_size]
        for indices in order.view(steps, batch_size):
            fake = generate(torch.randn(batch_size, latent_dim, device=device))
            discriminator.requires_grad_(True)
            d_adam.zero_grad()
            discriminator_loss(images[indices], fake.detach()).backward()
            d_adam.step()
            discriminator.requires_grad_(False)  # its weights need no gradient in this half
            g_adam.zero_grad()
            generator_loss(fake).backward()
            g_adam.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    seconds = harness.timed(train, 1)[1] if timed_start else None
    steps = num_images // batch_size
    return harness.Arm(name, functools.partial(train, steps), steps, seconds)
