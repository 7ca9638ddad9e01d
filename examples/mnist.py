"""Trains the classic MNIST GAN: two small perceptrons, one-sided label smoothing, Adam 1e-3.

    python examples/mnist.py                 # 50 epochs of MNIST, into runs/mnist
    python examples/mnist.py --resume        # goes on where it was stopped

    # The same with convolutions:
    python examples/mnist.py --networks dcgan --learning-rate 2e-4 --batch-size 64 --epochs 10

Ctrl-C, SIGTERM or SIGUSR1 finishes the epoch and saves. Fork this file and change what you like.
"""

import argparse
import functools
import hashlib
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from tqdm import tqdm

import jaxgan
from jaxgan import augment, checkpoint, compilation, images, losses, penalties, runs

LATENT_DIM, REAL_LABEL = 100, 0.9
TOO_MANY = 100  # steps in a row that were skipped because something was not finite
NETWORKS = {
    "mlp": (jaxgan.networks.MLPGenerator, jaxgan.networks.MLPDiscriminator),
    "dcgan": (jaxgan.networks.DCGANGenerator, jaxgan.networks.DCGANDiscriminator),
}
LOSSES = {
    "non_saturating": losses.non_saturating(real_label=REAL_LABEL),
    "minimax": losses.minimax(),
    "least_squares": losses.least_squares(),
    "wasserstein": losses.wasserstein(),
    "hinge": losses.hinge(),
    "relativistic": losses.relativistic(),
    "relativistic_average": losses.relativistic_average(),
}
PENALTIES = {
    "none": None,
    "r1": penalties.r1(0.1),
    "r1_r2": penalties.add(penalties.r1(0.1), penalties.r2(0.1)),
    "lazy_r1": penalties.lazy(penalties.r1(0.1), every=16),
    "wgan_gp": penalties.wgan_gp(),
    "dragan": penalties.dragan(),
    "consistency": penalties.consistency(augment.translation()),
    "lecam": penalties.lecam(),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = functools.partial(parser.add_argument, metavar="")
    add("--dataset", default="mnist", help="one of tensorflow-datasets (default: mnist)")
    add("--data-dir", help="IDX files, or tensorflow-datasets' folder, or 'embedded'")
    add("--epochs", type=int, default=50, help="(default: 50)")
    add("--batch-size", type=int, default=100, help="(default: 100)")
    add("--networks", choices=NETWORKS, default="mlp", help=", ".join(NETWORKS))
    add("--learning-rate", type=float, default=1e-3, help="Adam's (default: 1e-3; DCGAN: 2e-4)")
    # The classic 0.9 gives a momentum that the two players cannot follow: see docs/results.md.
    add("--beta1", type=float, default=0.5, help="Adam's first decay (default: 0.5)")
    add("--loss", choices=LOSSES, default="non_saturating", help=", ".join(LOSSES))
    add("--penalty", choices=PENALTIES, default="none", help=", ".join(PENALTIES))
    add("--seed", type=int, default=0, help="(default: 0)")
    add("--workdir", type=Path, default=Path("runs/mnist"), help="(default: runs/mnist)")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f"--epochs must be at least 1; got {args.epochs}")
    if args.batch_size < 1:
        parser.error(f"--batch-size must be at least 1; got {args.batch_size}")
    if not args.learning_rate > 0:
        parser.error(f"--learning-rate must be positive; got {args.learning_rate}")
    if not 0 <= args.beta1 < 1:
        parser.error(f"--beta1 must be in [0, 1); got {args.beta1}")
    return args


def make_gan(image_shape: tuple[int, ...], args: argparse.Namespace) -> jaxgan.GAN:
    adam = optax.adam(args.learning_rate, b1=args.beta1)
    make_generator, make_discriminator = NETWORKS[args.networks]
    return jaxgan.gan(
        generator=make_generator(image_shape),
        discriminator=make_discriminator(),
        loss=LOSSES[args.loss],
        optimizer=jaxgan.Pair(generator=adam, discriminator=adam),
        latents=LATENT_DIM,
        penalty=PENALTIES[args.penalty],
    )


def make_config(args: argparse.Namespace, data: jaxgan.datasets.Dataset) -> dict:
    return {
        "dataset": args.dataset,
        "num_images": len(data.images),
        "images_sha256": hashlib.sha256(data.images.tobytes()).hexdigest(),
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "seed": args.seed,
        "latents": LATENT_DIM,
        "networks": args.networks,
        "learning_rate": args.learning_rate,
        "beta1": args.beta1,
        "real_label": REAL_LABEL,
        "loss": args.loss,
        "penalty": args.penalty,
    }


def stop_if_not_finite(metrics: dict, epoch: int) -> None:
    for player in jaxgan.Pair._fields:
        skipped = metrics[f"{player}_skipped"].ravel()
        if runs.longest_streak(skipped) >= min(TOO_MANY, len(skipped)):
            sys.exit(
                f"Stopped in epoch {epoch}: the {player}'s loss or gradient was not finite in "
                f"{runs.longest_streak(skipped)} steps in a row. Its parameters are as they were "
                "before; a lower learning rate or another loss may help."
            )


def written(write: Callable[[], None]) -> bool:
    """Calls what writes a file. A full disk is told loudly, but training goes on."""
    try:
        write()
    except OSError as error:
        tqdm.write(f"NOT SAVED: {error}", file=sys.stderr)
        return False
    return True


def frame_path(workdir: Path, epoch: int) -> Path:
    return workdir / "frames" / f"{epoch:05}.png"


def latents_to_look_at() -> jax.Array:
    """The same in every run, so that runs can be compared by eye."""
    return jax.random.normal(jax.random.key(2014), (64, LATENT_DIM))


