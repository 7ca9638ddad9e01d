"""Runs many updates in one function, inside one `jax.jit`.

The data stays on the device, images as uint8. The program first computes the indices of all
batches. One `jax.lax.scan` then selects the batches, normalizes them and performs the updates. The
batch of a step is a pure function of (key, step), so a resumed run is bit-identical to an
uninterrupted one.
"""

import functools
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxgan._game import GAN, Game
from jaxgan._internal import checks, meshes
from jaxgan.images import normalize_batch
from jaxgan.train_state import TrainState
from jaxgan.training._data import (
    AnyGame,
    Data,
    check_batch_size,
    check_data,
    has_split,
    num_rows_of,
    select,
)
from jaxgan.training._metrics import StackedMetrics
from jaxgan.training._shuffle import check_step, indices_of_step, steps_per_epoch
from jaxgan.types import Batch, Metrics, PyTree


class Preprocess(Protocol):
    """Maps a batch of training data to the batch of `update`: `(batch) -> batch`."""

    def __call__(self, batch: PyTree, /) -> Batch: ...


def steps(
    gan: AnyGame,
    state: TrainState,
    data: Data,
    *,
    num_steps: int,
    batch_size: int,
    mesh: Mesh | None = None,
    preprocess: Preprocess = normalize_batch,
) -> tuple[TrainState, Metrics]:
    """Performs `num_steps` updates, on batches of the data.

    Call `steps` inside `jax.jit`, with the state donated. Step $i$ uses the rows
    `training.batch_indices(key, i)`.

    Args:
      gan: a `jaxgan.GAN`, or a `jaxgan.Game`.
      state: the state to start from, at any step of an epoch.
      data: all training data: an array `[num_rows, ...]`, such as uint8 images `[num_images,
        height, width, channels]` or float points `[num_points, 2]`; the result of
        `distributed.split`; or a pytree of such arrays, such as `(images, labels)`.
      num_steps: the number of updates, at least 1. The program first computes the indices of all
        batches, int32 `[num_steps, batch_size]`.
      batch_size: rows per update, in [1, num_rows]. Each discriminator step takes an equal share.
      mesh: a mesh of `jaxgan.distributed`, over which each batch is split. `batch_size` is then a
        multiple of devices times discriminator steps times packing. If None, the program has no
        instructions for several devices.
      preprocess: maps a batch of rows to the batch of `update`. By default,
        `images.normalize_batch`, which scales uint8 images to [-1, 1]. With another function,
        the data of a GAN can have any structure, such as a dict of a table's columns.

    Returns:
      The state after the last update, and the metrics of every update, each `[num_steps]`.

    Raises:
      TypeError: If data is not an array or a pytree of arrays, labels or numbers are not integers,
        or `gan`, `state` or `preprocess` has the wrong type.
      ValueError: If arrays differ in length, a number is out of range, images are uint8 and
        `gan.data_range` excludes [-1, 1], or the axes of `mesh` are not Auto. Outside of jit, also
        if a label is out of range, images are out of range or probably masks (0 and 1 only), or the
        state was donated. The range of images is not checked if `gan.data_range` is None. With
        another `preprocess`, only its result is checked, inside `update`.

    Example:
      >>> import functools, jax, jax.numpy as jnp, jaxgan, optax
      >>> gan = jaxgan.gan(
      ...     jaxgan.networks.MLPGenerator(),
      ...     jaxgan.networks.MLPDiscriminator(),
      ...     jaxgan.losses.non_saturating(),
      ...     jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
      ...     latents=100,
      ... )
      >>> images = jnp.zeros((64, 28, 28, 1), jnp.uint8)
      >>> state = gan.init(jax.random.key(0), jaxgan.images.normalize(images[:1]))
      >>> steps = functools.partial(jaxgan.training.steps, gan, num_steps=5, batch_size=20)
      >>> state, metrics = jax.jit(steps, donate_argnums=0)(state, images)
      >>> int(state.step), metrics["generator_loss"].shape
      (5, (5,))
    """
    data = _check(gan, state, data, mesh, preprocess)
    checks.integer("num_steps", num_steps)
    steps_per_epoch(num_rows_of(data), batch_size)
    check_batch_size(gan, data, batch_size, mesh)
    sizes = {"num_steps": num_steps, "batch_size": batch_size}
    return _scan_steps(gan, state, data, **sizes, mesh=mesh, preprocess=preprocess)


