"""Reads checkpoints, and verifies the digests of the data."""

import functools
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import optax

from jaxgan._internal import checks, opt_states, processes
from jaxgan.checkpoint import _arrays as arrays
from jaxgan.checkpoint import _compare as compare
from jaxgan.checkpoint import _hyperparameters as hyperparameters
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.checkpoint import _search as search
from jaxgan.checkpoint import _storage as storage
from jaxgan.checkpoint._manifest import DamagedCheckpointError, Json
from jaxgan.train_state import TrainState
from jaxgan.types import Pair

T = TypeVar("T")


class Info(NamedTuple):
    """Describes a checkpoint.

    Attributes:
      step: the step of the state.
      metadata: the metadata passed to `save`, after a JSON round trip: tuples become lists.
      saved_by: `jaxgan.environment()` of the program that saved the checkpoint.
      leaves: the dtype and shape of every leaf, by path.
    """

    step: int
    metadata: Json
    saved_by: dict[str, Json]
    leaves: dict[str, str]


def restore(
    directory: storage.Directory,
    like: T,
    *,
    step: int | None = None,
    at: str = "",
    member: int | None = None,
    optimizer: Pair[optax.GradientTransformation] | None = None,
) -> T:
    """Restores the newest intact checkpoint to the devices of `like`.

    Verifies the digests of all files and of all arrays read. If a checkpoint is corrupted, warns
    and reads the checkpoint before it.

    In a run of several processes, all processes call `restore` on a folder that they share. Each
    process reads the files, and all restore the same step. The number of processes and devices can
    differ from those that saved. Other environments and other numbers of devices change the results
    of further training in the last bits, so `restore` warns about them.

    The saved values replace all values of `like`, including the hyper-parameters that
    `optax.inject_hyperparams` and `penalties.inject` store in a state. If `like` has values, warns
    about hyper-parameters that differ, such as a new learning rate. To use other values, pass the
    restored state to `population.with_hyperparameters`.

    Args:
      directory: the run's folder of checkpoints.
      like: a state of the same structure, shapes and dtypes. It can be abstract, such as the
        result of `jax.eval_shape(gan.init, key, images)`. Its shardings determine the devices of
        the restored arrays. Without shardings, the arrays go to the default device.
      step: the step to restore; by default the newest intact one.
      at: the path of a part of the state, such as ".params.generator". Only this part is restored,
        and `like` is this part alone.
      member: the index of a member of a population, from 0. Only this member is restored, and
        `like` is the state of a single GAN.
      optimizer: new optax transformations of both networks. If given, the optimizer states are
        not restored, but initialized from the restored parameters, and those of `like` are not
        used. Schedules start at step 0.

    Returns:
      The saved state, bit-identical.

    Raises:
      FileNotFoundError: If there is no such checkpoint.
      DamagedCheckpointError: If the checkpoint of `step`, or every checkpoint, is corrupted. The
        error is a `ValueError` and lists the problems.
      IndexError: If there is no such member.
      TypeError: If an argument has the wrong type, or `like` has a dtype that JAX would convert.
      ValueError: If the checkpoint and `like` differ; the message names the leaves. Also if another
        version of jaxgan wrote the checkpoint in another format, or both `at` and `optimizer` are
        given.

    Example:
      >>> import tempfile, jax, jaxgan, optax
      >>> from jaxgan.train_state import create
      >>> params = jaxgan.Pair({"w": jax.numpy.ones(3)}, {"w": jax.numpy.ones(2)})
      >>> state = create(jax.random.key(0), params, jaxgan.Pair(optax.sgd(0.1), optax.sgd(0.1)))
      >>> directory = tempfile.mkdtemp()
      >>> jaxgan.checkpoint.save(directory, state).result()
      >>> like = {"w": jax.ShapeDtypeStruct((3,), jax.numpy.float32)}
      >>> print(jaxgan.checkpoint.restore(directory, like, at=".params.generator"))
      {'w': Array([1., 1., 1.], dtype=float32)}

      Continue with Adam instead of SGD:

      >>> adam = jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3))
      >>> state = jaxgan.checkpoint.restore(directory, like=state, optimizer=adam)
      >>> print(state.opt_state.generator[0].mu)
      {'w': Array([0., 0., 0.], dtype=float32)}
    """
    if member is not None:
        checks.integer("member", member, 0)
    checks.text("at", at, "'.params.generator' is an example.")
    if optimizer is not None:
        like = _without_optimizer(like, at, optimizer)
    leaves = arrays.by_name(like, at)
    stored = {name: leaves[name] for name in hyperparameters.names(like, at)}

    def read(checkpoint: Path) -> T:
        contents = storage.verify_files(checkpoint)
        specs = compare.select(contents["leaves"], at, checkpoint) if leaves else {}
        if optimizer is not None:
            specs = {k: v for k, v in specs.items() if not k.startswith(arrays.OPT_STATE)}
        compare.check_matches(specs, leaves, member, checkpoint)
        if isinstance(like, TrainState) and optimizer is None:
            compare.check_optimizers(contents.get("optimizers"), like)
        loaded = storage.load(checkpoint, specs)
        if processes.is_first():
            if not at and member is None:
                compare.warn_of_environment(contents, leaves.get(".step"), checkpoint)
            saved = {k: loaded[k] if member is None else loaded[k][member] for k in stored}
            hyperparameters.warn_of_changes(saved, stored, checkpoint, stacklevel=6)
        placed = [arrays.place(specs[k], loaded[k], leaf, member) for k, leaf in leaves.items()]
        return jax.tree.unflatten(jax.tree.structure(like), placed)

    state = search.newest_intact("checkpoint.restore", storage.absolute(directory), step, read)
    return state if optimizer is None else _with_optimizer(state, optimizer)


