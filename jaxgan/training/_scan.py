"""Runs many updates in one function, inside one `jax.jit`.

The images stay on the device as uint8. The program first computes the indices of all batches. One
`jax.lax.scan` then selects the batches, normalizes them and performs the updates. The batch of a
step is a pure function of (key, step), so a resumed run is bit-identical to an uninterrupted one.
"""

import functools

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from jaxgan._game import GAN
from jaxgan._internal import checks, meshes
from jaxgan._internal.shapes import Integer
from jaxgan.distributed import SplitImages
from jaxgan.images import normalize
from jaxgan.train_state import TrainState
from jaxgan.training._images import Images, check_batch_size, num_images_of, select
from jaxgan.training._metrics import StackedMetrics
from jaxgan.training._shuffle import check_step, indices_of_step, steps_per_epoch
from jaxgan.types import Metrics


def steps(
    gan: GAN,
    state: TrainState,
    images: ArrayLike | SplitImages,
    labels: ArrayLike | None = None,
    *,
    num_steps: int,
    batch_size: int,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """Performs `num_steps` updates, on batches of the images.

    Call `steps` inside `jax.jit`, with the state donated. Step $i$ uses the images
    `training.batch_indices(key, i)`.

    Args:
      gan: a `jaxgan.GAN`.
      state: the state to start from, at any step of an epoch.
      images: all training images, uint8 `[num_images, height, width, channels]`, or the result of
        `distributed.split`.
      labels: integers `[num_images]`, for a GAN with `num_classes`.
      num_steps: the number of updates, at least 1. The program first computes the indices of all
        batches, int32 `[num_steps, batch_size]`.
      batch_size: images per update, in [1, num_images]. Each discriminator step takes an equal
        share.
      mesh: a mesh of `jaxgan.distributed`, over which each batch is split. `batch_size` is then a
        multiple of devices times discriminator steps times packing. If None, the program has no
        instructions for several devices.

    Returns:
      The state after the last update, and the metrics of every update, each `[num_steps]`.

    Raises:
      TypeError: If images are not uint8, labels or numbers are not integers, or `gan` or `state`
        has the wrong type.
      ValueError: If images do not have rank 4, a number is out of range, `gan.data_range`
        excludes [-1, 1], or the axes of `mesh` are not Auto. Outside of jit, also if a label is
        out of range, the images are probably masks (0 and 1 only, unless `gan.data_range` is
        None), or the state was donated.

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
    images, labels = _check(gan, state, images, labels, mesh)
    checks.integer("num_steps", num_steps)
    steps_per_epoch(num_images_of(images), batch_size)
    check_batch_size(gan, images, batch_size, mesh)
    scan = functools.partial(_scan_steps, num_steps=num_steps, batch_size=batch_size, mesh=mesh)
    return scan(gan, state, images, labels)


def epochs(
    gan: GAN,
    state: TrainState,
    images: ArrayLike | SplitImages,
    labels: ArrayLike | None = None,
    *,
    num_epochs: int = 1,
    batch_size: int,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """Performs `num_epochs` passes over the images, of `num_images // batch_size` updates each.

    Each epoch has a new order, and skips the last `num_images % batch_size` images of the order.
    All epochs run in one program. Use `steps` to set the number of updates instead.

    Args:
      gan: a `jaxgan.GAN`.
      state: the state to start from, at any step of an epoch.
      images: all training images, uint8 `[num_images, height, width, channels]`, or the result of
        `distributed.split`.
      labels: integers `[num_images]`, for a GAN with `num_classes`.
      num_epochs: the number of passes, at least 1.
      batch_size: images per update, in [1, num_images]. Each discriminator step takes an equal
        share.
      mesh: a mesh of `jaxgan.distributed`, over which each batch is split. `batch_size` is then a
        multiple of devices times discriminator steps times packing. If None, the program has no
        instructions for several devices.

    Returns:
      The state after the last update, and the metrics of every update, each `[num_epochs,
      updates]`.

    Raises:
      TypeError: If images are not uint8, labels or numbers are not integers, or `gan` or `state`
        has the wrong type.
      ValueError: If images do not have rank 4, a number is out of range, `gan.data_range`
        excludes [-1, 1], or the axes of `mesh` are not Auto. Outside of jit, also if a label is
        out of range, the images are probably masks (0 and 1 only, unless `gan.data_range` is
        None), or the state was donated.

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
    images, labels = _check(gan, state, images, labels, mesh)
    num_steps = steps_per_epoch(num_images_of(images), batch_size)
    checks.integer("num_epochs", num_epochs)
    check_batch_size(gan, images, batch_size, mesh)
    scan = functools.partial(_scan_steps, num_steps=num_steps, batch_size=batch_size, mesh=mesh)

    def epoch(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
        return scan(gan, state, images, labels)

    return jax.lax.scan(epoch, state, length=num_epochs)


def _scan_steps(
    gan: GAN,
    state: TrainState,
    images: Images,
    labels: Integer[Array, " num"] | None,
    *,
    num_steps: int,
    batch_size: int,
    mesh: Mesh | None,
) -> tuple[TrainState, Metrics]:
    """Performs the updates of `steps`, without checking the arguments."""
    num_images = num_images_of(images)
    # On a mesh, each device has a part of every discriminator step's share.
    shares = 1 if mesh is None else gan.discriminator_steps
    update = gan.update if shares == 1 else functools.partial(gan.update, interleaved=True)

    def step(state: TrainState, indices: Array) -> tuple[TrainState, StackedMetrics]:
        batch = meshes.constrain(normalize(select(images, indices, mesh)), mesh, meshes.DATA)
        state, metrics = update(state, batch, None if labels is None else labels[indices])
        return meshes.constrain((state, StackedMetrics.stack(metrics)), mesh)

    def indices(step: Array) -> Array:
        sizes = {"num_images": num_images, "batch_size": batch_size, "shares": shares}
        return indices_of_step(state.key, step.astype(jnp.int32), **sizes)

    numbers = state.step + jnp.arange(num_steps, dtype=state.step.dtype)
    found = jax.vmap(indices)(meshes.constrain(numbers, mesh))
    axes = (None, None if isinstance(images, SplitImages) else meshes.DATA)
    state, metrics = jax.lax.scan(step, state, meshes.constrain(found, mesh, *axes))
    return state, metrics.unstack()


def _check(
    gan: GAN,
    state: TrainState,
    images: ArrayLike | SplitImages,
    labels: ArrayLike | None,
    mesh: Mesh | None,
) -> tuple[Images, Array | None]:
    """Checks the arguments that `steps` and `epochs` share.

    Returns JAX arrays, because traced indices cannot index numpy arrays.
    """
    checks.instance("gan", gan, GAN, "a jaxgan.GAN")
    checks.instance("state", state, TrainState, "a jaxgan.TrainState")
    checks.not_donated("state", state)
    expected, got = "the state of one GAN", f"a population of shape {jnp.shape(state.step)}"
    advice = "Map the function over the members with jax.vmap."
    checks.require(jnp.ndim(state.step) == 0, "state", expected, got, advice)
    check_step(state.step)
    if mesh is not None:
        meshes.check_mesh(mesh)
    is_split = isinstance(images, SplitImages)
    expected, advice = "given for split images", "Pass the mesh of jaxgan.distributed.split."
    checks.require(mesh is not None or not is_split, "mesh", expected, "None", advice)
    given = images.rows if isinstance(images, SplitImages) else images
    array = checks.array("Training images", given, jnp.uint8, "[num, height, width, channels]")
    meshes.check_placed("Training images", array)
    _check_range(gan, None if is_split else given)  # a process has only a part of split images
    found = images if isinstance(images, SplitImages) else array
    if labels is None:
        return found, None
    return found, checks.labels(labels, (num_images_of(found),), gan.num_classes)


def _check_range(gan: GAN, images: ArrayLike | None) -> None:
    """Checks that a GAN accepts normalized images, and that images are not masks."""
    if gan.data_range is None:
        return
    least, most = gan.data_range
    expected = "None or include [-1, 1], the range of normalized images"
    got = f"({least:g}, {most:g})"
    checks.require(least <= -1 and most >= 1, "gan.data_range", expected, got)
    if images is not None:
        checks.images_in_range("Training images", images, real=True)
