"""Counts the modes of two-dimensional mixtures that GAN, PacGAN and RpGAN+R1+R2 reach.

    python examples/mixtures.py                                     # PacGAN's Table 1, on a GPU
    python examples/mixtures.py --mixtures ring --methods pacgan2 --epochs 10 --runs 3

The defaults are PacGAN's: 100,000 points, 4 x 400 units in the generator, 3 x 200 maxout units in
the discriminator, Adam 1e-4 with beta1 0.8, batches of 100 packs, 400 epochs, 10 runs. All runs of
a method train as a population in one compiled program. Prints a table, and writes checkpoints,
`points.png` and, after each method, `summary.json` to `runs/mixtures`.

    python examples/mixtures.py --resume                             # continues a stopped script
    python examples/mixtures.py --methods gan --workdir runs/a       # computes methods apart
    python examples/mixtures.py --merge runs/a runs/b --workdir runs/joint
"""

import argparse
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import common
import experiments
import jax
import jax.numpy as jnp
import merging
import numpy as np
import optax

import jaxgan
from jaxgan import augment, compilation, evaluation, losses, penalties, training

SIZES = ("epochs", "runs", "points", "batch_size", "samples")
STEPS = np.arange(-4.0, 5.0, 2.0)
ANGLES = 2 * np.pi * np.arange(8) / 8
MIXTURES = {  # means and standard deviation of each
    "ring": (np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1), 0.01),
    "grid": (np.stack(np.meshgrid(STEPS, STEPS), axis=-1).reshape(-1, 2), 0.05),
}
METHODS = {  # loss, penalty, packing
    "gan": (losses.non_saturating(real_label=1.0), None, 1),
    "pacgan2": (losses.non_saturating(real_label=1.0), None, 2),
    "pacgan3": (losses.non_saturating(real_label=1.0), None, 3),
    "pacgan4": (losses.non_saturating(real_label=1.0), None, 4),
    "rpgan": (losses.relativistic(), "r1+r2", 1),
}
PUBLISHED = {  # PacGAN's Table 1: modes, high-quality share, KL
    ("ring", "gan"): (6.3, 0.982, 0.45),
    ("ring", "pacgan2"): (7.9, 0.956, 0.07),
    ("ring", "pacgan3"): (7.8, 0.977, 0.10),
    ("ring", "pacgan4"): (7.8, 0.959, 0.07),
    ("grid", "gan"): (17.3, 0.948, 0.70),
    ("grid", "pacgan2"): (23.8, 0.913, 0.13),
    ("grid", "pacgan3"): (24.6, 0.942, 0.06),
    ("grid", "pacgan4"): (24.8, 0.936, 0.04),
}
# A run with a smaller share of high quality has not converged, and its mode count is meaningless:
# random points hit 20 of the grid's 25 modes. A converged run that reaches less than half of the
# modes has collapsed.
CONVERGED, COLLAPSED = 0.5, 0.5


def parse_arguments() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    for name, known in {"mixtures": list(MIXTURES), "methods": list(METHODS)}.items():
        text = f"any of {', '.join(known)} (default: all)"
        add(f"--{name}", nargs="+", choices=known, default=known, help=text)
    add("--epochs", type=int, default=400, help="(default: 400)")
    add("--runs", type=int, default=10, help="of each method (default: 10)")
    add("--points", type=int, default=100_000, help="training points (default: 100000)")
    add("--batch-size", type=int, default=100, help="packs in each step (default: 100)")
    add("--generator-width", type=int, default=400, help="units of 4 layers (default: 400)")
    add("--discriminator-width", type=int, default=200, help="units of 3 layers (default: 200)")
    add("--learning-rate", type=float, default=1e-4, help="of Adam (default: 1e-4)")
    add("--gamma", type=float, default=0.1, help="weight of R1 and R2, for rpgan (default: 0.1)")
    add("--samples", type=int, default=2500, help="samples of each run to count (default: 2500)")
    experiments.add_options(parser, "runs/mixtures")
    args = experiments.parse(parser)
    common.check_at_least_1(parser, args, *SIZES, "generator_width", "discriminator_width")
    if not 0 < args.learning_rate < np.inf or not 0 <= args.gamma < np.inf:
        parser.error(
            "--learning-rate must be positive, and --gamma at least 0; got "
            f"{args.learning_rate} and {args.gamma}"
        )
    if args.points < args.batch_size * 4:
        parser.error(f"--points must be at least 4 batches; got {args.points}")
    return args


