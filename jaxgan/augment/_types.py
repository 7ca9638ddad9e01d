"""Defines the types of augmentations, and checks their arguments."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax.numpy as jnp
from jax import Array

from jaxgan._internal import checks
from jaxgan.types import PyTree

PIXELS = "[batch, height, width, channels]"

State = PyTree
"""A pytree (nested containers) of arrays; `()` for an augmentation that does not adapt."""


class PlainAugmentation(Protocol):
    """Augments images: `(key, images) -> images`, of the same shape and dtype."""

    def __call__(self, key: Array, images: Array, /) -> Array: ...


class AugmentationApply(Protocol):
    """Augments images with a state: `(state, key, images, *, step) -> images`."""

    def __call__(self, state: State, key: Array, images: Array, /, *, step: Array) -> Array: ...


class Augmentation(NamedTuple):
    """Holds an augmentation that can depend on the step, or adapt to the discriminator.

    Args:
      init: `() -> state`.
      apply: `(state, key, images, *, step) -> images`, of the same shape and dtype. `step` is an
        int32 scalar that counts discriminator steps.
      adapt: `(state, real_logits) -> state`, called after each discriminator step if the state is
        not empty. `real_logits` are float `[batch]`, with one logit for each real image: that of
        its pack, minus the loss's `boundary`. A logit of 0 is therefore undecided.

    Example:
      >>> from jaxgan import augment
      >>> init, apply, adapt = augment.instance_noise(0.1)
    """

    init: Callable[[], State]
    apply: AugmentationApply
    adapt: Callable[[State, Array], State]


def as_augmentation(augmentation: Augmentation | PlainAugmentation) -> Augmentation:
    """Converts a plain function to an `Augmentation`, and returns an `Augmentation` unchanged.

    Args:
      augmentation: an `Augmentation`, or a function `(key, images) -> images`.

    Returns:
      An `Augmentation`. For a plain function, its state is `()`.

    Raises:
      TypeError: If `augmentation` is neither an `Augmentation` nor a function.

    Example:
      >>> from jaxgan import augment
      >>> augment.as_augmentation(augment.diffaugment()).init()
      ()
    """
    if isinstance(augmentation, Augmentation):
        return augmentation
    check_plain(augmentation)
    return Augmentation(
        init=lambda: (),
        apply=lambda state, key, images, *, step: augmentation(key, images),
        adapt=lambda state, real_logits: state,
    )


def check(key: Array, images: Array, form: str = "[batch, ...]") -> Array:
    """Checks a key and images, and returns the images as a JAX array."""
    checks.key(key)
    return checks.array("images", images, jnp.floating, form, lists=False)


def check_plain(augmentation: PlainAugmentation) -> None:
    """Checks that an augmentation is a function, not a class."""
    checks.function("An augmentation", augmentation, "(key, images) -> images", or_class=False)
