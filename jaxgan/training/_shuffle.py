"""Which images a step sees: permutations that are computed place by place, without sorting."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxgan._internal import checks

# With 8 the orders of 4 images were not equally likely (20 standard deviations of chi-squared in
# 200,000 draws); with 12 those of 2 to 7 images were.
_ROUNDS = 12

# Folded into the run's key for shuffling. No step has this number, so no step's key is reused.
_SHUFFLE = 2**32 - 1


def batch_indices(
    key: jax.Array, step: jax.Array | int, *, num_images: int, batch_size: int
) -> jax.Array:
    """Which images a step sees: a pure function of (key, step).

    Steps are counted in epochs of `num_images // batch_size`. Each epoch is a permutation of its
    own, of which a step takes its part.

    Args:
      key: the run's key, `state.key`.
      step: integer scalar, the number of the step, at least 0.
      num_images: how many images there are.
      batch_size: images an update, in [1, num_images].

    Returns:
      int32 indices, `[batch_size]`.

    Raises:
      TypeError: `key` is no typed PRNG key, or a number is not whole.
      ValueError: `batch_size` is not in [1, num_images], or `step` is negative.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan.training import batch_indices
      >>> key = jax.random.key(0)
      >>> epoch = [batch_indices(key, step, num_images=6, batch_size=2) for step in range(3)]
      >>> sorted(jnp.concatenate(epoch).tolist())
      [0, 1, 2, 3, 4, 5]
    """
    checks.key(key)
    num_steps = steps_per_epoch(num_images, batch_size)
    if checks.is_concrete(step):
        checks.integer(
            "step", step.item() if isinstance(step, jax.Array) and step.ndim == 0 else step, 0
        )
    elif jnp.shape(step) != () or not jnp.issubdtype(jnp.result_type(step), jnp.integer):
        raise TypeError(f"step must be an integer scalar; got {checks.show(step)}.")
    epoch, offset = jnp.divmod(jnp.asarray(step, jnp.int32), jnp.int32(num_steps))
    epoch_key = jax.random.fold_in(jax.random.fold_in(key, _SHUFFLE), epoch)
    places = offset * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    return _permute(epoch_key, places.astype(jnp.uint32), num_images)


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """How many whole batches there are.

    Args:
      num_images: how many images there are.
      batch_size: images an update.

    Raises:
      TypeError: a number is not whole.
      ValueError: `batch_size` is not in [1, num_images].
    """
    checks.integer("num_images", num_images)
    checks.integer("batch_size", batch_size, -(2**31))
    if not 1 <= batch_size <= num_images:
        raise ValueError(
            f"batch_size must be from 1 to the number of images, {num_images}; got {batch_size}."
        )
    return num_images // batch_size


def permute(key: jax.Array, places: ArrayLike, num: int) -> jax.Array:
    r"""Where a random permutation of `num` things sends each of `places`.

    A Feistel network: a place is cut into a left and a right half of its bits, and a round maps
    $(l, r) \mapsto (r, l \oplus f_k(r))$, which can be undone whatever $f_k$ is, so that the whole
    is a permutation of the $4^h > n$ places with $h$ bits in a half. What falls outside of the
    first $n$ is permuted again until it falls inside, which makes it a permutation of those.

    `jax.random.permutation` sorts, which takes a CPU 40 times as long for 60,000 (see
    docs/performance.md), and gives all of them or none.

    Args:
      key: typed PRNG key; the permutation is a function of it alone.
      places: integers in [0, num), of any shape.
      num: how many things there are, from 1 to 2^31 - 1.

    Returns:
      int32, of the shape of `places`: for different places different values in [0, num). Inside of
      jit, where values cannot be refused, -1 for what is no place.

    Raises:
      TypeError: `key` is no typed PRNG key, or a place or `num` no integer.
      ValueError: `num` is out of range, or, outside of jit, a place is.

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
    if not isinstance(places, jax.Array):
        places = np.asarray(places)
    if not jnp.issubdtype(places.dtype, jnp.integer):
        raise TypeError(f"places must be integers; got {places.dtype} of shape {places.shape}.")
    if checks.is_concrete(places):
        values = np.asarray(places)
        if (wrong := values[(values < 0) | (values >= num)]).size:
            raise ValueError(f"places must be in [0, num), here [0, {num}); got {wrong[0]}.")
    places = jnp.asarray(places)
    there = places >= 0
    if num <= jnp.iinfo(places.dtype).max:
        there &= places < num
    # A walk that begins outside need never come in.
    inside = jnp.where(there, places.astype(jnp.uint32), jnp.uint32(0))
    return jnp.where(there, _permute(key, inside, int(num)), jnp.int32(-1))


def _permute(key: jax.Array, place: jax.Array, num: int) -> jax.Array:
    """The same for places, uint32, that are known to be in range."""
    bits = -(-num.bit_length() // 2)
    half, mask = np.uint32(bits), np.uint32(2**bits - 1)
    coin, *round_keys = jax.random.bits(key, (1 + _ROUNDS,), jnp.uint32)

    def once(place: jax.Array) -> jax.Array:
        left, right = place >> half, place & mask
        for round_key in round_keys:
            left, right = right, left ^ (_mix(right ^ round_key) & mask)
        return (left << half) | right

    def again(place: jax.Array) -> jax.Array:
        return jnp.where(place < num, place, once(place))

    # A Feistel network makes even permutations only; exchanging the first two places or not, as a
    # coin falls, makes as many odd ones.
    if num > 1:
        place = jnp.where(place < 2, place ^ (coin & np.uint32(1)), place)
    place = jax.lax.while_loop(lambda place: jnp.any(place >= num), again, once(place))
    return place.astype(jnp.int32)


def _mix(x: jax.Array) -> jax.Array:
    """Spreads every bit over all (https://github.com/skeeto/hash-prospector, public domain)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
