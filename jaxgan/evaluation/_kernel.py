"""The kernel distance, an unbiased alternative to the Frechet distance."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan._internal.shapes import Float64
from jaxgan.evaluation._arrays import as_pair, blocks

_LEAST_SPREAD = 1e-6


class KernelDistance(NamedTuple):
    """Holds the result of `kernel_distance`.

    Attributes:
      value: the mean over blocks; may be negative if the sets hardly differ.
      standard_error: of that mean; NaN with a single block. With `subsets`, which overlap, it is
        the standard deviation over them, as other libraries report it.
      num_blocks: the number of blocks or subsets.
    """

    value: float
    standard_error: float
    num_blocks: int


def kernel_distance(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    block_size: int = 1000,
    subsets: int | None = None,
    seed: int = 0,
) -> KernelDistance:
    r"""Computes the squared maximum mean discrepancy with the kernel $(x \cdot y / d + 1)^3$.

    For a block of $n$ real and $n$ fake features,
    $$\frac{1}{n (n - 1)} \sum_{i \ne j} \left[k(x_i, x_j) + k(y_i, y_j)\right]
    - \frac{2}{n^2} \sum_{i, j} k(x_i, y_j).$$
    The estimate is unbiased at any size. With features of the Inception network it is called KID.

    By default, the shuffled sets are divided into disjoint blocks, and features after the last full
    block are not used. The blocks are independent, so their standard error is valid. Another `seed`
    or order of the rows gives other blocks, and changes the value by about its standard error.
    `subsets=100` draws random subsets of each set, as other libraries do; these subsets overlap.

    Args:
      real: floats `[num_real, dims]`.
      fake: floats `[num_fake, dims]`.
      block_size: $n$, at least 2 and at most the smaller set.
      subsets: the number of random subsets, in [1, 10,000]; None for disjoint blocks.
      seed: of the shuffling, at least 0.

    Returns:
      A `KernelDistance`. Memory is bounded for blocks of any size.

    Raises:
      TypeError: If the features are not floats.
      ValueError: If they are not `[num, dims]`, not finite, of different dimensions, or fewer than
        `block_size`; or if a number is out of range. Also if their standard deviation is below one
        millionth of their mean, because rounding would then hide the distance.

    Example:
      >>> import numpy as np
      >>> from jaxgan import evaluation
      >>> x, y = np.random.default_rng(0).normal(size=(2, 2000, 8))
      >>> same, far = evaluation.kernel_distance(x, y), evaluation.kernel_distance(x, y + 1)
      >>> abs(same.value) < 0.01, far.value > 1, far.num_blocks
      (True, True, 2)

    References:
      Binkowski et al., Demystifying MMD GANs, 2018, https://arxiv.org/abs/1801.01401
    """
    checks.integer("block_size", block_size, 2)
    checks.integer("seed", seed, 0)
    if subsets is not None:
        checks.integer("subsets", subsets, 1, 10_000)
    least, setting = (block_size, block_size), f"with block_size={block_size}"
    x, y = as_pair(real, fake, at_least=least, setting=setting)
    _check_offset(x, y)
    return compute_kernel_distance(x, y, block_size, subsets, seed)


def _check_offset(
    x: Float64[np.ndarray, " num_real dims"], y: Float64[np.ndarray, " num_fake dims"]
) -> None:
    """Checks that the kernel's values differ by more than the rounding errors of float64."""
    both = np.concatenate([x, y])
    offset, spread = np.linalg.norm(both.mean(axis=0)), np.linalg.norm(both.std(axis=0))
    expected = f"at least {_LEAST_SPREAD:g} of their mean's norm"
    fits, name = spread >= _LEAST_SPREAD * offset, "The features' standard deviation"
    got = f"{spread:.3g} with a mean of norm {offset:.3g}"
    checks.require(bool(fits), name, expected, got, "Subtract a constant from both sets.")


def compute_kernel_distance(
    x: Float64[np.ndarray, " num_real dims"],
    y: Float64[np.ndarray, " num_fake dims"],
    block_size: int,
    subsets: int | None = None,
    seed: int = 0,
) -> KernelDistance:
    """Computes the `kernel_distance` of checked features."""
    parts = _parts((len(x), len(y)), block_size, subsets, np.random.default_rng(seed))
    values = np.array([_squared_mmd(x[i], y[j]) for i, j in parts])
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    error = spread / math.sqrt(len(values)) if subsets is None else spread
    return KernelDistance(float(values.mean()), error, len(values))


def _parts(
    nums: tuple[int, int], block_size: int, subsets: int | None, draw: np.random.Generator
) -> list[list[np.ndarray]]:
    """Draws the rows of each block, or of each subset, in two sets of these numbers."""
    if subsets is not None:
        choose = lambda num: draw.choice(num, block_size, replace=False)
        return [[choose(num) for num in nums] for _ in range(subsets)]
    orders = [draw.permutation(num) for num in nums]
    starts = range(0, min(nums) - block_size + 1, block_size)
    return [[order[start : start + block_size] for order in orders] for start in starts]


def _squared_mmd(
    x: Float64[np.ndarray, " block dims"], y: Float64[np.ndarray, " block dims"]
) -> float:
    n, within = len(x), 0.0
    for z in (x, y):
        to_itself = float(_cube((z * z).sum(axis=1) / z.shape[1] + 1.0).sum())
        within += (_kernel_sum(z, z) - to_itself) / (n * (n - 1))
    return within - 2.0 * _kernel_sum(x, y) / n**2


def _kernel_sum(
    a: Float64[np.ndarray, " num_a dims"], b: Float64[np.ndarray, " num_b dims"]
) -> float:
    parts = (a[rows] @ b.T / a.shape[1] + 1.0 for rows in blocks(len(a), len(b)))
    return sum(float(_cube(part).sum()) for part in parts)


def _cube(x: Float64[np.ndarray, " ..."]) -> Float64[np.ndarray, " ..."]:
    return x * x * x  # several times as fast as x**3
