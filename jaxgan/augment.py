"""Augments real and fake images with differentiable functions.

A plain augmentation is a function `(key, images) -> images` with separate random draws for each
image. An `Augmentation` can also depend on the step, or adapt to the discriminator. `jaxgan.gan`
accepts both. The discriminator then receives only augmented images, and the generator's gradient
flows through the augmentation.

An augmentation raises a TypeError if `key` is not one key from `jax.random.key`, or the images are
not floats. It raises a ValueError if the images are empty or have the wrong rank.
"""

import inspect
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.types import PyTree

__all__ = [
    "Augmentation",
    "AugmentationApply",
    "PlainAugmentation",
    "State",
    "adaptive",
    "as_augmentation",
    "colour",
    "compose",
    "cutout",
    "diffaugment",
    "instance_noise",
    "translation",
    "with_probability",
]

_PIXELS = "[batch, height, width, channels]"
_TOLERANCE = 1e-6  # above the rounding error of a mean of signs in float32

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
    _check_plain(augmentation)
    return Augmentation(
        init=lambda: (),
        apply=lambda state, key, images, *, step: augmentation(key, images),
        adapt=lambda state, real_logits: state,
    )


def translation(ratio: float = 0.125) -> PlainAugmentation:
    r"""Shifts each image at random by whole pixels, and fills the uncovered pixels with 0.

    $y_{ij} = x_{i - s,\,j - t}$, with $s$ uniform in $\pm\lfloor rH + 1/2 \rfloor$ and $t$ in
    $\pm\lfloor rW + 1/2 \rfloor$. As in the authors' code, the fill value 0 is mid-gray for
    images in [-1, 1].

    Args:
      ratio: $r$, the largest shift as a fraction of height and of width, in [0, 1].

    Returns:
      A function `(key, images) -> images`, with images `[batch, height, width, channels]`.

    Raises:
      TypeError: If `ratio` is not a number.
      ValueError: If `ratio` is outside [0, 1], or the returned function receives images that do not
        have rank 4.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> shifted = augment.translation(0.125)(jax.random.key(0), jnp.ones((64, 32, 32, 3)))
      >>> print(shifted.min(), shifted.max())
      0.0 1.0

    References:
      Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, 2020,
      https://arxiv.org/abs/2006.10738
    """
    checks.real("ratio", ratio, 0.0, 1.0)

    def apply(key: Array, images: Array) -> Array:
        images = _check(key, images, _PIXELS)
        reach = [_pixels(ratio, size) for size in images.shape[1:3]]
        padded = jnp.pad(images, [(0, 0), *((pixels, pixels) for pixels in reach), (0, 0)])
        top, left = (
            jax.random.randint(k, images.shape[:1], 0, 2 * pixels + 1)
            for k, pixels in zip(jax.random.split(key), reach, strict=True)
        )
        # One slice per image was faster than gathers, one-hot products and selects.
        window = lambda image, i, j: jax.lax.dynamic_slice(image, (i, j, 0), images.shape[1:])
        return jax.vmap(window)(padded, top, left)

    return apply


