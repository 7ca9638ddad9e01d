"""Defines the types of augmentations, and checks their arguments."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

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
        not empty. `real_logits` are float `[batch, ...]`, with the logits of each real image: those
        of its pack, minus the loss's `boundary`. A logit of 0 is therefore undecided.
      packing: the number of images that `apply` joins into one. Only `pack` changes it.

    Example:
      >>> from jaxgan import augment
      >>> noise = augment.instance_noise(0.1)
      >>> noise.packing
      1
    """

    init: Callable[[], State]
    apply: AugmentationApply
    adapt: Callable[[State, Array], State]
    packing: int = 1


# Not a NamedTuple, because `jax.jit` needs functions with weak references and hashes.
@dataclasses.dataclass(frozen=True, eq=False)
class Pipeline:
    """Holds an augmentation of several transforms, each with its own coin for each image.

    A pipeline is a plain augmentation with the given probability. `with_probability` and `adaptive`
    replace this probability.

    Args:
      apply: `(key, images, probability) -> images`, of the same shape and dtype. `probability` is a
        number or a scalar array, in [0, 1].
      probability: the probability of each transform, in [0, 1]; None to set it later. The range of
        a value traced by `jax.jit` is not checked.

    Raises:
      TypeError: If `apply` is not a function, or `probability` is not a number.
      ValueError: If `probability` is out of range or not a scalar.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> dim = augment.Pipeline(lambda key, images, probability: (1 - probability) * images)
      >>> print(augment.with_probability(dim, 0.25)(jax.random.key(0), jnp.ones((1, 2))))
      [[0.75 0.75]]
    """

    apply: Callable[[Array, Array, ArrayLike], Array]
    probability: Any = None

    def __post_init__(self) -> None:
        form = "(key, images, probability) -> images"
        checks.function("A pipeline's function", self.apply, form, or_class=False)
        if self.probability is not None:
            checks.real("probability", self.probability, 0.0, 1.0)

    def __call__(self, key: Array, images: Array, /) -> Array:
        """Augments images with the given probability.

        Raises:
          ValueError: If there is no probability, or `apply` changes the shape or dtype of the
            images.
        """
        images, given = check(key, images), self.probability
        advice = "Use adaptive or with_probability."
        checks.require(given is not None, "A pipeline's probability", "a number", "None", advice)
        return check_result(self.apply(key, images, given), images)


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


def check_result(augmented: Array, images: Array) -> Array:
    """Checks that augmented images have the shape and dtype of the images, and returns them."""
    found = (getattr(augmented, "shape", None), getattr(augmented, "dtype", None))
    fits, expected = found == (images.shape, images.dtype), checks.show(images)
    checks.require(fits, "An augmentation's result", expected, checks.shown(augmented))
    return augmented
