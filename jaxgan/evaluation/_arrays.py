"""Checks of features, and distances between features in blocks of bounded memory."""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan._internal.shapes import Float64, Int

_BLOCK_BYTES = 2**27  # of one block of distances
# Beyond float32. The cubed product of two such values neither overflows nor underflows in float64.
_LARGEST, _SMALLEST = 1e45, 1e-45


def as_features(
    name: str, features: ArrayLike, *, at_least: int = 1, setting: str = ""
) -> np.ndarray:
    """Checks features and returns them as float64.

    Args:
      name: the argument's name in an error.
      features: floats, `[num, dims]`.
      at_least: the smallest number of rows.
      setting: the reason for that number in an error, such as "with k=3".

    Returns:
      float64 `[num, dims]`, on the host.

    Raises:
      TypeError: If `features` are not floats.
      ValueError: If they are not `[num, dims]`, have too few rows, are not finite, exceed 1e45, or
        are all below 1e-45 but not 0.

    Example:
      >>> from jaxgan.evaluation._arrays import as_features
      >>> as_features("real", [[0.0, 1.0]], at_least=2, setting="with k=1")
      Traceback (most recent call last):
      ...
      ValueError: real must be at least 2 rows with k=1; got 1 row.
    """
    given = checks.numpy_array(name, features)
    is_float = jnp.issubdtype(given.dtype, jnp.floating)  # numpy's rejects bfloat16
    got = f"{given.dtype} of shape {given.shape}"
    checks.require(is_float, name, "float [num, dims]", got, _advice(given), error=TypeError)
    x = checks.numpy_array(name, given.astype(np.float64), jnp.floating, "[num, dims]")
    expected = f"at least {at_least} rows {setting}".rstrip()
    rows = "1 row" if len(x) == 1 else f"{len(x)} rows"
    checks.require(len(x) >= at_least, name, expected, rows)
    checks.finite(name, x)
    largest = float(np.abs(x).max())
    checks.require(largest <= _LARGEST, name, f"at most {_LARGEST:g} in magnitude", f"{largest:g}")
    fits, expected = largest == 0 or largest >= _SMALLEST, f"0 or at least {_SMALLEST:g}"
    checks.require(fits, f"The largest value of {name}", expected, f"{largest:g}", "Rescale them.")
    return x


def as_pair(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    at_least: tuple[int, int] = (1, 1),
    setting: str = "",
    equal: bool = False,
    names: tuple[str, str] = ("real", "fake"),
) -> tuple[np.ndarray, np.ndarray]:
    """Checks two sets of features of the same dimensions.

    Args:
      real, fake: floats, `[num_real, dims]` and `[num_fake, dims]`.
      at_least: the smallest number of rows of each.
      setting: the reason for these numbers in an error.
      equal: whether both must have the same number of rows.
      names: the arguments' names in an error.

    Returns:
      Both in float64.

    Raises:
      TypeError, ValueError: As `as_features`, or if the dimensions or the numbers of rows differ.

    Example:
      >>> from jaxgan.evaluation._arrays import as_pair
      >>> as_pair([[0.0, 1.0]], [[0.0]])
      Traceback (most recent call last):
      ...
      ValueError: real and fake must be of equal dimensions; got 2 and 1. Use one feature function.
    """
    a = as_features(names[0], real, at_least=at_least[0], setting=setting)
    b = as_features(names[1], fake, at_least=at_least[1], setting=setting)
    both = " and ".join(names)
    check_dims(both, a, b)
    same = len(a) == len(b) or not equal
    checks.require(same, both, "of equal numbers of rows", f"{len(a)} and {len(b)}")
    return a, b


def check_dims(names: str, a: np.ndarray, b: np.ndarray) -> None:
    """Checks that the last axes of two arrays are equal.

    Args:
      names: the arguments' names in an error.
      a, b: arrays whose last axis is the dimensions of features.

    Raises:
      ValueError: If the axes differ.
    """
    dims = a.shape[-1], b.shape[-1]
    got, advice = f"{dims[0]} and {dims[1]}", "Use one feature function."
    checks.require(dims[0] == dims[1], names, "of equal dimensions", got, advice)


