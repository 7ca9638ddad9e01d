"""Selects the images of a step by random permutations, computed per index without sorting."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan._internal.shapes import Int32, Key, UInt32

# The exact distribution of the orders of 2 to 7 indices differs from the uniform one by at most
# 4e-4 with 16 rounds and 2e-7 with 32 (total variation). An index stays in place in all rounds with
# probability 2^-32.
_ROUNDS = 32

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
    key: Key[Array, ""],
    step: Int32[Array, ""],
    *,
    num_images: int,
    batch_size: int,
    shares: int = 1,
) -> Int32[Array, " batch_size"]:
    """Returns the result of `batch_indices`, without checking the arguments.

    The indices of `shares` equal parts of the batch alternate.
    """
    epoch, offset = jnp.divmod(step, jnp.int32(num_images // batch_size))
    # Under vmap, keys such as rbg would draw other numbers. A threefry key has only two words.
    words = jnp.resize(jax.random.key_data(key)[-2:], (2,))
    key = jax.random.wrap_key_data(words, impl="threefry2x32")
    epoch_key = jax.random.fold_in(jax.random.fold_in(key, _SHUFFLE), epoch)
    first = offset * batch_size
    rows = jnp.arange(batch_size, dtype=jnp.int32)
    if shares > 1:  # a constant, because a transpose would move indices between devices
        rows = jnp.asarray(np.arange(batch_size, dtype=np.int32).reshape(shares, -1).T.ravel())
    indices = first + rows
    return _permute(epoch_key, indices.astype(jnp.uint32), num_images)


def permute(key: Array, indices: ArrayLike, num: int) -> Array:
    r"""Maps each index by a random permutation of `num` indices.

    Uses the swap-or-not shuffle. A round with the random numbers $k$ and $f$ pairs each index $i$
    with its partner $(k - i) \bmod n$, where $n$ is `num`. It swaps the two indices if the random
    bit $f(\max(i, (k - i) \bmod n))$ is 1. Both indices of a pair compute the same bit, so every
    round is a permutation.

    `jax.random.permutation` sorts, which takes 15 times as long on a CPU for 60,000 indices (see
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
      Hoang, Morris and Rogaway, An Enciphering Scheme Based on a Card Shuffle, 2012,
      https://arxiv.org/abs/1208.1176
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
    return jnp.where(valid, _permute(key, indices.astype(jnp.uint32), int(num)), jnp.int32(-1))


def _permute(
    key: Key[Array, ""], index: UInt32[Array, " *shape"], num: int
) -> Int32[Array, " *shape"]:
    """Returns the result of `permute`, without checking the arguments."""
    size = np.uint32(num)
    numbers = jax.random.bits(key, (2, _ROUNDS), jnp.uint32)
    # Unrolled, because XLA fuses the rounds into one kernel.
    for shift, round_key in zip(numbers[0] % size, numbers[1], strict=True):
        wrap = jnp.where(index <= shift, np.uint32(0), size)
        partner = shift + wrap - index
        swap = _mix(jnp.maximum(index, partner) ^ round_key) & np.uint32(1)
        index = jnp.where(swap == 1, partner, index)
    return index.astype(jnp.int32)


def _mix(x: UInt32[Array, " *shape"]) -> UInt32[Array, " *shape"]:
    """Mixes every bit into all bits (https://github.com/skeeto/hash-prospector, public domain)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