def draw(workdir: Path, gan: jaxgan.GAN, state, history: list[dict], real_diversity: float) -> None:
    sample, latents = jax.jit(gan.sample), latents_to_look_at()
    images.save(workdir / "samples.png", images.grid(sample(state, latents), 8, scale=2))
    walk = jaxgan.latents.traversal(latents[0], num=100, start=-1.0, step=0.02)
    images.save(workdir / "traversal.png", images.grid(sample(state, walk), 10, scale=2))
    frames = [frame_path(workdir, record["epoch"]) for record in history]
    if all(frame.exists() for frame in frames):
        images.animate(workdir / "training.gif", frames)
    else:
        print(f"No training.gif: some of {workdir / 'frames'} are missing.", file=sys.stderr)
    column = {name: [record[name] for record in history] for name in history[0]}
    real_line = [real_diversity] * len(history)
    panels = {
        "loss": {p: column[f"{p}_loss"] for p in ("generator", "discriminator")},
        "mean sigmoid of the logits": {k: column[f"{k}_probability"] for k in ("real", "fake")},
        "pixel diversity": {"samples": column["pixel_diversity"], "real images": real_line},
    }
    images.curves(workdir / "curves.png", panels)


def main() -> None:
    args = parse_arguments()
    compilation.enable_compilation_cache()
    try:
        data = jaxgan.datasets.load(args.dataset, "train", args.data_dir)
        print(f"data: {data.source}", file=sys.stderr)
        train_images = jnp.asarray(data.images)  # uint8, on the device for the whole run
        gan = make_gan(train_images.shape[1:], args)
        state = gan.init(jax.random.key(args.seed), images.normalize(train_images[:1]))
        epoch = functools.partial(jaxgan.training.epochs, gan, batch_size=args.batch_size)
        lowered = jax.jit(epoch, donate_argnums=0).lower(state, train_images)
        # From here on the work directory is written to: whatever could be refused has been.
        config = make_config(args, data)
        workdir = runs.begin(args.workdir, config, resume=args.resume)
        checkpoints, steps = workdir / "checkpoints", len(train_images) // args.batch_size
        history: list[dict] = []
        if args.resume and checkpoint.steps(checkpoints):
            state = checkpoint.restore(checkpoints, like=state)
            info = checkpoint.info(checkpoints, step=int(state.step))
            history = info.metadata["history"]
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(str(error))

    (workdir / "frames").mkdir(exist_ok=True)
    written(lambda: runs.write_log(workdir / "metrics.jsonl", history))
    saving, saved = None, True
    with (
        runs.stop_signals() as stopped,
        tqdm(initial=len(history), total=args.epochs, unit="epoch") as bar,
    ):
        clock = time.perf_counter()
        train = lowered.compile()
        compile_seconds = time.perf_counter() - clock
        look = jax.jit(lambda state: gan.sample(state, latents_to_look_at()))
        try:
            while len(history) < args.epochs:
                clock = time.perf_counter()
                state, metrics = train(state, train_images)
                jax.block_until_ready(state)
                seconds = time.perf_counter() - clock
                stop_if_not_finite(metrics, len(history) + 1)
                skipped = {k: int(metrics.pop(k).sum()) for k in list(metrics) if "skipped" in k}
                means = {name: float(jnp.nanmean(values)) for name, values in metrics.items()}
                samples = look(state)
                record = {
                    "epoch": len(history) + 1,
                    "step": int(state.step),
                    **means,
                    **skipped,
                    "pixel_diversity": float(jaxgan.diagnostics.pixel_diversity(samples)),
                    "seconds": seconds,
                    "steps_per_second": steps / seconds,
                }
                history.append(record)
                written(lambda: runs.write_log(workdir / "metrics.jsonl", history))
                if saving:
                    written(saving.result)
                metadata = {"config": config, "history": history}
                saving = checkpoint.save(checkpoints, state, keep=3, metadata=metadata)
                frame = frame_path(workdir, len(history))
                written(functools.partial(images.save, frame, images.grid(samples, 8)))
                told = "G {generator_loss:.3f}, D {discriminator_loss:.3f}".format(**means)
                told += f", {sum(skipped.values())} skipped" if any(skipped.values()) else ""
                bar.set_postfix_str(f"{told}, {steps / seconds:.0f} steps/s")
                bar.update()
                if stopped:
                    break
        finally:  # whatever has gone wrong, the epoch before it is saved
            if saving:
                saved = written(saving.result)

    real_diversity = float(jaxgan.diagnostics.pixel_diversity(images.normalize(data.images[:1000])))
    written(lambda: draw(workdir, gan, state, history, real_diversity))
    seconds = sum(record["seconds"] for record in history)
    summary = {
        "command": shlex.join(["python", *sys.argv]),
        "dataset": args.dataset,
        "source": data.source,
        "num_images": len(data.images),
        "epochs": len(history),
        "steps": int(state.step),
        "seconds": seconds,
        "steps_per_second": int(state.step) / seconds,
        "compile_seconds": compile_seconds,
        "pixel_diversity_of_real_images": real_diversity,
        "last_epoch": history[-1],
        **jaxgan.environment(),
    }
    written(lambda: runs.write_json(workdir / "summary.json", summary, indent=2))
    print(f"{len(history)} epochs done; pictures and figures are in {workdir}", file=sys.stderr)
    if not saved:
        sys.exit("The last epoch is NOT SAVED. Make room, and resume from the one before it.")
    if len(history) < args.epochs:
        again = shlex.join(["python", *sys.argv, *([] if args.resume else ["--resume"])])
        print(f"Stopped and saved. To go on: {again}", file=sys.stderr)
        sys.exit(128 + stopped[0])


if __name__ == "__main__":
    main()
