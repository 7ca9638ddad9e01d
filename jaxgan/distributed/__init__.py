"""Trains one GAN on many devices, each of which computes a part of every batch.

All devices hold the whole state, and exchange gradients and batch statistics. A batch has the same
images and the same noise for every number of devices, so results differ only by rounding.

    mesh = jaxgan.distributed.mesh()
    state = jaxgan.distributed.init(gan, mesh, key, images[:1])
    data = jaxgan.distributed.place(mesh, images)
    epoch = functools.partial(jaxgan.training.epochs, gan, batch_size=1024, mesh=mesh)
    state, metrics = jax.jit(epoch, donate_argnums=0)(state, data)

Pass the same mesh to `training.steps`, `training.epochs` and `streaming.stream`. `jax.jit` of
`gan.update` and `gan.sample` follows the placement of its arguments. `python -m jaxgan.distributed
--processes 2 script arguments` runs a script in several processes of one machine.
"""

import dataclasses
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from jaxgan._game import GAN, Game
from jaxgan._internal import checks, meshes
from jaxgan.train_state import TrainState
from jaxgan.types import Batch

__all__ = ["SplitImages", "init", "mesh", "place", "split"]

T = TypeVar("T")  # a pytree of arrays


def mesh(devices: Sequence[jax.Device] | None = None, *, members: int | None = None) -> Mesh:
    """Creates a mesh over which batches, and members of a population, are split.

    Args:
      devices: a list of devices, by default all.
      members: the number of parts of a population, for `population.shard`. Each part trains on an
        equal number of devices. If None, the mesh is for one GAN.

    Returns:
      A mesh with the Auto axis "data". With `members`, the mesh has the axes ("members", "data").

    Raises:
      TypeError: If `devices` is not a list of devices, or `members` is not an integer.
      ValueError: If `devices` is empty or contains a device twice, or `members` does not divide the
        number of devices. If JAX_NUM_PROCESSES names several processes, and `jax.distributed` has
        not joined them.

    Example:
      >>> import jax, jaxgan
      >>> dict(jaxgan.distributed.mesh(jax.devices()[:1]).shape)
      {'data': 1}
    """
    devices = meshes.check_devices(devices)
    if members is None:
        return Mesh(np.asarray(devices), (meshes.DATA,), axis_types=(AxisType.Auto,))
    checks.integer("members", members)
    expected = f"a divisor of the number of devices, {len(devices)}"
    checks.require(len(devices) % members == 0, "members", expected, f"{members}")
    grid = np.asarray(devices).reshape(members, -1)
    return Mesh(grid, (meshes.MEMBERS, meshes.DATA), axis_types=(AxisType.Auto,) * 2)


def place(mesh: Mesh, tree: T, spec: PartitionSpec | None = None) -> T:
    """Copies a pytree of arrays to the devices of a mesh.

    The function involves no communication. Each process copies only the parts of its devices.

    Args:
      mesh: a mesh with Auto axes, such as `distributed.mesh()`.
      tree: a pytree of numpy arrays, JAX arrays or typed PRNG keys. All processes pass the same
        values.
      spec: the mesh axis over which each axis of the arrays is split, such as
        `jax.sharding.PartitionSpec("data")`. If None, each device receives the whole arrays.

    Returns:
      The same pytree of JAX arrays. `jax.jit` can donate them.

    Raises:
      TypeError: If `mesh` is not a mesh, `spec` is not a `PartitionSpec`, or a leaf is not an array
        or is traced by `jax.jit`.
      ValueError: If an axis of the mesh is not Auto, or the mesh has no device of this process. If
        `spec` contains another axis or the same axis twice, or does not divide an array evenly. If
        an array was donated, or other processes hold parts of it.

    Example:
      >>> import jax, jaxgan, numpy as np
      >>> mesh = jaxgan.distributed.mesh(jax.devices()[:1])
      >>> placed = jaxgan.distributed.place(mesh, {"images": np.zeros((4, 2, 2, 1))})
      >>> placed["images"].sharding.is_fully_replicated
      True
    """
    meshes.check_mesh(mesh, None)
    meshes.check_local(mesh)
    checks.not_donated("tree", tree)
    spec = PartitionSpec() if spec is None else spec
    checks.instance("spec", spec, PartitionSpec, "a jax.sharding.PartitionSpec")
    named = jax.tree.leaves(tuple(spec))
    fits = {*named} <= {*mesh.axis_names} and len({*named}) == len(named)
    expected = f"of the mesh axes {mesh.axis_names}, each at most once"
    checks.require(fits, "spec", expected, f"{spec}")
    sharding = NamedSharding(mesh, spec)

    def put(path: Any, x: Any) -> Array:
        name = f"tree{jax.tree_util.keystr(path)}"
        data = _reader(name, x)
        shape = np.shape(x)
        parts = [math.prod(mesh.shape[axis] for axis in jax.tree.leaves(axes)) for axes in spec]
        fits = len(parts) <= len(shape) and not any(map(operator.mod, shape, parts))
        expected = f"an array that {spec} splits evenly over {dict(mesh.shape)}"
        checks.require(fits, name, expected, f"shape {shape}")
        return jax.make_array_from_callback(shape, sharding, data)

    return jax.tree_util.tree_map_with_path(put, tree)


