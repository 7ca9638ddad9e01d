"""Images to features, a batch at a time, by whatever function makes features of them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.evaluation._features import FeatureFn
from jaxgan.images import normalize


def embed(
    feature_fn: FeatureFn,
    images: ArrayLike,
    *,
    batch_size: int = 500,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Applies a feature function to any number of images, a batch at a time.

    Args:
      feature_fn: what JAX can trace, of images in [-1, 1]. A function that JAX cannot trace, such
        as a PyTorch network, is called by the user, whose array goes to the metrics as it is.
      images: uint8, or floats in [-1, 1]; `[num, height, width, channels]`, at least one. Floats
        without a negative value are refused, because they are in [0, 1] in all likelihood, unless
        all are equal: so blank images pass.
      batch_size: images at once, at least 1.
      progress: called with the number of images that are done after each batch, for progress.

    Returns:
      float32 `[num, dims]`, on the host.

    Raises:
      TypeError: the images are neither uint8 nor floats.
      ValueError: there are none, they are not of rank 4, not finite or not in [-1, 1]; or features
        are not `[num, dims]`; or they are floats, not all equal, and none is negative.

    Example:
      >>> import numpy as np
      >>> from jaxgan import evaluation
      >>> pixels = lambda images: images.reshape(images.shape[0], -1)
      >>> evaluation.embed(pixels, np.zeros((7, 1, 2, 1), np.uint8), batch_size=3)[0].tolist()
      [-1.0, -1.0]
    """
    checks.function("feature_fn", feature_fn, "images -> features")
    checks.integer("batch_size", batch_size)
    checks.function("progress", progress, "of a number")
    try:
        images = np.asarray(images)
    except ValueError as error:  # lists of several lengths
        raise TypeError(f"images must be an array; got {checks.show(images)}.") from error
    if images.ndim != 4 or not images.size:
        raise ValueError(
            f"images must be [num, height, width, channels], at least one; got {images.shape}."
        )
    if images.dtype != np.uint8:
        images = _check_range(images)
    apply = jax.jit(feature_fn)
    batches = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        missing = min(batch_size, len(images)) - len(batch)  # the last one: compile no second time
        padded = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
        floats = normalize(padded) if padded.dtype == np.uint8 else jnp.asarray(padded)
        features = np.asarray(checks.array("Features", apply(floats), jnp.floating, None))
        if features.ndim != 2 or len(features) != len(padded):
            raise ValueError(
                f"A feature function must give [num, dims], here ({len(padded)}, dims); got "
                f"{features.shape}."
            )
        batches.append(features[: len(batch)].astype(np.float32))
        progress(start + len(batch))
    return np.concatenate(batches)


def _check_range(images: np.ndarray) -> np.ndarray:
    if not jnp.issubdtype(images.dtype, np.floating):
        raise TypeError(f"images must be uint8, or floats in [-1, 1]; got {images.dtype}.")
    images = images.astype(np.float32)
    checks.finite("images", images)
    low, high = images.min(), images.max()
    if low < -1.001 or high > 1.001:
        raise ValueError(
            f"Float images must be in [-1, 1]; got {low:g} to {high:g}. Give uint8 images, or "
            "scale them by jaxgan.images.normalize."
        )
    # Images in [-1, 1] have their dark half below 0; of a blank batch nobody can tell.
    if 0 <= low < high:
        raise ValueError(
            f"Float images must be in [-1, 1]; got {low:g} to {high:g} and nothing negative, as of "
            "images in [0, 1]. Scale them: 2 * x - 1. Or give uint8 images."
        )
    return images