def epochs(
    gan: AnyGame,
    state: TrainState,
    data: Data,
    *,
    num_epochs: int = 1,
    batch_size: int,
    mesh: Mesh | None = None,
    preprocess: Preprocess = normalize_batch,
) -> tuple[TrainState, Metrics]:
    """Performs `num_epochs` passes over the data, of `num_rows // batch_size` updates each.

    Each epoch has a new order, and skips the last `num_rows % batch_size` rows of the order.
    All epochs run in one program. Use `steps` to set the number of updates instead.

    Args:
      gan: a `jaxgan.GAN`, or a `jaxgan.Game`.
      state: the state to start from, at any step of an epoch.
      data: all training data: an array `[num_rows, ...]`, such as uint8 images `[num_images,
        height, width, channels]` or float points `[num_points, 2]`; the result of
        `distributed.split`; or a pytree of such arrays, such as `(images, labels)`.
      num_epochs: the number of passes, at least 1.
      batch_size: rows per update, in [1, num_rows]. Each discriminator step takes an equal share.
      mesh: a mesh of `jaxgan.distributed`, over which each batch is split. `batch_size` is then a
        multiple of devices times discriminator steps times packing. If None, the program has no
        instructions for several devices.
      preprocess: maps a batch of rows to the batch of `update`. By default,
        `images.normalize_batch`, which scales uint8 images to [-1, 1]. With another function,
        the data of a GAN can have any structure, such as a dict of a table's columns.

    Returns:
      The state after the last update, and the metrics of every update, each `[num_epochs,
      updates]`.

    Raises:
      TypeError: If data is not an array or a pytree of arrays, labels or numbers are not integers,
        or `gan`, `state` or `preprocess` has the wrong type.
      ValueError: If arrays differ in length, a number is out of range, images are uint8 and
        `gan.data_range` excludes [-1, 1], or the axes of `mesh` are not Auto. Outside of jit, also
        if a label is out of range, images are out of range or probably masks (0 and 1 only), or the
        state was donated. The range of images is not checked if `gan.data_range` is None. With
        another `preprocess`, only its result is checked, inside `update`.

    Example:
      >>> import functools, jax, jax.numpy as jnp, jaxgan, optax
      >>> gan = jaxgan.gan(
      ...     jaxgan.networks.MLPGenerator(),
      ...     jaxgan.networks.MLPDiscriminator(),
      ...     jaxgan.losses.non_saturating(),
      ...     jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
      ...     latents=100,
      ... )
      >>> images = jnp.zeros((64, 28, 28, 1), jnp.uint8)
      >>> state = gan.init(jax.random.key(0), jaxgan.images.normalize(images[:1]))
      >>> epochs = functools.partial(jaxgan.training.epochs, gan, num_epochs=2, batch_size=20)
      >>> state, metrics = jax.jit(epochs, donate_argnums=0)(state, images)
      >>> int(state.step), metrics["generator_loss"].shape
      (6, (2, 3))
    """
    data = _check(gan, state, data, mesh, preprocess)
    num_steps = steps_per_epoch(num_rows_of(data), batch_size)
    checks.integer("num_epochs", num_epochs)
    check_batch_size(gan, data, batch_size, mesh)
    sizes = {"num_steps": num_steps, "batch_size": batch_size}

    def epoch(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
        return _scan_steps(gan, state, data, **sizes, mesh=mesh, preprocess=preprocess)

    return jax.lax.scan(epoch, state, length=num_epochs)


def _scan_steps(
    gan: AnyGame,
    state: TrainState,
    data: Data,
    *,
    num_steps: int,
    batch_size: int,
    mesh: Mesh | None,
    preprocess: Preprocess,
) -> tuple[TrainState, Metrics]:
    """Performs the updates of `steps`, without checking the arguments."""
    num_rows = num_rows_of(data)
    # On a mesh, each device has a part of every discriminator step's share.
    shares = 1 if mesh is None else gan.dynamics.shares
    update = gan.update if shares == 1 else functools.partial(gan.update, interleaved=True)

    def step(state: TrainState, indices: Array) -> tuple[TrainState, StackedMetrics]:
        batch = meshes.constrain(preprocess(select(data, indices, mesh)), mesh, meshes.DATA)
        state, metrics = update(state, batch)
        return meshes.constrain((state, StackedMetrics.stack(metrics)), mesh)

    def indices(step: Array) -> Array:
        sizes = {"num_images": num_rows, "batch_size": batch_size, "shares": shares}
        return indices_of_step(state.key, step.astype(jnp.int32), **sizes)

    numbers = state.step + jnp.arange(num_steps, dtype=state.step.dtype)
    found = jax.vmap(indices)(meshes.constrain(numbers, mesh))
    axes = (None, None if has_split(data) else meshes.DATA)
    state, metrics = jax.lax.scan(step, state, meshes.constrain(found, mesh, *axes))
    return state, metrics.unstack()


def _check(
    gan: AnyGame, state: TrainState, data: Data, mesh: Mesh | None, preprocess: Preprocess
) -> Data:
    """Checks the arguments that `steps` and `epochs` share, and returns the data as JAX arrays."""
    is_game, got = isinstance(gan, GAN | Game), checks.shown(gan)
    checks.require(is_game, "gan", "a jaxgan.GAN or a jaxgan.Game", got, error=TypeError)
    checks.instance("state", state, TrainState, "a jaxgan.TrainState")
    checks.not_donated("state", state)
    expected, found = "the state of one GAN", f"a population of shape {jnp.shape(state.step)}"
    advice = "Map the function over the members with jax.vmap."
    checks.require(jnp.ndim(state.step) == 0, "state", expected, found, advice)
    check_step(state.step)
    if mesh is not None:
        meshes.check_mesh(mesh)
    checks.function("preprocess", preprocess, "(batch) -> batch")
    return check_data(gan, data, mesh, normalized=preprocess is normalize_batch)