def cutout(ratio: float = 0.5) -> PlainAugmentation:
    r"""Sets a box at a random place in each image to 0.

    The box has $\lfloor rH + 1/2 \rfloor \times \lfloor rW + 1/2 \rfloor$ pixels. The center of the
    box is uniform over the image, and the image borders clip the box.

    Args:
      ratio: $r$, the sides of the box as a fraction of height and of width, in [0, 1].

    Returns:
      A function `(key, images) -> images`, with images `[batch, height, width, channels]`.

    Raises:
      TypeError: If `ratio` is not a number.
      ValueError: If `ratio` is outside [0, 1], or the returned function receives images that do not
        have rank 4.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> holed = augment.cutout(0.5)(jax.random.key(0), jnp.ones((64, 32, 32, 3)))
      >>> print(holed.min(), holed.max())
      0.0 1.0

    References:
      Zhao et al., 2020, https://arxiv.org/abs/2006.10738
    """
    checks.real("ratio", ratio, 0.0, 1.0)

    def covered(key: Array, batch: int, size: int) -> Array:
        box = _pixels(ratio, size)
        # The center of an even box lies between two pixels, so it has one more position.
        center = jax.random.randint(key, (batch, 1), 0, size + 1 - box % 2)
        offset = jnp.arange(size)[None, :] - (center - box // 2)
        return (offset >= 0) & (offset < box)

    def apply(key: Array, images: Array) -> Array:
        images = _check(key, images, _PIXELS)
        row_key, column_key = jax.random.split(key)
        rows = covered(row_key, images.shape[0], images.shape[1])
        columns = covered(column_key, images.shape[0], images.shape[2])
        box = rows[:, :, None, None] & columns[:, None, :, None]
        return jnp.where(box, jnp.zeros_like(images), images)

    return apply


def colour() -> PlainAugmentation:
    r"""Changes the brightness, saturation and contrast of each image at random.

    Each image has its own draws $b \sim U(-0.5, 0.5)$, $s \sim U(0, 2)$ and $c \sim U(0.5, 1.5)$.
    With $m$ the mean of a pixel's channels and $M$ the mean of the image, the steps are

    $$x \leftarrow x + b, \quad x \leftarrow m + s(x - m), \quad x \leftarrow M + c(x - M).$$

    The result is not clipped to [-1, 1], because clipping would stop the gradient. The saturation
    step skips images with one channel.

    Returns:
      A function `(key, images) -> images`, with images `[batch, height, width, channels]`.

    Raises:
      ValueError: If the returned function receives images that do not have rank 4.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> augment.colour()(jax.random.key(0), jnp.ones((64, 32, 32, 3))).shape
      (64, 32, 32, 3)

    References:
      Zhao et al., 2020, https://arxiv.org/abs/2006.10738
    """

    def apply(key: Array, images: Array) -> Array:
        images = _check(key, images, _PIXELS)
        brightness, saturation, contrast = (
            _uniform(k, images, low, high)
            for k, low, high in zip(
                jax.random.split(key, 3), (-0.5, 0.0, 0.5), (0.5, 2.0, 1.5), strict=True
            )
        )
        images = images + brightness
        if images.shape[-1] > 1:
            images = _stretch(images, saturation, axes=(3,))
        return _stretch(images, contrast, axes=(1, 2, 3))

    return apply


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
        _check_plain(augmentation)

    def apply(key: Array, images: Array) -> Array:
        images = _check(key, images)
        keys = jax.random.split(key, len(augmentations))
        for k, augmentation in zip(keys, augmentations, strict=True):
            images = augmentation(k, images)
        return images

    return apply


def diffaugment() -> PlainAugmentation:
    """Returns the augmentation of DiffAugment, for small data sets.

    The result is `compose(colour(), translation(0.125), cutout(0.5))`.

    Returns:
      A function `(key, images) -> images`, with images `[batch, height, width, channels]`.

    Raises:
      ValueError: If the returned function receives images that do not have rank 4.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import augment
      >>> augment.diffaugment()(jax.random.key(0), jnp.ones((64, 32, 32, 3))).shape
      (64, 32, 32, 3)

    References:
      Zhao et al., 2020, https://arxiv.org/abs/2006.10738
    """
    return compose(colour(), translation(0.125), cutout(0.5))


def with_probability(
    augmentation: PlainAugmentation, probability: float | Array
) -> PlainAugmentation:
    r"""Augments each image with a probability, and leaves the other images unchanged.

    $y_n = T(x_n)$ if $u_n < p$, else $y_n = x_n$, with one draw $u_n \sim U(0, 1)$ for each image.
    For $p$ below about 0.8, the generator rarely learns to imitate the augmentation.

    Args:
      augmentation: $T$, a function `(key, images) -> images`.
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
    _check_plain(augmentation)
    checks.real("probability", probability, 0.0, 1.0)

    def apply(key: Array, images: Array) -> Array:
        images = _check(key, images)
        choice_key, augmentation_key = jax.random.split(key)
        draws = jax.random.uniform(choice_key, images.shape[:1], jnp.float32)
        chosen = draws < jnp.asarray(probability, jnp.float32)
        augmented = augmentation(augmentation_key, images)
        found = (getattr(augmented, "shape", None), getattr(augmented, "dtype", None))
        fits, expected = found == (images.shape, images.dtype), checks.show(images)
        checks.require(fits, "An augmentation's result", expected, checks.show(augmented))
        return jnp.where(jnp.expand_dims(chosen, range(1, images.ndim)), augmented, images)

    return apply


def adaptive(
    augmentation: PlainAugmentation, *, target: float = 0.6, images_to_full: float = 500_000
) -> Augmentation:
    r"""Augments with a probability $p$ that adapts to the discriminator's overfitting (ADA).

    $p$ starts at 0. A discriminator step on $B$ real images with logits $d_n$, of which the loss's
    boundary was subtracted, changes $p$ to

    $$\mathrm{clip}(p + \mathrm{sign}(r_t - \mathrm{target})\,B / \mathrm{images\_to\_full}, 0, 1),
    \quad r_t = \tfrac{1}{B} \textstyle\sum_n \mathrm{sign}(d_n).$$

    $p$ does not change if $r_t$ equals the target to within $10^{-6}$.

    Args:
      augmentation: a function `(key, images) -> images`.
      target: the target of $r_t$, in [-1, 1]. $r_t$ is 1 if all real logits are above the
        boundary, and 0 if half of them are.
      images_to_full: the number of real images over which $p$ can rise from 0 to 1, at least 1.

    Returns:
      An `Augmentation` of images `[batch, ...]`. Its state is `{"probability": p}`, with $p$ a
      float32 scalar.

    Raises:
      TypeError: If `augmentation` is not a plain augmentation, or `target` or `images_to_full` is
        not a number. From `adapt`: if logits are not floats.
      ValueError: If a number is out of range. From `adapt`: if logits are not `[batch]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import augment
      >>> ada = augment.adaptive(augment.diffaugment(), images_to_full=100)
      >>> print(ada.adapt(ada.init(), jnp.ones(4))["probability"])
      0.04

    References:
      Karras et al., 2020, https://arxiv.org/abs/2006.06676
    """
    _check_plain(augmentation)
    checks.real("target", target, -1.0, 1.0)
    checks.real("images_to_full", images_to_full, 1)

    def init() -> State:
        return {"probability": jnp.zeros((), jnp.float32)}

    def apply(state: State, key: Array, images: Array, *, step: Array) -> Array:
        del step
        checks.tree_matches("The state of an adaptive augmentation", state, jax.eval_shape(init))
        return with_probability(augmentation, state["probability"])(key, images)

    def adapt(state: State, real_logits: Array) -> State:
        real_logits = checks.array("real_logits", real_logits, jnp.floating, "[batch]")
        checks.tree_matches("The state of an adaptive augmentation", state, jax.eval_shape(init))
        gap = jnp.mean(jnp.sign(real_logits).astype(jnp.float32)) - target
        gap = jnp.where(jnp.abs(gap) < _TOLERANCE, 0.0, gap)  # rounding depends on the device
        move = jnp.sign(gap) * (real_logits.size / images_to_full)
        return {"probability": jnp.clip(state["probability"] + move, 0.0, 1.0)}

    return Augmentation(init, apply, adapt)


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
        images = _check(key, images)
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


def _pixels(ratio: float, size: int) -> int:
    # Rounds halves up, as in the authors' code; Python's round() rounds halves to even numbers.
    return int(ratio * size + 0.5)


def _uniform(key: Array, images: Array, low: float, high: float) -> Array:
    # Draws in float32, so that a key gives the same draws in every dtype.
    draws = jax.random.uniform(key, (images.shape[0], 1, 1, 1), jnp.float32, low, high)
    return draws.astype(images.dtype)


def _stretch(images: Array, factor: Array, axes: tuple[int, ...]) -> Array:
    mean = jnp.mean(images, axes, keepdims=True)
    return mean + factor * (images - mean)


def _check(key: Array, images: Array, form: str = "[batch, ...]") -> Array:
    checks.key(key)
    return checks.array("images", images, jnp.floating, form, lists=False)


def _check_plain(augmentation: PlainAugmentation) -> None:
    checks.function("An augmentation", augmentation, "(key, images) -> images", or_class=False)
