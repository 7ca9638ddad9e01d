"""Counts which of Stacked MNIST's 1,000 modes DCGAN, PacDCGAN and RpGAN+R1+R2 reach.

    python examples/stacked_mnist.py --data-dir mnist                # PacGAN's Table 2, in full
    python examples/stacked_mnist.py --data-dir mnist --setting unrolled-half --methods pacdcgan2

An image is three random digits, one in each channel, and its mode is the number that they make, as
the classifier mnist-v1 reads it. Settings are PacGAN's: "veegan" is DCGAN with uniform latents,
"unrolled-quarter" and "unrolled-half" are small networks, a discriminator with a quarter or half of
the generator's channels. The runs of a method are a population in one program. In full it is meant
for a GPU; the options make it smaller. Writes a table, and after each method a picture of its first
run and `summary.json`, to `runs/stacked_mnist`.

PacGAN's code for "veegan" makes two generator steps to one of the discriminator, and stacks
training and test digits; here it is one to one, and the training digits alone.
"""

import argparse
import functools
import math
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

import common
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

import jaxgan
from jaxgan import (
    compilation,
    evaluation,
    images,
    losses,
    networks,
    penalties,
    population,
    runs,
    training,
)

NUM_MODES = 1000
# A run that reaches fewer of the modes than this share has collapsed. One with a sample that is not
# finite reaches none.
COLLAPSED = 0.5
CHUNK = 500  # steps a program, so that the bar moves
EVALUATED = 1000  # images at once
SIZES = ("steps", "runs", "batch_size", "samples")
SETTINGS = {  # their defaults
    "veegan": (100_000, 10, 64, 26_000),
    "unrolled-quarter": (500_000, 50, 128, 25_600),
    "unrolled-half": (500_000, 50, 128, 25_600),
}
LATENT_DIM = {"veegan": 100, "unrolled-quarter": 256, "unrolled-half": 256}
DISCRIMINATOR = {"unrolled-quarter": (2, 4, 8), "unrolled-half": (4, 8, 16)}  # its channels
PACKING = {"dcgan": 1, "pacdcgan2": 2, "pacdcgan3": 3, "pacdcgan4": 4, "rpgan": 1}
PUBLISHED = {  # PacGAN's Tables 2 and 3: modes / KL
    "veegan": ["78.9 +- 6.5 / 4.50", "1000 / 0.06", "1000 / 0.06", "1000 / 0.07", ""],
    "unrolled-quarter": ["78.5 / 5.21", "484.5 / 2.61", "", "667.4 / 1.81", ""],
    "unrolled-half": ["487.7 / 2.24", "840.7 / 1.00", "", "820.2 / 1.15", ""],
}


class UniformLatents(nn.Module):
    """A generator of latents uniform on (-1, 1), which it makes of the normal ones it is given."""

    generator: Any

    def __call__(self, latents: jax.Array, *, train: bool) -> jax.Array:
        return self.generator(2.0 * jax.scipy.stats.norm.cdf(latents) - 1.0, train=train)


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--data-dir", help="IDX files, or tensorflow-datasets' folder, or 'embedded'")
    names, told = list(SETTINGS), f"of {', '.join(SETTINGS)} (default: veegan)"
    add("--setting", choices=names, default="veegan", help=told)
    names, told = list(PACKING), f"of {', '.join(PACKING)} (default: all)"
    add("--methods", nargs="+", choices=names, default=names, help=told)
    purpose = ("of training", "seeds from 0", "packs a step", "to count, of each run")
    defaults = zip(SETTINGS["veegan"], SETTINGS["unrolled-half"], strict=True)
    for name, what, (veegan, unrolled) in zip(SIZES, purpose, defaults, strict=True):
        told = f"{what} (default: {veegan}; unrolled: {unrolled})"
        add(f"--{name.replace('_', '-')}", type=int, help=told)
    add("--triples", type=int, default=128_000, help="to train with (default: 128000)")
    add("--features", type=int, default=64, help="of DCGAN, in veegan (default: 64)")
    add("--gamma", type=float, default=0.1, help="weight of R1 and R2, for rpgan (default: 0.1)")
    common.add_workdir(parser, "runs/stacked_mnist")
    args = parser.parse_args()
    for name, default in zip(SIZES, SETTINGS[args.setting], strict=True):
        if getattr(args, name) is None:
            setattr(args, name, default)
    common.check_at_least_1(parser, args, *SIZES, "triples", "features")
    if args.triples < args.batch_size * max(PACKING[method] for method in args.methods):
        parser.error(f"--triples must be a batch of packs at least; got {args.triples}")
    return args