def draw_points(mixture: str, num: int, seed: int) -> jax.Array:
    """Draws points of the mixture, float32 `[num, 2]`."""
    means, sigma = MIXTURES[mixture]
    keys = jax.random.split(jax.random.key(seed))
    which = jax.random.randint(keys[0], (num,), 0, len(means))
    return jnp.asarray(means, jnp.float32)[which] + sigma * jax.random.normal(keys[1], (num, 2))


def make_gan(method: str, args: argparse.Namespace) -> jaxgan.GAN:
    loss, penalty, packing = METHODS[method]
    adam = optax.adam(args.learning_rate, b1=0.8)
    both = penalties.add(penalties.r1(args.gamma), penalties.r2(args.gamma))
    return jaxgan.gan(
        generator=jaxgan.networks.PacGANGenerator(features=(args.generator_width,) * 4),
        discriminator=jaxgan.networks.PacGANDiscriminator(features=(args.discriminator_width,) * 3),
        loss=loss,
        optimizer=jaxgan.Pair(adam, adam),
        latents=2,
        penalty=both if penalty == "r1+r2" else None,
        augmentation=augment.pack(packing),
    )


def make_training(
    mixture: str, method: str, points: jax.Array, args: argparse.Namespace
) -> experiments.Training:
    """Makes the training of all runs of a method."""
    gan, seeds = make_gan(method, args), experiments.seeds(args, args.runs)
    # An epoch has as many steps as without packing, as in PacGAN's code.
    sizes = {
        "num_steps": len(points) // args.batch_size,
        "batch_size": args.batch_size * gan.packing,
    }
    epochs = experiments.counted(functools.partial(training.steps, gan, **sizes))

    def init() -> jaxgan.TrainState:
        keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
        return jax.jit(jax.vmap(gan.init, in_axes=(0, None)))(keys, points[:1])

    def advance(states: jaxgan.TrainState, done: int) -> tuple[jaxgan.TrainState, dict]:
        states, skipped = epochs(states, points)
        return states, {"skipped": skipped.tolist()}

    def finish(states: jaxgan.TrainState, history: list[dict]) -> list[experiments.Row]:
        latents = common.fixed_latents(2, args.samples)
        samples = np.asarray(jax.jit(jax.vmap(lambda state: gan.sample(state, latents)))(states))
        perfect = count(mixture, np.asarray(draw_points(mixture, args.samples, seed=2019)))
        result: experiments.Row = {"mixture": mixture, "method": method, "seeds": seeds}
        result |= {"seconds": sum(record["seconds"] for record in history)}
        result |= {"perfect": perfect._asdict(), "skipped_steps": experiments.skipped(history)}
        result |= {"runs": [count(mixture, run)._asdict() for run in samples]}
        return [{"result": result, "shown": [samples[0].tolist()], "shared": {}}]

    return experiments.Training(f"{mixture}-{method}", args.epochs, init, advance, finish)


