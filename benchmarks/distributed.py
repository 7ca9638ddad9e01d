"""Counts what devices exchange in a training step, and estimates the speed of up to 256 devices.

    python benchmarks/distributed.py --json benchmarks/results/distributed.json
    python benchmarks/distributed.py --networks dcgan
    python benchmarks/distributed.py --fixed-us 116 --image-us 0.063    # measured elsewhere

Compiles `training.steps` on a mesh of 1, 2, 4 and 8 devices, and counts the bytes of all collective
operations in a step. With several GPUs, also times the steps. On a CPU, XLA exchanges the gradients
of real and of fake images separately; on a GPU, it exchanges only their sum ("in 1 sum"), which the
estimate assumes.

The estimate for N devices adds two times, as if no exchange overlapped with computation:

- computation, `fixed + image * rows`, with the rows of a device. The two numbers are those of
  `--fixed-us` and `--image-us`, or a line through the times of two batch sizes on one device;
- a ring all-reduce, `2 (N - 1) / N * bytes / bandwidth`, plus `latency * log2(N)` for each
  operation. The bandwidth is that within a host, or between hosts if N exceeds `--per-host`.

Strong scaling splits one batch of `--batch-size` images. Weak scaling gives each device as many
images as one device has in strong scaling. The efficiency is the speed divided by N times the speed
of one device. On a machine with one GPU, the estimate assumes one exchange for each network.
"""

import argparse
import contextlib
import functools
import math
from pathlib import Path
from typing import Any

import fits
import footprint
import harness
import jax
import jax.numpy as jnp
import numpy as np
import step_time
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxgan
from jaxgan import distributed, training

NUM_IMAGES, NUM_STEPS, PIXELS = 60_000, 2, 28
EXCHANGED = {
    "bytes a step": ("bytes", ",d"),
    "gradients": ("gradient_bytes", ",d"),
    "in 1 sum": ("summed_bytes", ",d"),
    "operations": ("operations", "d"),
    "MFLOP": ("device_mflops", ",.1f"),
}
SCALING = {
    "rows": ("rows", "d"),
    "compute us": ("compute_us", ",.1f"),
    "exchange us": ("exchange_us", ",.1f"),
    "exchange %": ("exchange_percent", ".1f"),
    "efficiency %": ("efficiency_percent", ".1f"),
}


def lower_steps(gan: jaxgan.GAN, mesh: Mesh, batch_size: int) -> jax.stages.Lowered:
    """Lowers a few steps on a mesh, for arrays that do not exist."""
    whole = NamedSharding(mesh, PartitionSpec())
    place = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole)
    images = jax.ShapeDtypeStruct((NUM_IMAGES, PIXELS, PIXELS, 1), jnp.uint8)
    args = jax.tree.map(place, (footprint.abstract_state(gan), images))
    steps = functools.partial(training.steps, gan, num_steps=NUM_STEPS, mesh=mesh)
    return jax.jit(steps, static_argnames="batch_size").lower(*args, batch_size=batch_size)


def exchange_row(gan: jaxgan.GAN, num_devices: int, batch_size: int) -> dict[str, Any]:
    """Counts the collective operations of a step, all of which are in the loop over steps."""
    mesh = distributed.mesh(jax.devices()[:num_devices])
    compiled = lower_steps(gan, mesh, batch_size).compile()
    text = compiled.as_text() or ""
    kinds = footprint.exchanged_bytes(text)
    discriminator, generator = parameter_bytes(gan)
    flops = (compiled.cost_analysis() or {}).get("flops", math.nan)  # of one turn of the loop
    return {
        "name": f"{num_devices} devices",
        "devices": num_devices,
        "bytes": sum(kinds.values()),
        "kinds": kinds,
        "operations": len(footprint.COLLECTIVE.findall(text)),
        "gradient_bytes": footprint.gradient_bytes(gan),
        "summed_bytes": discriminator + generator,
        "device_mflops": flops / 1e6,
    }


def parameter_bytes(gan: jaxgan.GAN) -> tuple[int, int]:
    params = footprint.abstract_state(gan).params
    count = lambda tree: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
    return count(params.discriminator), count(params.generator)


def timed_arm(gan: jaxgan.GAN, name: str, mesh: Mesh | None, batch_size: int) -> harness.Arm:
    """Returns an arm of steps on a mesh, or on one device."""
    images = np.random.default_rng(0).integers(0, 256, (4096, PIXELS, PIXELS, 1), dtype=np.uint8)
    state = gan.init(jax.random.key(0), jaxgan.images.normalize(images[:1]))
    args: tuple[Any, ...] = (state, jnp.asarray(images))
    if mesh is not None:
        args = distributed.place(mesh, args)
    num_steps = 2 if jax.default_backend() == "cpu" else 200
    steps = functools.partial(
        training.steps, gan, num_steps=num_steps, batch_size=batch_size, mesh=mesh
    )
    lowered = jax.jit(lambda *args: steps(*args)[0], donate_argnums=0).lower(*args)
    return step_time.program_arm(name, lowered, args, num_steps)


