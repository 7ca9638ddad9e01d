"""Features of images, a batch at a time."""

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
      feature_fn: a function that JAX can trace, of images in [-1, 1]. Call other functions, such as
        a PyTorch network, directly, and pass their arrays to the metrics.
      images: uint8, or floats in [-1, 1]; `[num, height, width, channels]`, at least one. Float
        images without negative values raise an error, because they are probably in [0, 1]. Blank
        images, whose values are all equal, are accepted.
      batch_size: the number of images in a batch, at least 1.
      progress: called after each batch with the number of finished images.

    Returns:
      float32 `[num, dims]`, on the host.

    Raises:
      TypeError: If the images are neither uint8 nor floats, or the features are not floats.
      ValueError: If the images are not `[num, height, width, channels]`, not finite or not in
        [-1, 1]; or if the features are not `[num, dims]`.

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
    x = _check_images(images)
    apply = jax.jit(feature_fn)
    features = []
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        with checks.channels_first_note(x.shape):
            features.append(_embed_batch(apply, batch, min(batch_size, len(x))))
        progress(start + len(batch))
    return np.concatenate(features)


def _check_images(images: ArrayLike) -> np.ndarray:
    """Checks images, and returns uint8, or float32 in [-1, 1]."""
    x = checks.numpy_array("images", images, form="[num, height, width, channels]")
    if x.dtype == np.uint8:
        return x
    is_float = jnp.issubdtype(x.dtype, jnp.floating)
    checks.require(is_float, "images", "uint8, or floats in [-1, 1]", f"{x.dtype}", error=TypeError)
    x = x.astype(np.float32)
    checks.images_in_range("images", x)
    return x


def _embed_batch(apply: FeatureFn, batch: np.ndarray, size: int) -> np.ndarray:
    """Computes the features of a batch, padded to `size` so that only one program is compiled."""
    padded = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
    floats = normalize(padded) if padded.dtype == np.uint8 else jnp.asarray(padded)
    name, form = "The result of feature_fn", "[num, dims]"
    features = checks.numpy_array(name, apply(floats), jnp.floating, form)
    fits, got = len(features) == size, f"shape {features.shape}"
    checks.require(fits, name, f"{form}, here ({size}, dims)", got, error=checks.ShapeError)
    return features[: len(batch)].astype(np.float32)
