"""Measures the cost of each loss, penalty and option, for the MNIST GAN and for convolutions.

    python benchmarks/objectives.py --json benchmarks/results/objectives.json
    python benchmarks/objectives.py --networks dcgan --json benchmarks/results/objectives_dcgan.json

Times an epoch as one scan, with one change at a time. With convolutional networks, times the
penalties and two options, also as one jit call per step. If PyTorch is installed, times DCGAN there
without a penalty, and with R1 and WGAN-GP.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import jax
import numpy as np
import optax
import step_time

import jaxgan
from jaxgan import augment, diagnostics, dynamics, losses, networks, optimizers, penalties


def distances(view: jaxgan.terms.View) -> jaxgan.types.Metrics:
    return diagnostics.of_images(view.images, view.samples)


LOSSES = {
    "non-saturating": losses.non_saturating(),
    "minimax": losses.minimax(),
    "least squares": losses.least_squares(),
    "Wasserstein": losses.wasserstein(),
    "hinge": losses.hinge(),
    "relativistic": losses.relativistic(),
    "relativistic average": losses.relativistic_average(),
}
OPTIONS: dict[str, dict] = {
    "R1": {"penalty": penalties.r1()},
    "R2": {"penalty": penalties.r2()},
    "R1 + R2": {"penalty": penalties.add(penalties.r1(), penalties.r2())},
    "lazy R1, every 16": {"penalty": penalties.lazy(penalties.r1(), every=16)},
    "WGAN-GP": {"penalty": penalties.wgan_gp()},
    "WGAN-GP, one-sided": {"penalty": penalties.wgan_gp(one_sided=True)},
    "DRAGAN": {"penalty": penalties.dragan()},
    "consistency": {"penalty": penalties.consistency(augment.translation())},
    "LeCam": {"penalty": penalties.lecam()},
    "weight clipping": {
        "optimizer": jaxgan.Pair(
            optax.adam(1e-3), optax.chain(optax.adam(1e-3), optimizers.clip_weights(0.1))
        )
    },
    "DiffAugment": {"augmentation": augment.diffaugment()},
    "ADA of DiffAugment": {"augmentation": augment.adaptive(augment.diffaugment())},
    "instance noise": {"augmentation": augment.instance_noise(0.1)},
    "packing of 2": {"augmentation": augment.pack(2)},
    "2 discriminator steps": {"dynamics": dynamics.alternating(discriminator_steps=2)},
    "average": {"ema_half_life": 10_000.0, "ema_warmup": 0.05},
    "distances of images": {"metrics": distances},
}
FEW = ("R1", "R1 + R2", "WGAN-GP", "DRAGAN", "DiffAugment", "packing of 2")
"""The options that are timed with convolutional networks."""


def networks_of(name: str, features: int, side: int = 28) -> dict[str, Any]:
    """Returns the networks of a family for square images, as arguments of `gan`."""
    shape = (side, side, 1)
    pairs: dict[str, Callable[[], tuple]] = {
        "mlp": lambda: (),
        "dcgan": lambda: (
            networks.DCGANGenerator(shape, features),
            networks.DCGANDiscriminator(features),
        ),
        "infogan": lambda: (networks.InfoGANGenerator(shape), networks.InfoGANDiscriminator()),
        "sngan": lambda: (
            networks.SNGANGenerator(shape, features),
            networks.SNGANDiscriminator(features),
        ),
        "r3gan": lambda: (
            networks.R3GANGenerator(shape, (4 * features, 2 * features), blocks=1, group_size=4),
            networks.R3GANDiscriminator((2 * features, 4 * features), blocks=1, group_size=4),
        ),
    }
    return dict(zip(("generator", "discriminator"), pairs[name](), strict=False))


def torch_arms(images: np.ndarray, batch_size: int, features: int) -> list[harness.Arm]:
    """Returns the arms of DCGAN in PyTorch."""
    found = []
    for penalty in ("none", "R1", "WGAN-GP"):
        made = harness.arms_in_child(
            "torch_dcgan",
            images,
            batch_size,
            step_time.LATENT_DIM,
            features=features,
            penalty=penalty,
            bfloat16=False,
            compiled=False,
        )
        found += [arm._replace(name=f"{penalty}, torch") for arm in made]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    families = ("mlp", "dcgan", "infogan", "sngan", "r3gan")
    parser.add_argument("--networks", choices=families, default="mlp")
    parser.add_argument("--features", type=int, default=32, help="width of convolutions")
    parser.add_argument("--images", type=int, help="number of images (default: 10,000; 320)")
    parser.add_argument("--only", nargs="*", help="time only these arms and non-saturating")
    parser.add_argument("--no-torch", action="store_true", help="do not time PyTorch")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    is_mlp = args.networks == "mlp"
    size, num_images = (step_time.BATCH, 10_000) if is_mlp else (64, 320)
    num_images, rounds = args.images or num_images, args.rounds
    if args.quick:
        num_images, rounds = 2 * size, 1

    side = 32 if args.networks == "sngan" else 28  # SN-GAN halves the side three times
    shape = (num_images, side, side, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    steps, pair = num_images // size, networks_of(args.networks, args.features, side)
    arms = []
    named: dict[str, dict] = {name: {"loss": loss} for name, loss in LOSSES.items()}
    every = {**named, **OPTIONS}
    chosen = args.only if args.only is not None else every if is_mlp else FEW
    for name in (name for name in every if name == "non-saturating" or name in chosen):
        gan = step_time.recipe(**{**pair, **every[name]})
        lowered = step_time.lower_epoch(gan, images, size)
        arms.append(step_time.program_arm(name, *lowered, steps))
        if not is_mlp:
            one = step_time.step_arm(gan, images, size)
            arms.append(one._replace(name=f"{name}, one jit call a step"))
        jax.clear_caches()
    if args.networks == "dcgan" and not args.no_torch:
        arms += torch_arms(images, size, args.features)
    rows = harness.round_robin(arms, rounds)
    settings = {"networks": args.networks, "features": args.features, "rounds": rounds}
    harness.report(rows, args.json, batch_size=size, num_images=num_images, **settings)


if __name__ == "__main__":
    main()