def verify(directory: storage.Directory, step: int) -> str | None:
    """Verifies the digests of all files and all arrays of a checkpoint.

    Args:
      directory: the run's folder of checkpoints.
      step: the step of the checkpoint.

    Returns:
      A description of the problem; None if the checkpoint is intact.

    Raises:
      FileNotFoundError: If there is no such checkpoint.
      ValueError: If another version of jaxgan wrote the checkpoint in another format.

    Example:
      >>> import tempfile, jax, jaxgan, optax
      >>> from jaxgan.train_state import create
      >>> params, sgd = jaxgan.Pair(jax.numpy.ones(3), jax.numpy.ones(2)), optax.sgd(0.1)
      >>> state = create(jax.random.key(0), params, jaxgan.Pair(sgd, sgd))
      >>> directory = tempfile.mkdtemp()
      >>> jaxgan.checkpoint.save(directory, state).result()
      >>> jaxgan.checkpoint.verify(directory, 0) is None
      True
    """
    checks.integer("step", step, 0)
    folder = storage.absolute(directory)
    return processes.first("checkpoint.verify", lambda: find_problem(folder, step))


def find_problem(folder: Path, step: int) -> str | None:
    """Verifies a checkpoint as `verify` does, without the other processes."""
    [checkpoint] = search.candidates(folder, step)
    try:
        storage.verify(checkpoint)
    except DamagedCheckpointError as error:
        return str(error)
    return None


def info(directory: storage.Directory, *, step: int | None = None) -> Info:
    """Reads the description of a checkpoint, without its arrays.

    Args:
      directory: the run's folder of checkpoints.
      step: the step of the checkpoint; by default the newest whose files are intact.

    Returns:
      An `Info`.

    Raises:
      FileNotFoundError: If there is no such checkpoint.
      DamagedCheckpointError: If the checkpoint of `step`, or every checkpoint, is corrupted.
      ValueError: If another version of jaxgan wrote the checkpoint in another format.

    Example:
      >>> import tempfile, jax, jaxgan, optax
      >>> from jaxgan.train_state import create
      >>> params, sgd = jaxgan.Pair(jax.numpy.ones(3), jax.numpy.ones(2)), optax.sgd(0.1)
      >>> state = create(jax.random.key(0), params, jaxgan.Pair(sgd, sgd))
      >>> directory = tempfile.mkdtemp()
      >>> jaxgan.checkpoint.save(directory, state, metadata={"seed": 3}).result()
      >>> info = jaxgan.checkpoint.info(directory)
      >>> info.step, info.metadata, info.leaves[".params.generator"]
      (0, {'seed': 3}, 'float32[3]')
    """
    folder = storage.absolute(directory)
    contents = search.newest_intact("checkpoint.info", folder, step, manifest.verify)
    leaves = contents["leaves"].items()
    described = {name: arrays.as_text(spec["dtype"], spec["shape"]) for name, spec in leaves}
    return Info(contents["step"], contents["metadata"], contents["saved_by"], described)


def steps(directory: storage.Directory) -> list[int]:
    """Lists the steps that have a checkpoint, oldest first, without verifying them.

    Args:
      directory: the run's folder of checkpoints; it may be missing.

    Returns:
      The steps; an empty list if the folder is missing.

    Example:
      >>> import tempfile, jaxgan
      >>> jaxgan.checkpoint.steps(tempfile.mkdtemp())
      []
    """
    folder = storage.absolute(directory)
    return processes.first("checkpoint.steps", lambda: storage.steps(folder))


def latest(directory: storage.Directory) -> int | None:
    """Returns the newest step that has an intact checkpoint, or None.

    Args:
      directory: the run's folder of checkpoints; it may be missing.

    Raises:
      ValueError: If another version of jaxgan wrote the newest checkpoint in another format.

    Example:
      >>> import tempfile, jaxgan
      >>> jaxgan.checkpoint.latest(tempfile.mkdtemp()) is None
      True
    """
    folder = storage.absolute(directory)
    return processes.first("checkpoint.latest", lambda: _latest(folder))


def _latest(folder: Path) -> int | None:
    corrupted = set[int]()
    # Another process may delete a checkpoint, and save a newer one.
    while untried := [step for step in storage.steps(folder) if step not in corrupted]:
        try:
            return storage.verify(folder / str(untried[-1]))["step"]
        except DamagedCheckpointError:
            corrupted.add(untried[-1])
    return None


def _without_optimizer(like: Any, at: str, optimizer: Any) -> Any:
    """Checks the arguments of a restore with a new optimizer, and drops the optimizer states."""
    checks.optimizers("optimizer", optimizer)
    checks.require(not at, "at", "omitted with optimizer", repr(at))
    checks.instance("like", like, TrainState, "a jaxgan.TrainState with optimizer")
    return like.replace(opt_state=Pair((), ()))


def _with_optimizer(state: Any, optimizer: Pair[optax.GradientTransformation]) -> Any:
    """Initializes the optimizer states of one GAN or of a population."""
    init = functools.partial(opt_states.init, optimizer)
    opt_state = (jax.vmap(init) if state.step.ndim else init)(state.params)
    return state.replace(opt_state=opt_state)
