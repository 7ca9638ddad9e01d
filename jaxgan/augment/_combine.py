"""Combines plain augmentations, and applies them with a probability."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from jaxgan._internal import checks
from jaxgan.augment._types import Pipeline, PlainAugmentation, check, check_plain, check_result


def compose(*augmentations: PlainAugmentation) -> PlainAugmentation:
    """Combines plain augmentations into one, which applies them in order with separate keys.

    Args:
      *augmentations: functions `(key, images) -> images`. Without functions, the result returns
        the images unchanged.

    Returns:
      A function `(key, images) -> images`, with images `[batch, ...]`.

    Raises:
      TypeError: If an argument is not a plain augmentation.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> both = augment.compose(lambda key, x: x + 1.0, lambda key, x: 2.0 * x)
      >>> print(both(jax.random.key(0), jnp.zeros((1, 2))))
      [[2. 2.]]
    """
    for augmentation in augmentations:
        check_plain(augmentation)

    def apply(key: Array, images: Array) -> Array:
        images = check(key, images)
        keys = jax.random.split(key, len(augmentations))
        for k, augmentation in zip(keys, augmentations, strict=True):
            images = augmentation(k, images)
        return images

    return apply


def with_probability(
    augmentation: PlainAugmentation, probability: float | Array
) -> PlainAugmentation:
    r"""Augments each image with a probability, and leaves the other images unchanged.

    $y_n = T(x_n)$ if $u_n < p$, else $y_n = x_n$, with one draw $u_n \sim U(0, 1)$ for each image.
    The transforms of a `Pipeline`, such as `ada()`, have separate draws and the same $p$.
    For $p$ below about 0.8, the generator rarely learns to imitate the augmentation.

    Args:
      augmentation: $T$, a function `(key, images) -> images`, such as a `Pipeline`.
      probability: $p$, a number or a scalar array, in [0, 1]. The range of a value traced by
        `jax.jit` is not checked.

    Returns:
      A function `(key, images) -> images`, with images `[batch, ...]`.

    Raises:
      TypeError: If `augmentation` is not a plain augmentation, or `probability` is not a number.
      ValueError: If `probability` is out of range or not a scalar, or `augmentation` changes the
        shape or dtype of the images.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> always = augment.with_probability(lambda key, x: -x, 1.0)
      >>> print(always(jax.random.key(0), jnp.ones((1, 2))))
      [[-1. -1.]]

    References:
      Karras et al., Training Generative Adversarial Networks with Limited Data, 2020,
      https://arxiv.org/abs/2006.06676
    """
    check_plain(augmentation)
    checks.real("probability", probability, 0.0, 1.0)
    if isinstance(augmentation, Pipeline):
        return dataclasses.replace(augmentation, probability=probability)

    def apply(key: Array, images: Array) -> Array:
        images = check(key, images)
        choice_key, augmentation_key = jax.random.split(key)
        draws = jax.random.uniform(choice_key, images.shape[:1], jnp.float32)
        chosen = draws < jnp.asarray(probability, jnp.float32)
        augmented = check_result(augmentation(augmentation_key, images), images)
        return jnp.where(jnp.expand_dims(chosen, range(1, images.ndim)), augmented, images)

    return apply
