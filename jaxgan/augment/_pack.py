"""Joins images into packs, so that the discriminator compares several images (PacGAN)."""

import jax.numpy as jnp
from jax import Array

from jaxgan._internal import checks
from jaxgan.augment._types import (
    Augmentation,
    PlainAugmentation,
    State,
    as_augmentation,
    check,
)


def pack(num: int, augmentation: Augmentation | PlainAugmentation | None = None) -> Augmentation:
    """Joins each group of `num` images along the channel axis (PacGAN).

    The discriminator receives packs `[batch / num, height, width, num * channels]` and returns one
    logit for each pack. If the generator collapses, the images of a pack are alike.

    Args:
      num: the number of consecutive images in a pack, at least 1. It must divide the batch size.
      augmentation: an augmentation of the images before they are joined, or None.

    Returns:
      An `Augmentation` with the state of `augmentation`. A GAN that packs images takes no
      conditions.

    Raises:
      TypeError: If `num` is not an integer, or `augmentation` is not an augmentation.
      ValueError: If `num` is below 1, or `augmentation` packs images itself. From `apply`: if `num`
        does not divide the number of images.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> packing = augment.pack(2)
      >>> images = jnp.ones((6, 28, 28, 1))
      >>> packing.apply(packing.init(), jax.random.key(0), images, step=0).shape
      (3, 28, 28, 2)

    References:
      Lin et al., PacGAN, 2018, https://arxiv.org/abs/1712.04086
    """
    checks.integer("num", num)
    inner = None if augmentation is None else as_augmentation(augmentation)
    if inner is None:
        inner = Augmentation(lambda: (), lambda state, key, images, *, step: images, _unchanged)
    got, advice = f"pack({inner.packing})", "Pass the product of both numbers once."
    checks.require(inner.packing == 1, "augmentation", "without packing", got, advice)

    def apply(state: State, key: Array, images: Array, *, step: Array) -> Array:
        images = check(key, images)
        expected, got = f"a multiple of {num} (packing)", f"{images.shape[0]}"
        checks.require(images.shape[0] % num == 0, "The number of images", expected, got)
        return join(inner.apply(state, key, images, step=step), num)

    return Augmentation(inner.init, apply, inner.adapt, num)


def _unchanged(state: State, real_logits: Array) -> State:
    del real_logits
    return state


def join(images: Array, num: int) -> Array:
    """Concatenates each group of `num` images along the channel axis."""
    if num == 1:
        return images
    groups = images.reshape(images.shape[0] // num, num, *images.shape[1:])
    joined = jnp.moveaxis(groups, 1, -2)
    return joined.reshape(*joined.shape[:-2], num * images.shape[-1])
