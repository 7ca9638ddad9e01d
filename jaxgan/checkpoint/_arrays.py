"""The arrays of a state by name, as a checkpoint holds them.

A leaf is stored with a digest of its bytes, so that what is read is known to be what was saved,
whoever wrote the files in between.
"""

import hashlib
import re
from typing import Any

import jax
import numpy as np

from jaxgan._internal import checks

_STEP = re.compile(r"\.[^.\[]*|\[[^\]]*\]")  # of a path

ArraySpec = dict[str, Any]
"""Of one leaf: "dtype", "shape", "sha256", and of PRNG keys "impl"."""


def by_name(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Every leaf of a pytree by its path, such as ".params.generator['Dense_0']['bias']"."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {prefix + jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    for name, leaf in named.items():
        if not hasattr(leaf, "dtype") or not hasattr(leaf, "shape"):
            raise TypeError(
                f"A state holds arrays only; {name or 'it'} is {checks.show(leaf)}, a "
                f"{type(leaf).__name__}. Make an array of it, or leave it out."
            )
        _check_dtype(name, leaf)
    return named


def check_values(named: dict[str, Any]) -> None:
    """Raises unless every leaf has values to save, here and now."""
    for name, leaf in named.items():
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic) or not checks.is_concrete(
            leaf
        ):
            raise TypeError(
                f"{name} is a {type(leaf).__name__}, which has no values. Save outside of jit, and "
                "a real state."
            )
        if isinstance(leaf, jax.Array) and leaf.is_deleted():
            raise ValueError(
                f"{name} was donated and is gone. Save the state that came out of that call."
            )
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            raise ValueError(
                f"A checkpoint is written by one process, which must see all of every array; "
                f"{name} is spread over {leaf.sharding}. Gather the state first."
            )


def to_host(leaf: Any) -> np.ndarray:
    """A copy in this machine's memory; of a PRNG key its data."""
    return np.array(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def describe(leaf: Any, host: np.ndarray) -> ArraySpec:
    """Dtype and shape of a leaf, how its key is made, and the digest of its bytes."""
    told = {"dtype": str(leaf.dtype), "shape": list(leaf.shape), "sha256": digest(host)}
    return told | ({"impl": str(jax.random.key_impl(leaf))} if is_key(leaf) else {})


def digest(host: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(host).view(np.uint8).data).hexdigest()


def choose(saved: dict[str, ArraySpec], at: str, where: str) -> dict[str, ArraySpec]:
    """The leaves of a part of a state; of all of it, if `at` is empty."""
    chosen = {
        k: v for k, v in saved.items() if not at or k == at or k.startswith((f"{at}.", f"{at}["))
    }
    if saved and not chosen:
        raise ValueError(f"{where} has nothing at {at!r}; choose {_nearby(saved, at)}.")
    return chosen


def check_same(
    saved: dict[str, ArraySpec], wanted: dict[str, Any], member: Any, where: str
) -> None:
    """Raises ValueError unless what is wanted is what was saved, by names, dtypes and shapes."""
    there = {k: as_text(v["dtype"], v["shape"]) for k, v in saved.items()}
    if member is not None:
        _check_member({k: v["shape"] for k, v in saved.items()}, member, where)
        there = {k: as_text(v["dtype"], v["shape"][1:]) for k, v in saved.items()}
    here = {k: as_text(v.dtype, v.shape) for k, v in wanted.items()}
    differing = [
        f"{name}: saved {there.get(name, 'nothing')}, wanted {here.get(name, 'nothing')}"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if differing:
        more = f"\n  and {len(differing) - 8} more" if len(differing) > 8 else ""
        raise ValueError(
            f"{where} was saved from another network, optimizer or PRNG. Make the state as it was "
            "made there. These leaves differ:\n  " + "\n  ".join(differing[:8]) + more
        )


def place(told: ArraySpec, host: np.ndarray, like: Any, member: Any) -> jax.Array:
    """Puts a leaf, or a member of it, where `like` says."""
    host = host if member is None else host[member]
    array = jax.numpy.asarray(host)
    if "impl" in told:
        array = jax.random.wrap_key_data(array, impl=told["impl"])
    if isinstance(like, jax.Array) and not like.committed:
        return array  # as free to follow other arrays to their devices as `like` is
    sharding = getattr(like, "sharding", None)
    return array if sharding is None else jax.device_put(array, sharding)


def empty(told: ArraySpec) -> np.ndarray:
    """What is read into: an array of the dtype and shape that were written."""
    if "impl" in told:
        one = jax.random.key_data(jax.random.key(0, impl=told["impl"]))
        return np.empty((*told["shape"], *one.shape), one.dtype)
    return np.empty(told["shape"], jax.numpy.dtype(told["dtype"]))


def as_text(dtype: Any, shape: Any) -> str:
    return f"{dtype}{list(shape)}"


def _check_member(shapes: dict[str, list[int]], member: int, where: str) -> None:
    sizes = {shape[0] if shape else None for shape in shapes.values()}
    if len(sizes) != 1 or None in sizes:
        raise ValueError(f"{where} is of one GAN, and no population; leave out member={member}.")
    size = sizes.pop() or 0
    if not 0 <= member < size:
        raise IndexError(
            f"{where} has {size} members, and member must be below that; got {member}."
        )


def _check_dtype(name: str, leaf: Any) -> None:
    """Refuses what JAX, as it is set, would turn into other values: they could not come back."""
    if is_key(leaf):
        return
    numbers = any(jax.numpy.issubdtype(leaf.dtype, kind) for kind in (np.number, np.bool_))
    kept = jax.dtypes.canonicalize_dtype(leaf.dtype) if numbers else None
    if kept != leaf.dtype or not np.dtype(leaf.dtype).isnative:
        raise TypeError(
            f"{name or 'it'} is {leaf.dtype}, of which JAX makes {kept or 'nothing'}. Convert it, "
            "or set jax_enable_x64 for 64 bits."
        )


def _nearby(saved: dict[str, ArraySpec], at: str) -> str:
    """What there is one step further, as far as the path `at` is right."""
    steps, wanted = [_STEP.findall(name) for name in saved], _STEP.findall(at)
    right = lambda depth: any(one[:depth] == wanted[:depth] for one in steps)
    depth = max(filter(right, range(len(wanted) + 1)))
    there = sorted({"".join(one[: depth + 1]) for one in steps if one[:depth] == wanted[:depth]})
    more = f" or {len(there) - 8} more" if len(there) > 8 else ""
    return ", ".join(there[:8]) + more
