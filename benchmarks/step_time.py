"""Compares a training step with PyTorch, TensorFlow and the step's matrix products alone.

    python benchmarks/step_time.py --json benchmarks/results/step_time.json
    python benchmarks/step_time.py --compile      # also torch.compile
    python benchmarks/step_time.py --xla          # also XLA's options for a GPU
    python benchmarks/step_time.py --networks dcgan
    python benchmarks/step_time.py --networks dcgan --dtype bfloat16 --image-size 32 \\
        --batch-size 256 --images 25600 --compile      # for a GPU

Times an epoch as one scan, with and without its metrics, and one jit call per step with host
batches. If PyTorch is installed, times the same GAN there, in another process. For the MNIST GAN,
also times the matrix products alone (the floor) and, if TensorFlow is installed, the same GAN
there.
"""

import argparse
import functools
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import harness
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgan
from jaxgan.images import normalize

BATCH, LATENT_DIM, WIDTH, PIXELS = 100, 100, 128, 784
LOSS = jaxgan.losses.non_saturating(real_label=0.9)

GRAPHS = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,CONDITIONAL,DYNAMIC_SLICE_FUSION"  # the default
XLA_OPTIONS: dict[str, dict[str, str | bool | int]] = {
    "concurrent graphs": {**jaxgan.training.compiler_options("cuda")},
    "no split-K": {"xla_gpu_experimental_force_split_k": 1},
    "products by cuBLAS": {"xla_gpu_enable_triton_gemm": False},
    "graphs with convolutions": {"xla_gpu_enable_command_buffer": f"{GRAPHS},CONVOLUTION"},
    "graphs with loops": {
        "xla_gpu_enable_command_buffer": f"{GRAPHS},WHILE",
        "xla_gpu_graph_min_graph_size": 1,
    },
}
"""Options of XLA's GPU compiler that may change the time of a step, by name."""


def recipe(**changes) -> jaxgan.GAN:
    arguments = {
        "generator": jaxgan.networks.MLPGenerator(features=(WIDTH, WIDTH)),
        "discriminator": jaxgan.networks.MLPDiscriminator(features=(WIDTH, WIDTH)),
        "loss": LOSS,
        "optimizer": jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
        "latents": LATENT_DIM,
    }
    return jaxgan.gan(**{**arguments, **changes})


def dcgan(shape: tuple[int, int, int], dtype: np.dtype, **changes) -> jaxgan.GAN:
    adam = optax.adam(2e-4, b1=0.5)
    arguments = {
        "generator": jaxgan.networks.DCGANGenerator(shape, dtype=dtype),
        "discriminator": jaxgan.networks.DCGANDiscriminator(dtype=dtype),
        "optimizer": jaxgan.Pair(adam, adam),
    }
    return recipe(**{**arguments, **changes})


def rerun(function: Callable, state, *args) -> Callable[[], None]:
    """Returns a function that passes the state returned by one call to the next."""

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(function(state, *args))

    return run


def program_arm(
    name: str, lowered: jax.stages.Lowered, args: tuple, steps: int, options: dict | None = None
) -> harness.Arm:
    compiled, seconds = harness.timed(functools.partial(lowered.compile, compiler_options=options))
    return harness.Arm(name, rerun(compiled, *args), steps, seconds)


def add_xla(parser: argparse.ArgumentParser) -> None:
    """Adds `--xla`, which selects some of `XLA_OPTIONS`, or all."""
    text = "also time XLA's options for a GPU (default: all of them)"
    parser.add_argument("--xla", nargs="*", choices=XLA_OPTIONS, metavar="NAME", help=text)


def xla_arms(names: list[str] | None, module: str, *args: object) -> list[harness.Arm]:
    """Returns the arms that `module.option_arms(*args, name)` makes for the names of `--xla`."""

    chosen = [] if names is None else names or list(XLA_OPTIONS)

    def make(how: str) -> harness.Arm:
        (arm,) = harness.arms_in_child(module, *args, how, function="option_arms")
        return arm

    return [harness.attempt(f"jaxgan, {how}", make, how) for how in chosen]


