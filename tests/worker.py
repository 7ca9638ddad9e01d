"""Runs the scenarios of tests/test_processes.py in each process of a cluster.

Prints the result of every scenario in a line of JSON: a value, or the error as text.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mesh_programs
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

import jaxgan
from jaxgan import checkpoint, distributed, runs, streaming
from jaxgan._internal import checks, processes
from jaxgan.checkpoint import DamagedCheckpointError
from jaxgan.checkpoint import _read as read
from jaxgan.checkpoint import _storage as storage
from jaxgan.train_state import create

SCENARIOS: list[Callable[[Path], Any]] = []


def scenario(function: Callable[[Path], Any]) -> Callable[[Path], Any]:
    SCENARIOS.append(function)
    return function


def make_state(step: int, seed: int = 0) -> jaxgan.TrainState:
    """Returns a state with a key, an optimizer state, a NaN and a negative zero."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    generator = {"w": draw(3, 5).at[0, 0].set(-0.0).at[0, 1].set(jnp.nan)}
    params = jaxgan.Pair(generator, {"w": draw(4)})
    adam = optax.adam(1e-3)
    state = create(jax.random.key(seed), params, jaxgan.Pair(adam, adam))
    return state.replace(step=jnp.int32(step))


def make_population(step: int) -> jaxgan.TrainState:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *[make_state(step, i) for i in range(8)])


def place(tree: Any, *axes: str, devices: Sequence[jax.Device] | None = None) -> Any:
    """Places local arrays on devices, by default on all devices of all processes."""
    mesh = jax.sharding.Mesh(np.array(devices or jax.devices()), ("data",))

    def place_leaf(leaf):
        spec = PartitionSpec(*axes)
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        data = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        sharding = NamedSharding(mesh, spec)
        part = data.__getitem__
        array = jax.make_array_from_callback(data.shape, sharding, part, dtype=data.dtype)
        return jax.random.wrap_key_data(array) if is_key else array

    return jax.tree.map(place_leaf, tree)


