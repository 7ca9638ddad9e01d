"""Names, copies and describes the arrays of a state.

The manifest stores a digest of each array's bytes, which shows whether a restored array has the
saved values.
"""

import hashlib
import itertools
from collections.abc import Sequence
from typing import NamedTuple, NotRequired, TypedDict, TypeGuard

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxgan._internal import checks
from jaxgan.types import PyTree

Leaf = jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct

OPT_STATE = ".opt_state"  # the path of the optimizer states


class ArraySpec(TypedDict):
    """Describes one array in the manifest.

    Attributes:
      dtype, shape: the dtype and shape of the leaf.
      sha256: the digest of the leaf's bytes; for a PRNG key, of the bytes of the key data.
      impl: the PRNG implementation of a key; missing for other leaves.
    """

    dtype: str
    shape: list[int]
    sha256: str
    impl: NotRequired[str]


class HostArray(NamedTuple):
    """Holds a copy of one leaf in host memory, independent of the leaf's buffers.

    Attributes:
      dtype, shape: the dtype and shape of the leaf.
      impl: the PRNG implementation of a key; None for other leaves.
      data: the values; for a PRNG key, the key data.
    """

    dtype: str
    shape: tuple[int, ...]
    impl: str | None
    data: np.ndarray


def by_name(tree: PyTree, prefix: str = "") -> dict[str, Leaf]:
    """Returns the leaves of a pytree by path, such as ".params.generator['Dense_0']['bias']".

    Args:
      tree: a state or a part of one.
      prefix: the path of that part.

    Raises:
      TypeError: If a leaf is not an array, or has a dtype that JAX would convert.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {prefix + jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    for name, leaf in named.items():
        is_array = hasattr(leaf, "dtype") and hasattr(leaf, "shape")
        checks.require(is_array, name or "like", "an array", checks.show(leaf), error=TypeError)
        expected, advice = "of a dtype that JAX keeps", "Convert it, or set jax_enable_x64."
        got = f"{leaf.dtype}"
        checks.require(_jax_keeps(leaf), name or "like", expected, got, advice, error=TypeError)
    return named


def check_values(leaves: dict[str, Leaf]) -> None:
    """Checks that this process can read the values of all leaves.

    Raises:
      TypeError: If a leaf is abstract or traced.
      ValueError: If a leaf was donated, or this process has no device with values of it.
    """
    for name, leaf in leaves.items():
        is_array = isinstance(leaf, jax.Array | np.ndarray | np.generic)
        kept, advice = (
            is_array and checks.is_concrete(leaf),
            "Save concrete arrays, outside of jit.",
        )
        got = type(leaf).__name__
        checks.require(kept, name, "an array with values", got, advice, error=TypeError)
        if isinstance(leaf, jax.Array):
            checks.not_donated(name, leaf, "Save")
            expected, got = "on devices of all processes", f"{leaf.sharding}"
            advice = "Use a mesh of all devices."
            checks.require(bool(leaf.addressable_shards), name, expected, got, advice)


def to_host(leaf: Leaf) -> HostArray:
    """Copies a leaf to host memory. All processes must call it for a leaf that they share."""
    dtype, shape = str(leaf.dtype), leaf.shape
    if is_key(leaf):
        impl, data = str(jax.random.key_impl(leaf)), jax.random.key_data(leaf)
        return HostArray(dtype, shape, impl, values(data))
    return HostArray(dtype, shape, None, values(leaf))


def is_shared(leaf: Leaf) -> bool:
    """Returns whether several processes hold different parts of a leaf."""
    if not isinstance(leaf, jax.Array):
        return False
    return not (leaf.is_fully_addressable or leaf.is_fully_replicated)


def num_devices(leaf: Leaf | None) -> int:
    """Returns the number of devices that hold a leaf; 0 if the leaf has no devices."""
    sharding = getattr(leaf, "sharding", None)
    return 0 if sharding is None else len(sharding.device_set)


def values(leaf: Leaf) -> np.ndarray:
    """Copies the values of a leaf to host memory. All processes must call it for a shared leaf."""
    if is_shared(leaf):
        return np.array(multihost_utils.process_allgather(leaf, tiled=True))
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        leaf = leaf.addressable_data(0)
    return np.array(leaf)


def is_key(leaf: Leaf) -> TypeGuard[jax.Array]:
    """Returns whether a leaf is a typed PRNG key."""
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def is_finite(array: HostArray) -> bool:
    """Returns whether no value is infinite or NaN."""
    is_float = jax.numpy.issubdtype(array.data.dtype, np.inexact)
    return not is_float or bool(np.isfinite(array.data).all())


def describe(array: HostArray) -> ArraySpec:
    """Returns the manifest's description of an array, including the digest."""
    sha256 = digest(array.data)
    spec = ArraySpec(dtype=array.dtype, shape=list(array.shape), sha256=sha256)
    if array.impl is not None:
        spec["impl"] = array.impl
    return spec


def digest(data: np.ndarray) -> str:
    """Returns the SHA-256 of an array's bytes, in row-major order."""
    return hashlib.sha256(np.ascontiguousarray(data).view(np.uint8).data).hexdigest()


def digest_members(data: dict[str, np.ndarray]) -> list[str]:
    """Returns a digest of each member of a population, over all arrays in the order of names."""
    arrays = [np.ascontiguousarray(data[name]) for name in sorted(data)]
    digests = [hashlib.sha256() for _ in arrays[0]]
    for array, (i, member) in itertools.product(arrays, enumerate(digests)):
        member.update(array[i : i + 1].view(np.uint8).data)
    return [member.hexdigest() for member in digests]


def place(spec: ArraySpec, data: np.ndarray, like: Leaf, member: int | None) -> jax.Array:
    """Moves an array, or one member of the array, to the devices of `like`."""
    data = data if member is None else data[member]
    sharding = getattr(like, "sharding", None)
    if sharding is not None and not sharding.is_fully_addressable:
        # `device_put` would wait for the other processes, and hang if one of them failed.
        array = jax.make_array_from_callback(data.shape, sharding, data.__getitem__)
        return _as_key(spec, array)
    local = _as_key(spec, jax.numpy.asarray(data))
    if isinstance(like, jax.Array) and not like.committed:
        return local  # uncommitted, so that JAX may move it to the devices of other arrays
    return local if sharding is None else jax.device_put(local, sharding)


def _as_key(spec: ArraySpec, array: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(array, impl=spec["impl"]) if "impl" in spec else array


def empty(spec: ArraySpec) -> np.ndarray:
    """Returns an uninitialized array of the saved dtype and shape, to read into."""
    if "impl" in spec:
        key_data = jax.random.key_data(jax.random.key(0, impl=spec["impl"]))
        return np.empty((*spec["shape"], *key_data.shape), key_data.dtype)
    return np.empty(spec["shape"], jax.numpy.dtype(spec["dtype"]))


def as_text(dtype: object, shape: Sequence[int]) -> str:
    """Returns a dtype and a shape as text, such as "float32[3, 8]"."""
    return f"{dtype}{list(shape)}"


def _jax_keeps(leaf: Leaf) -> bool:
    """Returns whether JAX keeps the dtype of a leaf, so that the same array can be restored."""
    if is_key(leaf):
        return True
    if not any(jax.numpy.issubdtype(leaf.dtype, kind) for kind in (np.number, np.bool_)):
        return False
    return jax.dtypes.canonicalize_dtype(leaf.dtype) == leaf.dtype and np.dtype(leaf.dtype).isnative
