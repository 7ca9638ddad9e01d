"""Damages checkpoints in several ways, and checks that `restore` never loads wrong values.

    python tests/torture/damage.py --cases 500 --output damage.json

The script truncates, deletes or partly zeroes a file of the newer of two checkpoints, or flips a
bit. It damages every file in turn, at random places. Each time `restore` must warn about the
damage and return the older checkpoint, bit-identical.
"""

import argparse
import itertools
import json
import random
import shlex
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

import jaxgan
from jaxgan import checkpoint, runs


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes() or b"\0")  # an empty file gets a byte
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))] if data else b"\0")


def delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def zero(path: Path, rng: random.Random) -> None:
    """Zeroes a block and keeps the length, like a power failure."""
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data)) if data else 0
    block = bytes(len(data[start : start + 4096]))
    if data[start : start + 4096] == block:  # zeroing would not change the file
        path.unlink()
    else:
        data[start : start + 4096] = block
        path.write_bytes(data)


DAMAGES = {"flip": flip, "truncate": truncate, "delete": delete, "zero": zero}


def make_gan() -> jaxgan.GAN:
    return jaxgan.gan(
        generator=jaxgan.networks.MLPGenerator((4, 4, 1), features=(8, 8)),
        discriminator=jaxgan.networks.MLPDiscriminator(features=(8, 8)),
        loss=jaxgan.losses.non_saturating(),
        optimizer=jaxgan.Pair(optax.adam(1e-2), optax.adam(1e-2)),
        latents=3,
    )


def make_states() -> list[jaxgan.TrainState]:
    gan = make_gan()
    states = [gan.init(jax.random.key(seed), jnp.zeros((1, 4, 4, 1))) for seed in range(2)]
    return [state.replace(step=jnp.int32(10 * i)) for i, state in enumerate(states)]


def same(a: jaxgan.TrainState, b: jaxgan.TrainState) -> bool:
    host = lambda x: np.asarray(jax.random.key_data(x) if x is a.key or x is b.key else x)
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(host(x).tobytes() == host(y).tobytes() for x, y in pairs)


def attempt(folder: Path, states: list[jaxgan.TrainState]) -> str:
    """Returns the outcome of `restore` in a folder whose newer checkpoint is damaged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = checkpoint.restore(folder, like=states[0])
    named = any("step 10:" in str(warning.message) for warning in caught)
    if same(found, states[0]):
        return "older, and reported" if named else "older, and silent"
    return "newer" if same(found, states[1]) else "WRONG VALUES"


def torture(folder: Path, cases: int | None, seed: int) -> dict:
    """Counts the outcomes of `cases` damages; None damages each file once in each way."""
    rng, states, outcomes = random.Random(seed), make_states(), Counter()
    intact = folder / "intact"
    for state in states:
        checkpoint.save(intact, state).result()
    # A checkpoint without its mark is intact.
    paths = (path for path in (intact / "10").rglob("*") if path.name != ".jaxgan")
    files = sorted(path for path in paths if path.is_file())
    ways = list(itertools.product(DAMAGES, files))
    cases = cases or len(ways)  # Orbax varies the number of files
    chosen = itertools.islice(itertools.cycle(ways), cases)
    for kind, file in tqdm(list(chosen), unit="case"):
        damaged = folder / "damaged"
        shutil.copytree(intact, damaged)
        DAMAGES[kind](damaged / file.relative_to(intact), rng)
        outcomes[attempt(damaged, states)] += 1
        shutil.rmtree(damaged)
    return {"cases": cases, "files": len(files), "outcomes": dict(outcomes)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=500, help="(default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--output", type=Path, help="a JSON file (default: none)")
    args = parser.parse_args()
    clock = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        counted = torture(Path(folder), args.cases, args.seed)
    counted |= {"seconds": time.perf_counter() - clock}
    counted |= {"command": shlex.join(["python", *sys.argv]), **jaxgan.environment()}
    print(json.dumps(counted, indent=2))
    if args.output:
        runs.write_json(args.output, counted)
    sys.exit(counted["outcomes"] != {"older, and reported": args.cases})


if __name__ == "__main__":
    main()
