"""Checks meshes and lists of devices, and constrains arrays to the devices of a mesh."""

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgan._internal import checks

T = TypeVar("T")  # a pytree of arrays

DATA = "data"
"""The mesh axis over which the batches of a training are split."""

MEMBERS = "members"
"""The mesh axis over which the members of a population are split."""


def check_mesh(mesh: object, axis: str | None = DATA) -> None:
    """Checks that a mesh has only Auto axes, and an axis of a name.

    With Explicit axes, JAX infers the sharding of each operation and refuses ambiguous ones, such
    as gathers inside of networks.

    Args:
      mesh: the argument `mesh`.
      axis: the name of an axis, or None.

    Raises:
      TypeError: If `mesh` is not a `jax.sharding.Mesh`.
      ValueError: If the mesh has no such axis, or an axis is not Auto. Inside of
        `population.shard`, if the mesh differs from the one there.
    """
    advice = "Create it with jaxgan.distributed.mesh."
    got = checks.shown(mesh)
    checks.require(
        isinstance(mesh, Mesh), "mesh", "a jax.sharding.Mesh", got, advice, error=TypeError
    )
    assert isinstance(mesh, Mesh)
    kinds = [kind.name for kind in mesh.axis_types]
    is_auto = all(kind == AxisType.Auto for kind in mesh.axis_types)
    checks.require(is_auto, "mesh", "a mesh with Auto axes", f"{', '.join(kinds)} axes", advice)
    has_axis, names = axis is None or axis in mesh.axis_names, f"the axes {mesh.axis_names}"
    checks.require(has_axis, "mesh", f"a mesh with an axis {axis!r}", names, advice)
    context, shape = jax.sharding.get_abstract_mesh(), dict(mesh.shape)
    fits = AxisType.Manual not in context.axis_types or dict(context.shape) == shape
    expected = f"the mesh of population.shard, {dict(context.shape)}"
    advice = "Pass the same jaxgan.distributed.mesh(members=...) to both."
    checks.require(fits, "mesh", expected, f"{shape}", advice)


def check_local(mesh: Mesh) -> None:
    """Checks that a mesh has devices of this process.

    Args:
      mesh: a mesh.

    Raises:
      ValueError: If all devices belong to other processes.
    """
    expected, got = "a mesh with devices of this process", f"{mesh.devices.ravel()[:2].tolist()}"
    advice = "Create it with jaxgan.distributed.mesh() in all processes."
    checks.require(bool(mesh.local_devices), "mesh", expected, got, advice)


def check_placed(name: str, x: Any) -> None:
    """Checks that an array is not split over Explicit axes of a mesh.

    Args:
      name: the array's name in an error.
      x: an array.

    Raises:
      ValueError: If the array is split over an Explicit axis.
    """
    sharding = jax.typeof(x).sharding
    is_explicit = AxisType.Explicit in sharding.mesh.axis_types
    fits = not is_explicit or not jax.tree.leaves(tuple(sharding.spec))
    advice = "Create the mesh with jaxgan.distributed.mesh."
    checks.require(fits, name, "on a mesh with Auto axes", "an array on Explicit axes", advice)


def check_devices(devices: Any) -> Sequence[jax.Device]:
    """Checks a list of devices, and returns it. None stands for all devices.

    Args:
      devices: the argument `devices`.

    Raises:
      TypeError: If `devices` is not a list of devices.
      ValueError: If `devices` is empty or contains a device twice, or JAX_NUM_PROCESSES names
        processes that were not joined.
    """
    # Otherwise, each process would train alone, and write to the folder of the others.
    num = os.environ.get("JAX_NUM_PROCESSES") or "1"
    is_joined = num == "1" or jax.process_count() > 1
    advice = "Call jax.distributed.initialize first."
    checks.require(is_joined, "The number of processes", f"JAX_NUM_PROCESSES, {num}", "1", advice)
    devices = jax.devices() if devices is None else devices
    are_devices = isinstance(devices, Sequence) and all(isinstance(d, jax.Device) for d in devices)
    got = checks.shown(devices)
    checks.require(are_devices, "devices", "a list of jax.Device", got, error=TypeError)
    checks.require(len(devices) > 0, "devices", "a list of at least one device", got)
    checks.require(len({*devices}) == len(devices), "devices", "different devices", got)
    return devices


def constrain(tree: T, mesh: Mesh | None, *axes: str | None) -> T:
    """Sets how the arrays of a pytree are split over a mesh, inside of `jax.jit`.

    Args:
      tree: a pytree of arrays.
      mesh: the mesh. None leaves the arrays unchanged.
      *axes: the mesh axis over which each axis of the arrays is split. No axes replicate the
        arrays.
    """
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(
        tree, NamedSharding(current(mesh), PartitionSpec(*axes))
    )


def current(mesh: Mesh) -> Any:
    """Returns the mesh as JAX knows it at this place of a program.

    Args:
      mesh: the mesh of the whole program.
    """
    # Inside of `population.shard`, the axis of members is Manual, and JAX refuses other meshes.
    context = jax.sharding.get_abstract_mesh()
    return context if AxisType.Manual in context.axis_types else mesh
