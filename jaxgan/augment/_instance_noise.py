"""Adds Gaussian noise that depends on the step."""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.augment._types import Augmentation, check


def instance_noise(std: float | Array | Callable[[Array], ArrayLike]) -> Augmentation:
    r"""Adds Gaussian noise to each pixel, $y = x + \sigma \epsilon$ with $\epsilon \sim N(0, 1)$.

    The noise makes the distributions of real and fake images overlap, so their divergence is
    finite.

    Args:
      std: $\sigma$, at least 0, in units of the pixel values: a number, a scalar array, or an optax
        schedule. A schedule receives the number of the discriminator step, and usually falls to 0.
        The range of a value traced by `jax.jit` is not checked.

    Returns:
      An `Augmentation` of images `[batch, ...]`, with the state `()`.

    Raises:
      TypeError: If `std` is neither a number, an array nor a schedule.
      ValueError: If `std`, or the value of the schedule, is negative or not a scalar.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from jaxgan import augment
      >>> noise = augment.instance_noise(optax.linear_schedule(0.1, 0.0, 1000))
      >>> print(noise.apply((), jax.random.key(0), jnp.ones((1, 2)), step=jnp.int32(1000)))
      [[1. 1.]]

    References:
      Sønderby et al., Amortised MAP Inference for Image Super-resolution, 2016,
      https://arxiv.org/abs/1610.04490
    """
    if not callable(std) or inspect.isclass(std):
        checks.real("std", std, 0.0)

    def noisy(key: Array, images: Array, step: Array) -> Array:
        images = check(key, images)
        # optax schedules mix dtypes, which would fail under strict dtype promotion.
        with jax.numpy_dtype_promotion("standard"):
            now = std(step) if callable(std) else std
        checks.real("std", now, 0.0)
        noise = jax.random.normal(key, images.shape, jnp.float32).astype(images.dtype)
        return images + jnp.asarray(now, images.dtype) * noise

    return Augmentation(
        init=lambda: (),
        apply=lambda state, key, images, *, step: noisy(key, images, step),
        adapt=lambda state, real_logits: state,
    )
