"""What every metric asks of its input, and distances in blocks, so that memory stays small."""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks

_BLOCK_BYTES = 2**27  # of one block of distances
_LARGEST = 1e45  # more than float32 holds; the cube of a product of two still fits into float64


def as_features(name: str, features: ArrayLike, *, at_least: int = 1) -> np.ndarray:
    """Checks features and returns them as float64.

    Args:
      name: what to call them in an error.
      features: floats, `[num, dims]`.
      at_least: how many the metric needs.

    Returns:
      float64 `[num, dims]`, on the host.

    Raises:
      TypeError: they are not floats.
      ValueError: they are not `[num, dims]`, too few, not finite, or beyond 1e45.

    Example:
      >>> from jaxgan.evaluation._arrays import as_features
      >>> as_features("real", [[0.0, 1.0]], at_least=2)
      Traceback (most recent call last):
      ...
      ValueError: real has 1 row; this metric needs at least 2.
    """
    try:
        array = np.asarray(features)
    except ValueError as error:  # lists of lists of several lengths
        raise TypeError(
            f"{name} must be floats [num, dims]; got {checks.show(features)}."
        ) from error
    if not jnp.issubdtype(array.dtype, np.floating):  # which knows bfloat16 too
        got = checks.show(features) if array.dtype.kind in "OUS" else array.dtype
        raise TypeError(f"{name} must be floats [num, dims]; got {got}.{_advice(array)}")
    array = array.astype(np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name} must be [num, dims]; got {array.shape}.")
    if len(array) < at_least:
        rows = "1 row" if len(array) == 1 else f"{len(array)} rows"
        raise ValueError(f"{name} has {rows}; this metric needs at least {at_least}.")
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{name} must be finite; {(~finite).sum()} of {len(array)} rows hold NaN or infinity, "
            f"the first is row {int(np.argmin(finite))}. Are the samples finite?"
        )
    if (largest := float(np.abs(array).max(initial=0.0))) > _LARGEST:
        raise ValueError(f"{name} must be at most {_LARGEST:g} in magnitude; got {largest:g}.")
    return array


def as_pair(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    at_least: int = 1,
    names: tuple[str, str] = ("real", "fake"),
) -> tuple[np.ndarray, np.ndarray]:
    """Checks features of two sets, which must have as many dimensions, as `as_features` does.

    Args:
      real, fake: floats, `[num_real, dims]` and `[num_fake, dims]`.
      at_least: how many of each the metric needs.
      names: what to call them in an error.

    Returns:
      Both in float64.

    Raises:
      TypeError, ValueError: as `as_features`; or their dimensions differ.

    Example:
      >>> from jaxgan.evaluation._arrays import as_pair
      >>> as_pair([[0.0, 1.0]], [[0.0]])
      Traceback (most recent call last):
      ...
      ValueError: real and fake must have as many dimensions; got 2 and 1. Are both from one space?
    """
    a = as_features(names[0], real, at_least=at_least)
    b = as_features(names[1], fake, at_least=at_least)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have as many dimensions; got {a.shape[1]} and "
            f"{b.shape[1]}. Are both from one space?"
        )
    return a, b


def blocks(num: int, width: int) -> Iterator[slice]:
    """Cuts rows into blocks of at most 128 MiB of float64, or one row.

    Args:
      num: how many rows.
      width: values in a row.

    Yields:
      Which rows are in a block.

    Example:
      >>> from jaxgan.evaluation._arrays import blocks
      >>> list(blocks(3, 2**23))
      [slice(0, 2, None), slice(2, 3, None)]
    """
    step = max(1, _BLOCK_BYTES // (8 * width))
    for start in range(0, num, step):
        yield slice(start, min(start + step, num))


def middle(points: np.ndarray) -> np.ndarray:
    """Finds a point in the midst of others: by coordinate the median, of at most about 2,000 rows.

    One far-off row, as of a sample that exploded, would drag the mean along, and with it the
    precision of every distance that is computed from there.

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


def squared_distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    r"""Yields $\|a_i - b_j\|^2$ for all pairs, a block of rows at a time.

    They are computed as $\|a_i\|^2 + \|b_j\|^2 - 2 a_i \cdot b_j$ from the middle of `b`, in
    float64, and are off by about $10^{-15}$ of the two squared norms. What would be negative is 0.

    Args:
      a, b: float64, `[num_a, dims]` and `[num_b, dims]`.

    Yields:
      Which rows of `a`, and float64 `[rows, num_b]`, which the caller may overwrite. A block has
      at most 128 MiB, or one row.

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
    a: np.ndarray, b: np.ndarray, k: int = 1, *, leave_out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the k-th nearest of `b` to each of `a`; a point is no neighbour of itself.

    The distance to it is computed anew, as the sum of squared differences: so a copy is at 0, and
    what is equally far is told as equally far.

    Args:
      a, b: float64, `[num_a, dims]` and `[num_b, dims]`; if they are the same object, row i of `b`
        is left out for row i of `a`.
      k: which neighbour, from 1.
      leave_out: for each of `a` the row of `b` that is left out, `[num_a]`.

    Returns:
      Squared distances, float64 `[num_a]`, and which of `b`, `[num_a]`.

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


def _advice(array: np.ndarray) -> str:
    if array.ndim == 4:
        return " Images become features by evaluation.embed."
    return " Convert them by astype(float)." if array.dtype.kind in "biu" else ""


def _squared_differences(a: np.ndarray, b: np.ndarray, indices: np.ndarray) -> np.ndarray:
    distances = np.empty(len(a))
    for rows in blocks(len(a), a.shape[1]):
        distances[rows] = ((a[rows] - b[indices[rows]]) ** 2).sum(axis=1)
    return distances