def option_arms(args: argparse.Namespace, images: np.ndarray, how: str) -> list[harness.Arm]:
    lowered = lower_epoch(make_gan(args, images.shape[1:]), images, args.batch_size)
    steps, options = len(images) // args.batch_size, XLA_OPTIONS[how]
    return [program_arm(f"jaxgan, {how}", *lowered, steps, options)]


def metrics_arm(gan: jaxgan.GAN, images: np.ndarray, batch_size: int) -> harness.Arm:
    """Returns an arm that keeps the metrics of all steps, as a training loop does."""
    epoch = functools.partial(jaxgan.training.epochs, gan, batch_size=batch_size)
    args = (gan.init(jax.random.key(0), normalize(images[:1])), jnp.asarray(images))
    lowered = jax.jit(epoch, donate_argnums=0).lower(*args)
    compiled, seconds = harness.timed(lowered.compile)
    run = rerun(lambda state, images: jax.block_until_ready(compiled(state, images))[0], *args)
    name = "jaxgan, one scan an epoch, with metrics"
    return harness.Arm(name, run, len(images) // batch_size, seconds)


def lower_epoch(
    gan: jaxgan.GAN | jaxgan.Game,
    images: np.ndarray,
    batch_size: int = BATCH,
    impl: str | None = None,
) -> tuple[jax.stages.Lowered, tuple]:
    def epoch(state, images):
        return jaxgan.training.epochs(gan, state, images, batch_size=batch_size)[0]

    key = jax.random.key(0, impl=impl)
    args = (gan.init(key, normalize(images[:1])), jnp.asarray(images))
    return jax.jit(epoch, donate_argnums=0).lower(*args), args


def step_arm(gan: jaxgan.GAN, images: np.ndarray, batch_size: int) -> harness.Arm:
    def step(state, batch):
        return gan.update(state, normalize(batch))[0]

    state = gan.init(jax.random.key(0), normalize(images[:1]))
    lowered = jax.jit(step, donate_argnums=0).lower(state, images[:batch_size])
    compiled, seconds = harness.timed(lowered.compile)
    steps, generator = len(images) // batch_size, np.random.default_rng(0)

    def epoch(state):
        order = generator.permutation(len(images))[: steps * batch_size]
        for indices in order.reshape(steps, batch_size):
            state = compiled(state, jnp.asarray(images[indices]))
        return state

    name = "jaxgan, one jit call a step, host batches"
    return harness.Arm(name, rerun(epoch, state), steps, seconds)


def lower_products(
    num_steps: int, batch_size: int = BATCH, pixels: int = PIXELS
) -> tuple[jax.stages.Lowered, tuple]:
    function, args = products(num_steps, batch_size, pixels)
    return jax.jit(function, donate_argnums=0).lower(*args), args


def products(
    num_steps: int, batch_size: int = BATCH, pixels: int = PIXELS
) -> tuple[Callable, tuple]:
    """Returns a scan whose steps run only the 30 matrix products of a training step.

    The networks are linear, without biases, losses, optimizers or data. The generator's gradient
    uses the `new` discriminator weights, as in the recipe. With the `old` weights, XLA would merge
    equal products. The scan carries the gradients, because XLA would drop unused ones.
    """
    keys = iter(jax.random.split(jax.random.key(0), 11))

    def weights(*sizes):
        shapes = itertools.pairwise(sizes)
        return [jax.random.normal(next(keys), shape) * 0.05 for shape in shapes]

    generator = weights(LATENT_DIM, WIDTH, WIDTH, pixels)
    old, new = weights(pixels, WIDTH, WIDTH, 1), weights(pixels, WIDTH, WIDTH, 1)
    latents = jax.random.normal(next(keys), (16, batch_size, LATENT_DIM))
    images = jax.random.normal(next(keys), (16, batch_size, pixels))

    def forward(weights, x):
        for w in weights:
            x = x @ w
        return x

    def step(carry, i):
        generator, old, new, _ = carry
        fake, generator_back = jax.vjp(lambda w: forward(w, latents[i % 16]), generator)
        real_logits, real_back = jax.vjp(lambda w: forward(w, images[i % 16]), old)
        fake_logits, fake_back = jax.vjp(lambda w: forward(w, fake), old)
        logits, image_back = jax.vjp(lambda x: forward(new, x), fake)
        fake_grad = image_back(logits)
        grads = (real_back(real_logits), fake_back(fake_logits), generator_back(*fake_grad))
        return (generator, old, new, grads), None

    def epoch(carry):
        return jax.lax.scan(step, carry, jnp.arange(num_steps))[0]

    grads = jax.tree.map(jnp.zeros_like, ((old,), (old,), (generator,)))
    return epoch, ((generator, old, new, grads),)


def mlp_peers(args: argparse.Namespace, images: np.ndarray) -> list[harness.Arm]:
    sizes = (args.batch_size, LATENT_DIM, WIDTH)
    arms = []
    if not args.no_torch:
        arms += harness.arms_in_child("torch_recipe", images, *sizes, compiled=args.compile)
    if not args.no_tensorflow:
        arms += harness.arms_in_child("tf_recipe", images, *sizes)
    return arms


def dcgan_peers(args: argparse.Namespace, images: np.ndarray) -> list[harness.Arm]:
    if args.no_torch:
        return []
    options = {"bfloat16": args.dtype == "bfloat16", "compiled": args.compile}
    return harness.arms_in_child("torch_dcgan", images, args.batch_size, LATENT_DIM, **options)


def make_gan(args: argparse.Namespace, shape: tuple[int, int, int]) -> jaxgan.GAN:
    if args.networks == "dcgan":
        return dcgan(shape, jnp.dtype(args.dtype))
    return recipe(generator=jaxgan.networks.MLPGenerator(shape, (WIDTH, WIDTH)))


def arms_of(args: argparse.Namespace, images: np.ndarray) -> list[harness.Arm]:
    steps, shape = len(images) // args.batch_size, images.shape[1:]
    gan = make_gan(args, shape)
    if args.networks == "mlp":
        products = lower_products(steps, args.batch_size, math.prod(shape))
        floor = program_arm("matrix products alone", *products, steps)
        others = [floor, *mlp_peers(args, images)]
    else:
        others = dcgan_peers(args, images)
    lowered = lower_epoch(gan, images, args.batch_size)
    return [
        program_arm("jaxgan, one scan an epoch", *lowered, steps),
        step_arm(gan, images, args.batch_size),
        metrics_arm(gan, images, args.batch_size),
        *xla_arms(args.xla, "step_time", args, images),
        *others,
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--networks", choices=("mlp", "dcgan"), default="mlp")
    add("--image-size", type=int, default=28, help="height and width in pixels")
    add("--batch-size", type=int, help="images per step (default: 100; 64 with dcgan)")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="for DCGAN")
    add("--images", type=int, help="number of images (default: 60,000; 640 with dcgan)")
    add("--rounds", type=int, default=9)
    add("--compile", action="store_true", help="also time torch.compile (takes a minute more)")
    add_xla(parser)
    add("--no-torch", action="store_true", help="do not time PyTorch")
    add("--no-tensorflow", action="store_true", help="do not time TensorFlow")
    add("--quick", action="store_true", help="a smoke test: two steps, two rounds")
    add("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    batch_size, num_images = (BATCH, 60_000) if args.networks == "mlp" else (64, 640)
    args.batch_size = args.batch_size or batch_size
    args.images = 2 * args.batch_size if args.quick else args.images or num_images
    args.rounds = 2 if args.quick else args.rounds
    return args


def main() -> None:
    args = parse()
    # The time does not depend on the pixel values.
    shape = (args.images, args.image_size, args.image_size, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    rows = harness.round_robin(arms_of(args, images), args.rounds)
    about = ("networks", "dtype", "image_size", "batch_size", "rounds")
    settings = {name: getattr(args, name) for name in about}
    harness.report(rows, args.json, num_images=args.images, **settings)


if __name__ == "__main__":
    main()
