"""Selects the images of a step by random permutations, computed per index without sorting."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan._internal.shapes import Int32, Key, UInt32

# With 8 rounds, the orders of 4 images were not equally likely (20 standard deviations of
# chi-squared in 200,000 draws). With 12 rounds, the orders of 2 to 7 images were equally likely.
_ROUNDS = 12

# Folded into the run's key for shuffling. No step has this number, so no step's key is reused.
_SHUFFLE = 2**32 - 1


def batch_indices(key: Array, step: Array | int, *, num_images: int, batch_size: int) -> Array:
    """Returns the indices of the images of a step, a pure function of (key, step).

    An epoch has `num_images // batch_size` steps. Each epoch uses a new permutation of the images,
    and each step of the epoch takes the next part of the permutation.

    Args:
      key: the run's PRNG key, `state.key`.
      step: integer scalar, the number of the step, at least 0.
      num_images: the number of images.
      batch_size: images per update, in [1, num_images].

    Returns:
      int32 indices, `[batch_size]`.

    Raises:
      TypeError: If `key` is not a typed PRNG key, or a number is not an integer.
      ValueError: If `batch_size` is not in [1, num_images], or `step` is negative.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan.training import batch_indices
      >>> key = jax.random.key(0)
      >>> epoch = [batch_indices(key, step, num_images=6, batch_size=2) for step in range(3)]
      >>> sorted(jnp.concatenate(epoch).tolist())
      [0, 1, 2, 3, 4, 5]
    """
    checks.key(key)
    steps_per_epoch(num_images, batch_size)
    check_step(step)
    step = jnp.asarray(step, jnp.int32)
    return indices_of_step(key, step, num_images=num_images, batch_size=batch_size)


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Returns the number of whole batches in an epoch.

    Args:
      num_images: the number of images.
      batch_size: images per update.

    Raises:
      TypeError: If a number is not an integer.
      ValueError: If `batch_size` is not in [1, num_images].
    """
    checks.integer("num_images", num_images)
    checks.integer("batch_size", batch_size, -(2**31))
    expected = f"from 1 to the number of images, {num_images}"
    checks.require(1 <= batch_size <= num_images, "batch_size", expected, f"{batch_size}")
    return num_images // batch_size


def check_step(step: Array | int) -> None:
    """Checks that a step is an integer scalar and, if concrete, at least 0."""
    if checks.is_concrete(step):
        is_scalar = isinstance(step, Array) and step.ndim == 0
        checks.integer("step", np.asarray(step).item() if is_scalar else step, 0)
    else:
        fits = jnp.shape(step) == () and jnp.issubdtype(jnp.result_type(step), jnp.integer)
        checks.require(fits, "step", "an integer scalar", checks.show(step), error=TypeError)


def indices_of_step(
    key: Key[Array, ""], step: Int32[Array, ""], *, num_images: int, batch_size: int
) -> Int32[Array, " batch_size"]:
    """Returns the result of `batch_indices`, without checking the arguments."""
    epoch, offset = jnp.divmod(step, jnp.int32(num_images // batch_size))
    epoch_key = jax.random.fold_in(jax.random.fold_in(key, _SHUFFLE), epoch)
    indices = offset * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    return _permute(epoch_key, indices.astype(jnp.uint32), num_images)


def permute(key: Array, indices: ArrayLike, num: int) -> Array:
    r"""Maps each index by a random permutation of `num` indices.

    Uses a Feistel network, which splits an index into a left and a right half of $h$ bits. A round
    maps $(l, r) \mapsto (r, l \oplus f_k(r))$. Every round is invertible for any $f_k$, so the
    rounds permute all $4^h$ indices of $2 h$ bits. Here $4^h > n$, where $n$ is `num`. An index
    that maps outside the first $n$ is mapped again until it is inside. The result is a permutation
    of the first $n$ indices.

    `jax.random.permutation` sorts, which takes 40 times as long on a CPU for 60,000 indices (see
    docs/performance.md). It also cannot compute only a part of a permutation.

    Args:
      key: typed PRNG key; it determines the permutation.
      indices: integers in [0, num), of any shape.
      num: the number of indices, from 1 to 2^31 - 1.

    Returns:
      int32, of the shape of `indices`: different values in [0, num) for different indices. Inside
      of jit, which cannot raise, an index out of range gives -1.

    Raises:
      TypeError: If `key` is not a typed PRNG key, or `indices` or `num` are not integers.
      ValueError: If `num` is out of range or, outside of jit, an index is out of range.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan.training import permute
      >>> order = permute(jax.random.key(0), jnp.arange(6), 6)
      >>> sorted(order.tolist())
      [0, 1, 2, 3, 4, 5]

    References:
      Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002,
      https://eprint.iacr.org/2001/012 (cycle walking)
    """
    checks.key(key)
    checks.integer("num", num)
    if checks.is_concrete(indices):  # in numpy, because JAX would wrap 64-bit integers
        values = checks.numpy_array("indices", indices, jnp.integer)
        wrong = values[(values < 0) | (values >= num)]
        checks.require(not wrong.size, "indices", f"in [0, num), here [0, {num})", str(wrong[:1]))
    indices = checks.array("indices", indices, jnp.integer, None)
    valid = indices >= 0
    if num <= jnp.iinfo(indices.dtype).max:
        valid &= indices < num
    # For an index out of range, the loop in `_permute` may not end.
    in_range = jnp.where(valid, indices.astype(jnp.uint32), jnp.uint32(0))
    return jnp.where(valid, _permute(key, in_range, int(num)), jnp.int32(-1))


def _permute(
    key: Key[Array, ""], index: UInt32[Array, " *shape"], num: int
) -> Int32[Array, " *shape"]:
    """Returns the result of `permute`, without checking the arguments."""
    bits = -(-num.bit_length() // 2)
    half, mask = np.uint32(bits), np.uint32(2**bits - 1)
    coin, *round_keys = jax.random.bits(key, (1 + _ROUNDS,), jnp.uint32)

    def once(index: Array) -> Array:
        left, right = index >> half, index & mask
        for round_key in round_keys:
            left, right = right, left ^ (_mix(right ^ round_key) & mask)
        return (left << half) | right

    def again(index: Array) -> Array:
        return jnp.where(index < num, index, once(index))

    # A Feistel network gives only even permutations. Swapping the first two indices with
    # probability 1/2 makes odd permutations equally likely.
    if num > 1:
        index = jnp.where(index < 2, index ^ (coin & np.uint32(1)), index)
    index = jax.lax.while_loop(lambda index: jnp.any(index >= num), again, once(index))
    return index.astype(jnp.int32)


def _mix(x: UInt32[Array, " *shape"]) -> UInt32[Array, " *shape"]:
    """Mixes every bit into all bits (https://github.com/skeeto/hash-prospector, public domain)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