def draw(path: Path, samples: dict[str, dict[str, np.ndarray]]) -> None:
    """Plots the samples of each method's first run, `[samples, 2]`."""
    from matplotlib.figure import Figure

    rows, columns = len(samples), max(map(len, samples.values()))
    figure = Figure(figsize=(2.2 * columns, 2.4 * rows), layout="constrained", dpi=110)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes_row, (mixture, methods) in zip(panels, samples.items(), strict=True):
        means, _ = MIXTURES[mixture]
        limit = 1.4 * np.abs(means).max()
        for axes, (method, points) in zip(axes_row, methods.items(), strict=False):
            axes.scatter(*means.T, s=60, facecolors="none", edgecolors="tab:red", linewidths=0.6)
            axes.scatter(*points.T, s=1, alpha=0.4, linewidths=0)
            axes.set(title=f"{mixture}, {method}", xlim=(-limit, limit), ylim=(-limit, limit))
            axes.set(aspect="equal", xticks=[], yticks=[])
    common.save_figure(path, figure)


def count(mixture: str, samples: np.ndarray) -> evaluation.MixtureCoverage:
    """Counts the modes of a run: 0 if a sample is not finite."""
    if not np.isfinite(samples).all():
        return evaluation.MixtureCoverage(0, 0.0, np.inf, np.inf, len(samples))
    return evaluation.mixture_coverage(samples, *MIXTURES[mixture])


def mean(values: list[float]) -> str:
    """Formats the mean and standard error of the finite values."""
    finite = [x for x in values if np.isfinite(x)]
    if not finite:
        return "none"
    counts = "" if len(finite) == len(values) else f" ({len(finite)} of {len(values)} runs)"
    return evaluation.plus_minus(finite) + counts


def row(mixture: str, method: str, found: list[evaluation.MixtureCoverage], skipped: int) -> str:
    done = [x for x in found if x.high_quality >= CONVERGED]
    collapsed = sum(x.modes < COLLAPSED * len(MIXTURES[mixture][0]) for x in done)
    cells = [
        evaluation.plus_minus([x.modes for x in found], 1),
        evaluation.plus_minus([100 * x.high_quality for x in found], 1),
        mean([x.kl for x in found]),
        mean([x.kl_floor for x in found]),
        f"{len(found) - len(done)} of {len(found)}",
        f"{collapsed} of {len(done)}",
        str(skipped),
    ]
    published = PUBLISHED.get((mixture, method))
    reference = "{:.1f} / {:.1%} / {:.2f}".format(*published) if published else ""
    return f"| {mixture} | {method} | {' | '.join(cells)} | {reference} |"


def report(args: argparse.Namespace, workdir: Path, rows: list[experiments.Row]) -> None:
    """Prints the table, and draws the samples."""
    print("\n| mixture | method | modes | high quality, % | KL | KL floor |", end="")
    print(f" not converged | collapsed | skipped steps | published |\n{'| --- ' * 10}|")
    samples: dict[str, dict[str, np.ndarray]] = {}
    for found in rows:
        result = found["result"]
        mixture, method = result["mixture"], result["method"]
        if mixture not in samples:
            perfect = evaluation.MixtureCoverage(**result["perfect"])
            print(row(mixture, "*perfect sampler*", [perfect], 0))
        coverages = [evaluation.MixtureCoverage(**run) for run in result["runs"]]
        print(row(mixture, method, coverages, sum(result["skipped_steps"])))
        samples.setdefault(mixture, {})[method] = np.array(found["shown"][0], np.float32)
    common.written(lambda: draw(workdir / "points.png", samples))
    print(f"Results are in {workdir}.", file=sys.stderr)


def make_trainings(args: argparse.Namespace) -> Iterator[experiments.Training]:
    for mixture in args.mixtures:
        points = draw_points(mixture, args.points, seed=2018)  # the same for all runs
        for method in args.methods:
            yield make_training(mixture, method, points, args)


def main() -> None:
    args = parse_arguments()
    compilation.enable_compilation_cache()
    if args.merge:
        split = {"mixtures": "mixture", "methods": "method"}
        args, workdir, rows = merging.merge(args, split)
    else:
        with common.errors_in_a_line():
            workdir = common.begin(args, common.chosen(args))
        rows = experiments.compute(args, workdir, list(make_trainings(args)))
    report(args, workdir, rows)


if __name__ == "__main__":
    common.run(main)
