"""Which images a step sees: random permutations, computed index by index without sorting."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan._internal.shapes import Int32, Key, UInt32

# With 8 the orders of 4 images were not equally likely (20 standard deviations of chi-squared in
# 200,000 draws); with 12 those of 2 to 7 images were.
_ROUNDS = 12

# Folded into the run's key for shuffling. No step has this number, so no step's key is reused.
_SHUFFLE = 2**32 - 1


def batch_indices(key: Array, step: Array | int, *, num_images: int, batch_size: int) -> Array:
    """Returns the indices of the images of a step, a pure function of (key, step).

    An epoch has `num_images // batch_size` steps. Each epoch has another permutation of the
    images, and each of its steps takes the next part of the permutation.

    Args:
      key: the run's key, `state.key`.
      step: integer scalar, the number of the step, at least 0.
      num_images: the number of images.
      batch_size: images an update, in [1, num_images].

    Returns:
      int32 indices, `[batch_size]`.

    Raises:
      TypeError: If `key` is no typed PRNG key, or a number is no integer.
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
      batch_size: images an update.

    Raises:
      TypeError: If a number is no integer.
      ValueError: If `batch_size` is not in [1, num_images].
    """
    checks.integer("num_images", num_images)
    checks.integer("batch_size", batch_size, -(2**31))
    expected = f"from 1 to the number of images, {num_images}"
    checks.require(1 <= batch_size <= num_images, "batch_size", expected, f"{batch_size}")
    return num_images // batch_size


def check_step(step: Array | int) -> None:
    """Checks the number of a step, and the value of a concrete one."""
    if checks.is_concrete(step):
        is_scalar = isinstance(step, Array) and step.ndim == 0
        checks.integer("step", np.asarray(step).item() if is_scalar else step, 0)
    else:
        fits = jnp.shape(step) == () and jnp.issubdtype(jnp.result_type(step), jnp.integer)
        checks.require(fits, "step", "an integer scalar", checks.show(step), error=TypeError)


def indices_of_step(
    key: Key[Array, ""], step: Int32[Array, ""], *, num_images: int, batch_size: int
) -> Int32[Array, " batch_size"]:
    """Returns the same as `batch_indices`, for arguments that are known to be valid."""
    epoch, offset = jnp.divmod(step, jnp.int32(num_images // batch_size))
    epoch_key = jax.random.fold_in(jax.random.fold_in(key, _SHUFFLE), epoch)
    indices = offset * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    return _permute(epoch_key, indices.astype(jnp.uint32), num_images)


def permute(key: Array, indices: ArrayLike, num: int) -> Array:
    r"""Maps each index by a random permutation of `num` indices.

    A Feistel network: an index is cut into a left and a right half of its bits, and a round maps
    $(l, r) \mapsto (r, l \oplus f_k(r))$, which can be undone whatever $f_k$ is, so that the whole
    is a permutation of the $4^h > n$ indices with $h$ bits in a half. An index that falls outside
    the first $n$ is mapped again until it falls inside, which makes a permutation of those.

    `jax.random.permutation` sorts, which takes a CPU 40 times as long for 60,000 indices (see
    docs/performance.md), and it returns all of them or none.

    Args:
      key: typed PRNG key; the permutation is a function of it alone.
      indices: integers in [0, num), of any shape.
      num: the number of indices, from 1 to 2^31 - 1.

    Returns:
      int32, of the shape of `indices`: different values in [0, num) for different indices. Inside
      of jit, which cannot raise, an index out of range becomes -1.

    Raises:
      TypeError: If `key` is no typed PRNG key, or `indices` or `num` are no integers.
      ValueError: If `num` is out of range, or, outside of jit, an index is.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan.training import permute
      >>> order = permute(jax.random.key(0), jnp.arange(6), 6)
      >>> sorted(order.tolist())
      [0, 1, 2, 3, 4, 5]

    References:
      Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002,
      https://eprint.iacr.org/2001/012 (walking back into the domain)
    """
    checks.key(key)
    checks.integer("num", num)
    if checks.is_concrete(indices):  # in numpy, because JAX would wrap integers of 64 bits
        values = checks.numpy_array("indices", indices, jnp.integer)
        wrong = values[(values < 0) | (values >= num)]
        checks.require(not wrong.size, "indices", f"in [0, num), here [0, {num})", str(wrong[:1]))
    indices = checks.array("indices", indices, jnp.integer, None)
    valid = indices >= 0
    if num <= jnp.iinfo(indices.dtype).max:
        valid &= indices < num
    # The walk of an index that is out of range may not end.
    in_range = jnp.where(valid, indices.astype(jnp.uint32), jnp.uint32(0))
    return jnp.where(valid, _permute(key, in_range, int(num)), jnp.int32(-1))


def _permute(
    key: Key[Array, ""], index: UInt32[Array, " *shape"], num: int
) -> Int32[Array, " *shape"]:
    """Returns the same as `permute`, for indices that are known to be in range."""
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

    # A Feistel network makes even permutations only. Exchanging the first two indices with
    # probability one half makes as many odd ones.
    if num > 1:
        index = jnp.where(index < 2, index ^ (coin & np.uint32(1)), index)
    index = jax.lax.while_loop(lambda index: jnp.any(index >= num), again, once(index))
    return index.astype(jnp.int32)


def _mix(x: UInt32[Array, " *shape"]) -> UInt32[Array, " *shape"]:
    """Spreads every bit over all (https://github.com/skeeto/hash-prospector, public domain)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
