"""Trains the MNIST GAN in PyTorch with fused Adam and data on the device, without `.item()` calls.

On a GPU, also captures the whole step as one CUDA graph. `torch_dcgan` uses the same functions.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import harness
import numpy as np

try:
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
except ImportError:
    torch = None

Step = Callable[[Any], tuple]


class Recipe(NamedTuple):
    """Holds the networks, data and settings of a training run.

    Args:
      networks: returns a generator and a discriminator.
      images: uint8, in the discriminator's shape, on the device to train on.
      batch_size: images per step.
      latent_dim: dimension of a latent.
      adam: keyword arguments of Adam.
      bfloat16: whether to train under autocast.
      penalty: the discriminator's penalty, "none", "R1" or "WGAN-GP", with weight 10.
    """

    networks: Callable[[], tuple["nn.Module", "nn.Module"]]
    images: "torch.Tensor"
    batch_size: int
    latent_dim: int
    adam: dict[str, Any]
    bfloat16: bool = False
    penalty: str = "none"


def arms(
    images: np.ndarray, batch_size: int, latent_dim: int, width: int, *, compiled: bool
) -> list[harness.Arm]:
    """Returns eager and, if requested, compiled arms; empty without PyTorch.

    Args:
      images: uint8 `[num, height, width, channels]`.
      batch_size: images per step.
      latent_dim: dimension of a latent.
      width: units of a hidden layer.
      compiled: whether to add arms with `torch.compile`.
    """
    if torch is None:
        return []
    return variants(first(images, batch_size, latent_dim, width), "fused Adam", compiled)


def first(images: np.ndarray, batch_size: int, latent_dim: int, width: int) -> Recipe:
    flat = torch.tensor(images.reshape(len(images), -1), device=device())

    def networks():
        generator = perceptron(latent_dim, width, width, flat.shape[1])
        return nn.Sequential(generator, nn.Tanh()), perceptron(flat.shape[1], width, width, 1)

    return Recipe(networks, flat, batch_size, latent_dim, {"lr": 1e-3})


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def perceptron(*sizes: int) -> "nn.Sequential":
    layers = [(nn.Linear(*pair), nn.LeakyReLU(0.2)) for pair in itertools.pairwise(sizes)]
    for linear, _ in layers:  # as in Flax
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        nn.init.zeros_(linear.bias)
    return nn.Sequential(*itertools.chain(*layers))[:-1]


def variants(recipe: Recipe, how: str, compiled: bool) -> list[harness.Arm]:
    """Returns arms that train eagerly or compiled, and on a GPU also as CUDA graphs."""
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs, as in JAX
    torch.backends.cudnn.benchmark = True  # chooses the fastest convolutions, as XLA does
    wraps: dict[str, Callable] = {"torch, eager": lambda function: function}
    if compiled:
        wraps["torch.compile"] = functools.partial(torch.compile, fullgraph=True)
    found = []
    for name, wrap in wraps.items():
        eager, graph = f"{name}, {how}", f"{name}, CUDA graph, {how}"
        found.append(harness.attempt(eager, arm, eager, recipe, train_step(recipe, wrap)))
        if recipe.images.is_cuda:
            found.append(harness.attempt(graph, graph_arm, graph, recipe, wrap))
    return found


def train_step(recipe: Recipe, wrap: Callable) -> Step:
    """Returns a step that maps batch indices to the losses of discriminator and generator."""
    images, size, latent_dim = recipe.images, recipe.batch_size, recipe.latent_dim
    on = images.device
    generator, discriminator = (network.to(on) for network in recipe.networks())
    # CUDA graphs need a step count on the device.
    adam = functools.partial(torch.optim.Adam, fused=True, capturable=on.type == "cuda")
    g_adam, d_adam = (adam(p.parameters(), **recipe.adam) for p in (generator, discriminator))
    target = functools.partial(torch.full, (size, 1), device=on)
    smooth, zeros, ones = target(fill_value=0.9), target(fill_value=0.0), target(fill_value=1.0)
    autocast = functools.partial(torch.autocast, on.type, torch.bfloat16, enabled=recipe.bfloat16)

    @wrap
    def generate(latents):
        with autocast():
            return generator(latents)

    @wrap
    def discriminator_loss(indices, fake):
        real = images[indices].float() / 127.5 - 1.0
        with autocast():
            real_logits = discriminator(real)
            fake_logits = discriminator(fake)
        real_loss = cross_entropy(real_logits.float(), smooth)
        loss = real_loss + cross_entropy(fake_logits.float(), zeros)
        return loss + penalty(real, fake) if recipe.penalty != "none" else loss

    def penalty(real, fake):
        at = real
        if recipe.penalty == "WGAN-GP":
            share = torch.rand(size, *[1] * (real.dim() - 1), device=on)
            at = real + share * (fake - real)
        at = at.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(discriminator(at).sum(), at, create_graph=True)
        squares = slope.square().flatten(1).sum(1)
        if recipe.penalty == "R1":
            return 5.0 * squares.mean()
        return 10.0 * (squares.sqrt() - 1.0).square().mean()

    @wrap
    def generator_loss(fake):
        with autocast():
            logits = discriminator(fake)
        return cross_entropy(logits.float(), ones)

    def step(indices):
        fake = generate(torch.randn(size, latent_dim, device=on))
        discriminator.requires_grad_(True)
        d_adam.zero_grad()
        d_loss = discriminator_loss(indices, fake.detach())
        d_loss.backward()
        d_adam.step()
        discriminator.requires_grad_(False)  # avoids computing unused gradients
        g_adam.zero_grad()
        g_loss = generator_loss(fake)
        g_loss.backward()
        g_adam.step()
        return d_loss.detach(), g_loss.detach()

    return step


def graphed(recipe: Recipe, step: Step) -> Step:
    """Captures the step, with latents and Adam, as one CUDA graph; copies only the indices."""
    static = torch.arange(recipe.batch_size, device=recipe.images.device)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # lazy allocations and compilation cannot be captured
        for _ in range(3):
            step(static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        losses = step(static)

    # The default argument keeps the step's parameters alive, which the graph does not.
    def replay(indices, owner=step):
        static.copy_(indices)
        graph.replay()
        return losses

    return replay


def graph_arm(name: str, recipe: Recipe, wrap: Callable) -> harness.Arm:
    step, seconds = harness.timed(graphed, recipe, train_step(recipe, wrap))
    return arm(name, recipe, step, seconds)


def arm(name: str, recipe: Recipe, step: Step, seconds: float | None = None) -> harness.Arm:
    num_images, size = len(recipe.images), recipe.batch_size

    def train(steps: int) -> None:
        order = torch.randperm(num_images, device=recipe.images.device)[: steps * size]
        for indices in order.view(steps, size):
            step(indices)
        if order.is_cuda:
            torch.cuda.synchronize()

    if name.startswith("torch.compile") and seconds is None:
        seconds = harness.timed(train, 1)[1]
    steps = num_images // size
    return harness.Arm(name, functools.partial(train, steps), steps, seconds)