def _reader(name: str, x: Any) -> Callable[[Any], Any]:
    """Returns a function that copies a part of an array, from the memory of this process."""
    is_known, got = checks.is_concrete(x), "an array traced by jax.jit"
    checks.require(is_known, name, "an array with values", got, error=TypeError)
    if isinstance(x, Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data, kind = checks.numpy_array(name, jax.random.key_data(x)), jax.random.key_impl(x)
        return lambda index: jax.random.wrap_key_data(data[index], impl=kind)
    array = checks.numpy_array(name, x)
    # On a CPU, a JAX array may share the memory of a numpy array.
    return lambda index: np.array(array[index])


def init(gan: GAN | Game, mesh: Mesh, key: Array, batch: Batch = ()) -> TrainState:
    """Creates the state of step 0 on all devices of a mesh.

    Each process computes the state of `gan.init`, with all checks, and copies it to its devices.

    Args:
      gan: a `jaxgan.GAN`, or a `jaxgan.Game`.
      mesh: a mesh with an Auto axis "data", such as `distributed.mesh()`.
      key: typed PRNG key, the same in all processes.
      batch: an example batch, as for `gan.init`.

    Returns:
      A state that is bit-identical to that of `gan.init`. Each device has a copy.

    Raises:
      TypeError: If `gan` or `mesh` has the wrong type, or as `gan.init` does.
      ValueError: If the mesh has no axis "data", an axis that is not Auto, or no device of this
        process; or as `gan.init` does.

    Example:
      >>> import jax, jax.numpy as jnp, jaxgan, optax
      >>> gan = jaxgan.gan(
      ...     jaxgan.networks.MLPGenerator(),
      ...     jaxgan.networks.MLPDiscriminator(),
      ...     jaxgan.losses.non_saturating(),
      ...     jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
      ...     latents=100,
      ... )
      >>> mesh = jaxgan.distributed.mesh(jax.devices()[:1])
      >>> state = jaxgan.distributed.init(gan, mesh, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
      >>> state.step.sharding.mesh == mesh
      True
    """
    is_game, got = isinstance(gan, GAN | Game), checks.shown(gan)
    checks.require(is_game, "gan", "a jaxgan.GAN or a jaxgan.Game", got, error=TypeError)
    meshes.check_mesh(mesh)
    return place(mesh, gan.init(key, batch))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SplitImages:
    """Holds images that are split over the devices of a mesh. `split` returns it.

    Attributes:
      rows: the images, `[devices * n, height, width, channels]`, padded with zeros at the end.
      num_images: the number of images without padding.
    """

    rows: Array
    num_images: int = dataclasses.field(metadata={"static": True})


def split(mesh: Mesh, images: ArrayLike) -> SplitImages:
    """Splits images over the devices of a mesh, for datasets that exceed the memory of a device.

    Each training step then exchanges the images of its batch: every device selects its own images
    of the whole batch, and a reduce-scatter adds the selections. `place` copies all images to each
    device instead, and needs no exchange.

    Args:
      mesh: a mesh with an Auto axis "data", such as `distributed.mesh()`.
      images: all training images, uint8 `[num_images, height, width, channels]`.

    Returns:
      The split images, to pass to `training.steps` or `training.epochs` with the same mesh. The
      batches are those of the given images.

    Raises:
      TypeError: If `mesh` is not a mesh, or images are not uint8.
      ValueError: If the mesh has no axis "data", an axis that is not Auto, or no device of this
        process; or if images do not have rank 4.

    Example:
      >>> import jax, jaxgan, numpy as np
      >>> mesh = jaxgan.distributed.mesh(jax.devices()[:1])
      >>> jaxgan.distributed.split(mesh, np.zeros((5, 2, 2, 1), np.uint8)).num_images
      5
    """
    meshes.check_mesh(mesh)
    meshes.check_local(mesh)
    array = checks.numpy_array(
        "Training images", images, np.uint8, "[num, height, width, channels]"
    )
    size = mesh.shape[meshes.DATA]
    per_device = -(-len(array) // size)
    shape = (size * per_device, *array.shape[1:])

    def read(index: Any) -> np.ndarray:
        start = index[0].start or 0
        part = np.zeros((per_device, *array.shape[1:]), np.uint8)
        own = array[start : start + per_device]
        part[: len(own)] = own
        return part

    sharding = NamedSharding(mesh, PartitionSpec(meshes.DATA))
    return SplitImages(jax.make_array_from_callback(shape, sharding, read), len(array))