def blocks(num: int, width: int) -> Iterator[slice]:
    """Cuts rows into blocks of at most 128 MiB of float64, or one row.

    Args:
      num: the number of rows.
      width: the number of values in a row.

    Yields:
      The rows of each block.

    Example:
      >>> from jaxgan.evaluation._arrays import blocks
      >>> list(blocks(3, 2**23))
      [slice(0, 2, None), slice(2, 3, None)]
    """
    step = max(1, _BLOCK_BYTES // (8 * width))
    for start in range(0, num, step):
        yield slice(start, min(start + step, num))


def middle(points: Float64[np.ndarray, " num dims"]) -> Float64[np.ndarray, " dims"]:
    """Computes the median of each coordinate, of at most about 2,000 rows.

    Distances are computed from this point. One far-off row, such as an exploded sample, would move
    the mean, and so reduce the precision of every distance.

    Args:
      points: float64, `[num, dims]`.

    Returns:
      float64 `[dims]`.

    Example:
      >>> import numpy as np
      >>> from jaxgan.evaluation._arrays import middle
      >>> print(middle(np.array([[0.0], [1.0], [1e30]])))
      [1.]
    """
    return np.median(points[:: max(1, len(points) // 1000)], axis=0)


def squared_distances(
    a: Float64[np.ndarray, " num_a dims"], b: Float64[np.ndarray, " num_b dims"]
) -> Iterator[tuple[slice, np.ndarray]]:
    r"""Yields $\|a_i - b_j\|^2$ for all pairs, a block of rows at a time.

    The formula is $\|a_i\|^2 + \|b_j\|^2 - 2 a_i \cdot b_j$ from the middle of `b`, in float64. The
    error is about $10^{-15}$ of the two squared norms. Negative results become 0.

    Args:
      a, b: float64, `[num_a, dims]` and `[num_b, dims]`.

    Yields:
      The rows of `a`, and float64 `[rows, num_b]`, which the caller may overwrite. A block has at
      most 128 MiB, or one row.

    Example:
      >>> import numpy as np
      >>> from jaxgan.evaluation._arrays import squared_distances
      >>> for rows, block in squared_distances(np.array([[0.0], [3.0]]), np.array([[1.0]])):
      ...     print(rows, block)
      slice(0, 2, None) [[1.]
       [4.]]
    """
    center = middle(b)
    a, b = a - center, b - center
    norms_a, norms_b = (a * a).sum(axis=1), (b * b).sum(axis=1)
    for rows in blocks(len(a), len(b)):
        block = a[rows] @ b.T
        block *= -2.0
        block += norms_a[rows, None]
        block += norms_b
        yield rows, np.maximum(block, 0.0, out=block)


def nearest(
    a: Float64[np.ndarray, " num_a dims"],
    b: Float64[np.ndarray, " num_b dims"],
    k: int = 1,
    *,
    leave_out: Int[np.ndarray, " num_a"] | None = None,
) -> tuple[Float64[np.ndarray, " num_a"], Int[np.ndarray, " num_a"]]:
    """Finds the k-th nearest row of `b` to each row of `a`.

    The distance to that row is the sum of squared differences. So copies have distance 0, and
    points at equal distances have equal results.

    Args:
      a, b: float64, `[num_a, dims]` and `[num_b, dims]`. If they are the same object, row i of `b`
        is left out for row i of `a`.
      k: the rank of the neighbor, at least 1.
      leave_out: for each row of `a` the row of `b` to leave out, integers `[num_a]`.

    Returns:
      Squared distances, float64 `[num_a]`, and rows of `b`, int64 `[num_a]`.

    Example:
      >>> import numpy as np
      >>> from jaxgan.evaluation._arrays import nearest
      >>> points = np.array([[0.0], [1.0], [3.0]])
      >>> print(*nearest(points, points))
      [1. 1. 4.] [1 0 1]
    """
    leave_out = np.arange(len(a)) if a is b else leave_out
    indices = np.empty(len(a), np.int64)
    for rows, block in squared_distances(a, b):
        if leave_out is not None:
            block[np.arange(len(block)), leave_out[rows]] = math.inf
        places = block.argmin(axis=1) if k == 1 else block.argpartition(k - 1, axis=1)[:, k - 1]
        indices[rows] = places
    return _squared_differences(a, b, indices), indices


def _advice(given: np.ndarray) -> str:
    if given.ndim == 4:
        return "Compute features of images by evaluation.embed."
    return "Convert them by astype(float)." if given.dtype.kind in "biu" else ""


def _squared_differences(
    a: Float64[np.ndarray, " num_a dims"],
    b: Float64[np.ndarray, " num_b dims"],
    indices: Int[np.ndarray, " num_a"],
) -> Float64[np.ndarray, " num_a"]:
    distances = np.empty(len(a))
    for rows in blocks(len(a), a.shape[1]):
        distances[rows] = ((a[rows] - b[indices[rows]]) ** 2).sum(axis=1)
    return distances