def same_bits(a: Any, b: Any) -> bool:
    """Compares the parts of two trees that are on this process's devices."""

    def parts(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return [
            (shard.index, np.asarray(shard.data).tobytes()) for shard in leaf.addressable_shards
        ]

    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(x.sharding == y.sharding and parts(x) == parts(y) for x, y in leaves)


def error(function: Callable[[], Any]) -> str:
    try:
        return f"no error: {function()}"
    except Exception as raised:
        return f"{type(raised).__name__}: {raised}"


@scenario
def replicated(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the NaN
        checkpoint.save(
            folder, place(make_state(1)), metadata={"from": jax.process_index()}
        ).result()
    state = place(make_state(1))
    restored = checkpoint.restore(folder, like=state)
    info = checkpoint.info(folder).metadata
    abstract = jax.eval_shape(make_state, 1)
    local = checkpoint.restore(folder, like=abstract)
    return [
        same_bits(restored, state),
        same_bits(local, make_state(1)),
        info,
        checkpoint.steps(folder),
        checkpoint.latest(folder),
        checkpoint.verify(folder, 1),
    ]


@scenario
def saved_by_one_process(folder):
    state = place(make_state(1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        restored = checkpoint.restore(folder, like=state)
    return [same_bits(restored, state), [str(x.message) for x in caught]]


@scenario
def population(folder):
    states = place(make_population(2), "data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint.save(folder, states).result()
    member = checkpoint.restore(folder, like=place(make_state(2)), member=5)
    return [
        same_bits(checkpoint.restore(folder, like=states), states),
        same_bits(member, place(make_state(2, 5))),
    ]


@scenario
def restored(folder):
    """Restores what `replicated` and `population` saved, on any number of devices."""
    state, states = place(make_state(1)), place(make_population(2), "data")
    single = folder.parent / "replicated"
    warnings.simplefilter("ignore")  # other devices
    return [
        same_bits(checkpoint.restore(single, like=state), state),
        same_bits(checkpoint.restore(folder.parent / "population", like=states), states),
        same_bits(checkpoint.restore(single, like=make_state(0)), make_state(1)),
    ]


@scenario
def keeps_newest(folder):
    for step in range(4):
        saving = save(folder, step, keep=2)
    saving.result()
    return checkpoint.steps(folder)


def save(folder, step, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return checkpoint.save(folder, place(make_state(step)), **options)


@scenario
def failed_save(folder):
    save(folder, 1).result()
    write, storage._save_arrays = storage._save_arrays, lambda path, arrays: 1 / 0
    try:
        saving = save(folder, 2)
        first, again = saving.exception(), error(saving.result)
    finally:
        storage._save_arrays = write
    return [f"{type(first).__name__}: {first}", again, checkpoint.steps(folder)]


@scenario
def unhandled_failure(folder):
    write, storage._save_arrays = storage._save_arrays, lambda path, arrays: 1 / 0
    try:
        save(folder, 1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            checkpoint.save(folder, place(make_state(2))).exception()
    finally:
        storage._save_arrays = write
    return [str(x.message)[:40] for x in caught if "NOT SAVED" in str(x.message)]


@scenario
def corrupted(folder):
    save(folder, 1).result()
    save(folder, 2).result()
    if jax.process_index() == 0:
        files = [path for path in (folder / "2" / "arrays").rglob("*") if path.is_file()]
        path = max(files, key=lambda path: path.stat().st_size)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    return fallback(folder)


@scenario
def corrupted_for_one_process(folder):
    save(folder, 1).result()
    save(folder, 2).result()
    verify = read.storage.verify_files

    def fail(path):
        if path.name == "2" and jax.process_index() == 1:
            raise DamagedCheckpointError("bad disk")
        return verify(path)

    read.storage.verify_files = fail
    try:
        return fallback(folder)
    finally:
        read.storage.verify_files = verify


def fallback(folder):
    runs.agree([])  # after the damage
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        restored = checkpoint.restore(folder, like=place(make_state(0)))
    return [int(restored.step), [str(x.message) for x in caught]]


@scenario
def unshared_folder(folder):
    save(folder, 1).result()
    other = folder if jax.process_index() == 0 else folder / "elsewhere"
    return error(lambda: checkpoint.restore(other, like=place(make_state(0))))


@scenario
def different_steps(folder):
    return error(lambda: checkpoint.save(folder, make_state(jax.process_index())))


@scenario
def devices_of_one_process(folder):
    devices = [device for device in jax.devices() if device.process_index == 0]
    return error(lambda: checkpoint.save(folder, place(make_state(1), devices=devices)))


@scenario
def streamed_to_other_processes(folder):
    sharding = place(jnp.zeros(4)).sharding
    train = lambda state, images: (state, {})
    return error(lambda: streaming.stream(train, None, [], device=sharding))


@scenario
def later_step(folder):
    save(folder, 2).result()
    return error(lambda: save(folder, 1))


@scenario
def changed_hyperparameters(folder):
    """Restores to replicated arrays, whose values each process can read."""
    adam = optax.inject_hyperparams(optax.adam)
    params = jaxgan.Pair(jnp.ones(2), jnp.ones(3))
    create_at = lambda rate: create(jax.random.key(0), params, jaxgan.Pair(adam(rate), adam(0.1)))
    checkpoint.save(folder, place(create_at(0.01))).result()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        checkpoint.restore(folder, like=place(create_at(0.5)))
    return [line for x in caught for line in str(x.message).splitlines() if "in like" in line]


@scenario
def different_states(folder):
    save(folder, 1).result()
    like = place(make_state(1))
    like = like.replace(params=None) if jax.process_index() == 1 else like
    return error(lambda: checkpoint.restore(folder, like=like))


@scenario
def different_config(folder):
    config = {"seed": jax.process_index(), "images_sha256": "ab", "epochs": 3}
    return error(lambda: runs.begin(folder / "run", config))


@scenario
def different_options(folder):
    resume = jax.process_index() == 1
    return error(lambda: runs.begin(folder / "run", {}, resume=resume))


@scenario
def used_folder(folder):
    if jax.process_index() == 0:
        (folder / "thesis.tex").touch()
    return error(lambda: runs.begin(folder, {}))


@scenario
def locked_folder(folder):
    return error(lambda: runs.begin(folder, {}))


@scenario
def begun_folder(folder):
    workdir = runs.begin(folder / "run", {"seed": 0})
    number = jax.process_index()
    runs.write_json(workdir / "summary.json", {"process": number})
    runs.write_log(workdir / "log.jsonl", [{"process": number}])
    runs.agree([])  # after both files
    return [(workdir / name).read_text() for name in ("summary.json", "log.jsonl", "config.json")]


@scenario
def one_signal(folder):
    return runs.agree([15] if jax.process_index() == 1 else [])


@scenario
def different_calls(folder):
    call = checkpoint.steps if jax.process_index() == 0 else checkpoint.latest
    return error(lambda: call(folder))


@scenario
def missing_call(folder):
    processes.SECONDS = 1
    called = "" if jax.process_index() else error(lambda: runs.agree([]))
    next(processes._numbers) if jax.process_index() else None
    processes.SECONDS = 60
    return called


@scenario
def shared_arrays(folder):
    """Uses a mesh of other processes' devices, and an array of which this process has a part."""
    mine = jax.process_index()
    others = distributed.mesh([x for x in jax.devices() if x.process_index != mine])
    images = mesh_programs.IMAGES[:8]
    batch = distributed.place(
        distributed.mesh(), jaxgan.images.normalize(images), PartitionSpec("data")
    )
    return [
        error(lambda: distributed.place(others, images)).replace(f"process={1 - mine}", "other"),
        error(lambda: distributed.split(others, images)).replace(f"process={1 - mine}", "other"),
        error(lambda: distributed.place(distributed.mesh(), batch)),
        error(lambda: jaxgan.images.grid(batch, 4)),
        checks.images_in_range("images", batch),  # which cannot be read, as if it were traced
    ]


@scenario
def unfinished_save(folder):
    """Leaves a save in progress at the end of the program."""
    write = storage._save_arrays

    def write_slowly(path, arrays):
        time.sleep(0.5)
        write(path, arrays)

    storage._save_arrays = write_slowly
    save(folder, 1)
    return checkpoint.steps(folder)


def join(**seconds: int) -> None:
    """Joins the cluster that `clusters.start` describes."""
    jax.distributed.initialize(
        os.environ["JAX_COORDINATOR_ADDRESS"],
        int(os.environ["JAX_NUM_PROCESSES"]),
        int(os.environ["JAX_PROCESS_ID"]),
        cluster_detection_method="deactivate",
        **seconds,
    )


def main() -> None:
    join()
    root, names = Path(sys.argv[1]), sys.argv[2:]
    for function in SCENARIOS:
        if not names or function.__name__ in names:
            folder = root / function.__name__
            folder.mkdir(exist_ok=True)
            found = {"name": function.__name__, "result": function(folder)}
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