def stack(digits: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Makes digits `[num, 28, 28, 1]` and `[triples, 3]` of their numbers one image a triple."""
    return np.concatenate([digits[column] for column in indices.T], axis=-1)


def draw_triples(digits: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Random ones, uint8 `[num, 28, 28, 3]`."""
    indices = jax.random.randint(jax.random.key(seed), (num, 3), 0, len(digits))
    return stack(digits, np.asarray(indices))


def read_modes(classifier: evaluation.FeatureExtractor, pictures: jax.Array) -> jax.Array:
    """The modes of images in [-1, 1], in [0, 1000), or -1 if they are not finite."""
    digits = jnp.moveaxis(pictures, -1, 1).reshape(-1, *pictures.shape[1:3], 1)
    classes = classifier.probabilities(digits).argmax(axis=1).reshape(-1, 3)
    modes = 100 * classes[:, 0] + 10 * classes[:, 1] + classes[:, 2]
    return jnp.where(jnp.isfinite(pictures).all(axis=(1, 2, 3)), modes, -1)


def count(read: Callable[[Any], jax.Array], rows: Any) -> evaluation.ModeCoverage:
    """Reads the modes of all rows, a batch at a time; what is not finite reaches none."""
    starts = range(0, len(rows), EVALUATED)
    modes = np.concatenate([np.asarray(read(rows[i : i + EVALUATED])) for i in starts])
    found = evaluation.mode_coverage(np.maximum(modes, 0), NUM_MODES)
    return found._replace(modes=0, kl=math.inf) if (modes < 0).any() else found


def make_gan(method: str, args: argparse.Namespace) -> jaxgan.GAN:
    players: tuple[Any, Any]
    shape = (28, 28, 3)
    if args.setting == "veegan":
        generator = UniformLatents(networks.DCGANGenerator(shape, args.features, stages=4))
        players = generator, networks.DCGANDiscriminator(args.features, stages=4)
        rates, b2 = (2e-4, 2e-4), 0.999
    else:
        channels = DISCRIMINATOR[args.setting]
        players = networks.UnrolledGenerator(shape), networks.UnrolledDiscriminator(channels)
        rates, b2 = (1e-4, 2e-4), 0.99
    both = penalties.add(penalties.r1(args.gamma), penalties.r2(args.gamma))
    return jaxgan.gan(
        generator=players[0],
        discriminator=players[1],
        loss=losses.relativistic() if method == "rpgan" else losses.non_saturating(real_label=1.0),
        optimizer=jaxgan.Pair(*(optax.adam(rate, b1=0.5, b2=b2) for rate in rates)),
        latents=LATENT_DIM[args.setting],
        penalty=both if method == "rpgan" else None,
        packing=PACKING[method],
    )


def train(gan: jaxgan.GAN, triples: jax.Array, packing: int, args: argparse.Namespace, bar: tqdm):
    """Trains all runs of a method; returns their states, and the steps that each has skipped."""

    def chunk(states: jaxgan.TrainState, triples: jax.Array, num_steps: int):
        def run(state: jaxgan.TrainState, triples: jax.Array):
            state, metrics = steps(gan, state, triples, num_steps=num_steps)
            return state, (metrics["generator_skipped"] + metrics["discriminator_skipped"]).sum()

        return population.each(run)(states, triples)

    # A batch is of packs, as in PacGAN's code: packing shows the players more images a step.
    steps = functools.partial(training.steps, batch_size=args.batch_size * packing)
    keys = jax.vmap(jax.random.key)(jnp.arange(args.runs))
    states = jax.jit(jax.vmap(gan.init, in_axes=(0, None)))(keys, jnp.zeros((1, 28, 28, 3)))
    step = jax.jit(chunk, static_argnums=2, donate_argnums=0)
    skipped = np.zeros(args.runs, np.int64)
    for done in range(0, args.steps, CHUNK):
        num_steps = min(CHUNK, args.steps - done)
        states, missed = step(states, triples, num_steps)
        skipped += np.asarray(missed)
        bar.update(num_steps)
    return states, skipped


def mean(values: list[float]) -> str:
    """Of the runs that have one."""
    finite = [x for x in values if math.isfinite(x)]
    if not finite:
        return "none"
    some = "" if len(finite) == len(values) else f" ({len(finite)} of {len(values)} runs)"
    return evaluation.plus_minus(finite, 3) + some


def row(setting: str, method: str, found: list[evaluation.ModeCoverage], skipped) -> str:
    cells = [
        method,
        evaluation.plus_minus([x.modes for x in found], 1),
        mean([x.kl for x in found]),
        f"{sum(x.modes < COLLAPSED * NUM_MODES for x in found)} of {len(found)}",
        str(int(skipped.sum())),
        dict(zip(PACKING, PUBLISHED[setting], strict=True))[method],
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    args = parse_arguments()
    compilation.enable_compilation_cache()
    chosen = common.chosen(args)
    with common.errors_in_a_line():
        digits, _ = data = jaxgan.datasets.load("mnist", "train", args.data_dir)
        test_digits, _ = jaxgan.datasets.load("mnist", "test", args.data_dir)
        workdir = common.begin(args, chosen)
    print(f"data: {data.source}", file=sys.stderr)
    classifier = evaluation.mnist_v1()
    read_real = jax.jit(lambda some: read_modes(classifier, images.normalize(some)))
    # Of digits that neither the classifier nor a GAN has seen: what a perfect generator would get.
    real = count(read_real, draw_triples(test_digits, args.samples, seed=2018))
    triples = jnp.asarray(draw_triples(digits, args.triples, seed=2017))
    latents = common.fixed_latents(LATENT_DIM[args.setting], args.samples)
    rows = [f"| *triples of test digits* | {real.modes} | {real.kl:.3f} | | | |"]
    results: list[dict[str, Any]] = []
    summary = {"command": shlex.join(["python", *sys.argv]), **chosen, "data": data.source}
    summary |= {**jaxgan.environment(), "real": real._asdict(), "results": results}
    with tqdm(total=len(args.methods) * args.steps, unit="step") as bar:
        for method in args.methods:
            bar.set_postfix_str(f"{method}, {args.runs} runs")
            clock = time.perf_counter()
            gan = make_gan(method, args)
            states, skipped = train(gan, triples, PACKING[method], args, bar)
            seconds = time.perf_counter() - clock
            read = jax.jit(lambda state, z, gan=gan: read_modes(classifier, gan.sample(state, z)))
            members = [population.pick(states, i) for i in range(args.runs)]
            found = [count(functools.partial(read, one), latents) for one in members]
            rows.append(row(args.setting, method, found, skipped))
            shown = np.nan_to_num(gan.sample(members[0], latents[:64]))
            images.save(workdir / f"{method}.png", images.grid(shown, scale=2))
            results.append({"method": method, "seconds": seconds})
            results[-1] |= {"runs": [x._asdict() for x in found]}
            results[-1] |= {"skipped_steps": skipped.tolist()}
            runs.write_json(workdir / "summary.json", summary)
    print(f"\n| method | modes | KL | collapsed | skipped steps | published |\n{'| --- ' * 6}|")
    print("\n".join(rows))
    print(f"Even modes have a KL of {real.kl_floor:.4f}. All is in {workdir}.", file=sys.stderr)


if __name__ == "__main__":
    main()