def compute_line(gan: jaxgan.GAN, args: argparse.Namespace) -> tuple[float, float]:
    """Returns the microseconds of a step on one device: fixed, and for each image."""
    if args.fixed_us is not None:
        return args.fixed_us, args.image_us
    sizes = (args.batch_size // 8, args.batch_size)
    arms = [timed_arm(gan, f"{size} images", None, size) for size in sizes]
    rows = harness.round_robin(arms, args.rounds)
    found = fits.line(sizes, [row["median_us"] for row in rows])
    return max(found.intercept, 0.0), found.slope


def exchange_us(exchange: dict[str, Any], num_devices: int, args: argparse.Namespace) -> float:
    within, between = args.bandwidth
    bandwidth = (within if num_devices <= args.per_host else between) * 1e3  # bytes a microsecond
    ring = 2 * (num_devices - 1) / num_devices * exchange["bytes"] / bandwidth
    return ring + exchange["operations"] * args.latency_us * math.log2(num_devices)


def scaling_row(
    kind: str,
    num_devices: int,
    line: tuple[float, float],
    exchange: dict[str, Any],
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Estimates a step on several devices."""
    fixed, image = line
    rows = args.batch_size if kind == "weak" else args.batch_size // num_devices
    compute, exchanged = fixed + image * rows, exchange_us(exchange, num_devices, args)
    alone, total = fixed + image * args.batch_size, compute + exchanged
    return {
        "name": f"{kind}, {num_devices} devices",
        "kind": kind,
        "devices": num_devices,
        "rows": rows,
        "compute_us": compute,
        "exchange_us": exchanged,
        "exchange_percent": 100 * exchanged / total,
        "efficiency_percent": 100 * alone / total / (1 if kind == "weak" else num_devices),
    }


def timed_rows(gan: jaxgan.GAN, counts: list[int], args: argparse.Namespace) -> list[dict]:
    """Times steps on one device and on meshes of several GPUs."""
    arms = [timed_arm(gan, "1 device", None, args.batch_size)]
    for n in counts:
        for kind, size in (("strong", args.batch_size), ("weak", args.batch_size * n)):
            mesh = distributed.mesh(jax.devices()[:n])
            arms.append(timed_arm(gan, f"{kind}, {n} devices", mesh, size))
    return harness.round_robin(arms, args.rounds)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--networks", choices=("mlp", "dcgan"), default="mlp")
    add("--batch-size", type=int, default=1024, help="a multiple of 256 (default: 1024)")
    add("--fixed-us", type=float, help="microseconds of a step without images")
    add("--image-us", type=float, help="microseconds that each image adds")
    add("--bandwidth", type=float, nargs=2, default=(450, 50), help="GB/s within, between hosts")
    add("--latency-us", type=float, default=10, help="of an operation (default: 10)")
    add("--per-host", type=int, default=8, help="devices of a host (default: 8)")
    add("--rounds", type=int, default=5)
    add("--quick", action="store_true", help="a smoke test: two devices, one round")
    add("--json", type=Path, help="the JSON file to write")
    args = parser.parse_args()
    if (args.fixed_us is None) != (args.image_us is None):
        parser.error("--fixed-us and --image-us must be given together")
    if args.batch_size < 256 or args.batch_size % 256:
        parser.error(f"--batch-size must be a multiple of 256; got {args.batch_size}")
    args.rounds = 1 if args.quick else args.rounds
    return args


def main() -> None:
    args = parse()
    with contextlib.suppress(RuntimeError):  # another function of this process uses its devices
        jax.config.update("jax_num_cpu_devices", footprint.MAX_DEVICES)
    shape, dtype = (PIXELS, PIXELS, 1), jnp.dtype(jnp.float32)
    gan = step_time.recipe() if args.networks == "mlp" else step_time.dcgan(shape, dtype)
    counts = [n for n in (1, 2, 4, 8)[: 2 if args.quick else None] if n <= jax.device_count()]
    exchanged = [exchange_row(gan, n, args.batch_size) for n in counts]
    harness.print_table(exchanged, EXCHANGED)
    times = []
    if jax.default_backend() != "cpu" and jax.device_count() > 1:
        times = timed_rows(gan, counts[1:], args)
        harness.print_table(times)
    line, exchange = compute_line(gan, args), exchanged[-1]
    if len(counts) == 1:  # a device without others exchanges nothing
        exchange = {"bytes": exchange["summed_bytes"], "operations": 2}
    elif jax.default_backend() == "cpu":  # a GPU exchanges sums of gradients
        difference = exchange["summed_bytes"] - exchange["gradient_bytes"]
        exchange = {**exchange, "bytes": exchange["bytes"] + difference}
    rows = [
        scaling_row(kind, 2**k, line, exchange, args)
        for kind in ("strong", "weak")
        for k in range(9)
    ]
    about = {"networks": args.networks, "exchanged": exchanged, "times": times}
    names = ("batch_size", "bandwidth", "latency_us", "per_host")
    about |= {"fixed_us": line[0], "image_us": line[1]} | {n: vars(args)[n] for n in names}
    harness.report(rows, args.json, SCALING, **about)


if __name__ == "__main__":
    main()
