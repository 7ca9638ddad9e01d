"""Augments real and fake images with differentiable functions.

A plain augmentation is a function `(key, images) -> images` with separate random draws for each
image. An `Augmentation` can also depend on the step, or adapt to the discriminator. `jaxgan.gan`
accepts both. The discriminator then receives only augmented images, and the generator's gradient
flows through the augmentation.

An augmentation raises a TypeError if `key` is not one key from `jax.random.key`, or the images are
not floats. It raises a ValueError if the images are empty or have the wrong rank.
"""

from jaxgan.augment._ada import ada
from jaxgan.augment._adaptive import adaptive
from jaxgan.augment._combine import compose, with_probability
from jaxgan.augment._diffaugment import color, cutout, diffaugment, translation
from jaxgan.augment._instance_noise import instance_noise
from jaxgan.augment._pack import pack
from jaxgan.augment._types import (
    Augmentation,
    AugmentationApply,
    Pipeline,
    PlainAugmentation,
    State,
    as_augmentation,
)

__all__ = [
    "Augmentation",
    "AugmentationApply",
    "Pipeline",
    "PlainAugmentation",
    "State",
    "ada",
    "adaptive",
    "as_augmentation",
    "color",
    "compose",
    "cutout",
    "diffaugment",
    "instance_noise",
    "pack",
    "translation",
    "with_probability",
]
