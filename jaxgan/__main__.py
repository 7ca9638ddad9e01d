"""Prints the layers of a network, with their shapes and parameter counts.

python -m jaxgan                                          # all networks, with parameter counts
python -m jaxgan DCGANGenerator                           # one network, layer by layer
python -m jaxgan DCGANGenerator features=128 'image_shape=(64, 64, 3)'
"""

import argparse
import ast
import functools
import inspect
import os
import sys
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan import networks

LATENTS = {"InfoGANGenerator": 64, "R3GANGenerator": 64, "SNGANGenerator": 128}
LATENTS |= {"PacGANGenerator": 2, "UnrolledGenerator": 256}  # as in the papers; others use 100
IMAGES: dict[str, tuple[int, ...]] = {
    "R3GANDiscriminator": (32, 32, 3),
    "SNGANDiscriminator": (32, 32, 3),
}
IMAGES |= {"PacGANDiscriminator": (2,), "UnrolledDiscriminator": (28, 28, 3)}
IMAGES |= {"UNetGenerator": (28, 28, 1)}  # the condition


def families() -> dict[str, type[nn.Module]]:
    """Returns all generators and discriminators by name."""
    names = [name for name in networks.__all__ if name.endswith(("Generator", "Discriminator"))]
    return {name: getattr(networks, name) for name in names}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m jaxgan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", nargs="?", choices=families(), metavar="network")
    parser.add_argument("options", nargs="*", help="fields of the network, as name=value")
    parser.add_argument("--latent-dim", type=int, help="latent size (default: as in the paper)")
    parser.add_argument("--images", type=int, nargs="+", help="shape of a network's input images")
    return parser.parse_args()


def build(name: str, options: list[str]) -> nn.Module:
    """Builds a network from its name and options such as `features=128`."""
    fields = {}
    for option in options:
        field, _, value = option.partition("=")
        try:
            fields[field] = ast.literal_eval(value)
        except (ValueError, SyntaxError) as error:
            raise ValueError(
                f"options must be name=value with a Python literal; got {option!r}."
            ) from error
    return families()[name](**fields)


def inputs_of(
    module: nn.Module, latent_dim: int | None, images: list[int] | None
) -> tuple[jax.Array, ...]:
    """Returns an example input `[1, ...]`, and a condition if the network needs one."""
    name = type(module).__name__
    image = jnp.zeros((1, *(images or IMAGES.get(name, (28, 28, 1)))))
    latents = jnp.zeros((1, latent_dim or LATENTS.get(name, 100)))
    label = (jnp.zeros(1, jnp.int32),) if getattr(module, "num_classes", None) else ()
    if name == "UNetGenerator":
        return (latents, image)
    return (latents if name.endswith("Generator") else image, *label)


def options_of(module: nn.Module) -> dict[str, Any]:
    """Returns `train=False` as keyword arguments if the network's `__call__` takes `train`."""
    return {"train": False} if "train" in inspect.signature(module.__call__).parameters else {}


def main() -> None:
    args = parse_arguments()
    key = jax.random.key(0)
    if args.network is None:
        for name, make in families().items():
            module = make()
            inputs = inputs_of(module, None, None)
            init = functools.partial(module.init, **options_of(module))
            variables = jax.eval_shape(init, key, *inputs)
            count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
            print(f"{name:22} {inputs[0].shape[1:]!s:12} {count:>12,} parameters")
        return
    try:
        module = build(args.network, args.options)
        inputs = inputs_of(module, args.latent_dim, args.images)
        console = {"width": 120, "force_terminal": sys.stdout.isatty()}
        table = module.tabulate(key, *inputs, **options_of(module), console_kwargs=console)
    except (TypeError, ValueError) as error:
        sys.exit(str(error))
    encoding = sys.stdout.encoding  # ASCII lacks the characters of the table's borders
    print(table.encode(encoding, "replace").decode(encoding))


if __name__ == "__main__":
    if sys.stdout is None:  # closed, as by `>&-`
        sys.exit("The table could not be written: stdout is closed.")
    try:
        main()
        sys.stdout.flush()
    except OSError as error:
        # Python flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # The reader, such as `head`, may have closed the pipe.
        has_no_reader = isinstance(error, BrokenPipeError)
        sys.exit(1 if has_no_reader else f"The table could not be written: {error}.")
