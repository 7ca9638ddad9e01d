"""Measures the cost of each loss, penalty and option for the MNIST GAN.

    python benchmarks/objectives.py --json benchmarks/results/objectives.json

Times an epoch as one scan, with one change at a time.
"""

import argparse
from pathlib import Path

import harness
import jax
import numpy as np
import optax
import step_time

import jaxgan
from jaxgan import augment, losses, optimizers, penalties

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
    "packing of 2": {"packing": 2},
    "2 discriminator steps": {"discriminator_steps": 2},
    "average": {"ema_half_life": 10_000.0, "ema_warmup": 0.05},
    "diagnose": {"diagnose": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=10_000, help="number of images; 100 per step")
    parser.add_argument("--only", nargs="*", help="time only these arms and non-saturating")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two steps, one round")
    parser.add_argument("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    num_images, rounds = (2 * step_time.BATCH, 1) if args.quick else (args.images, args.rounds)

    shape = (num_images, 28, 28, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    steps = num_images // step_time.BATCH
    arms = []
    named_losses: dict[str, dict] = {name: {"loss": loss} for name, loss in LOSSES.items()}
    for name, changes in {**named_losses, **OPTIONS}.items():
        if args.only is not None and name not in (*args.only, "non-saturating"):
            continue
        lowered = step_time.lower_epoch(step_time.recipe(**changes), images)
        arms.append(step_time.program_arm(name, *lowered, steps))
        jax.clear_caches()
    rows = harness.round_robin(arms, rounds)
    harness.report(
        rows, args.json, batch_size=step_time.BATCH, num_images=num_images, rounds=rounds
    )


if __name__ == "__main__":
    main()
