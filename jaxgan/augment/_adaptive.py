"""Adapts the probability of an augmentation to the discriminator (ADA)."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxgan._internal import checks
from jaxgan.augment._combine import with_probability
from jaxgan.augment._types import Augmentation, PlainAugmentation, State, check_plain

_TOLERANCE = 1e-6  # above the rounding error of a mean of signs in float32


def adaptive(
    augmentation: PlainAugmentation, *, target: float = 0.6, images_to_full: float = 500_000
) -> Augmentation:
    r"""Augments with a probability $p$ that adapts to the discriminator's overfitting (ADA).

    $p$ starts at 0. A discriminator step on $B$ real images with logits $d_n$, of which the loss's
    boundary was subtracted, changes $p$ to

    $$\mathrm{clip}(p + \mathrm{sign}(r_t - \mathrm{target})\,B / \mathrm{images\_to\_full}, 0, 1),
    \quad r_t = \tfrac{1}{B} \textstyle\sum_n \mathrm{sign}(d_n).$$

    If an image has several logits, $\mathrm{sign}(d_n)$ is the mean of their signs. $p$ does not
    change if $r_t$ equals the target to within $10^{-6}$.

    Args:
      augmentation: a function `(key, images) -> images`. $p$ is the probability of the function
        for each image, or of each transform of a `Pipeline`, such as `ada()`.
      target: the target of $r_t$, in [-1, 1]. $r_t$ is 1 if all real logits are above the
        boundary, and 0 if half of them are.
      images_to_full: the number of real images over which $p$ can rise from 0 to 1, at least 1.

    Returns:
      An `Augmentation` of images `[batch, ...]`. Its state is `{"probability": p}`, with $p$ a
      float32 scalar.

    Raises:
      TypeError: If `augmentation` is not a plain augmentation, or `target` or `images_to_full` is
        not a number. From `adapt`: if logits are not floats.
      ValueError: If a number is out of range. From `adapt`: if there are no logits.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import augment
      >>> ada = augment.adaptive(augment.diffaugment(), images_to_full=100)
      >>> print(ada.adapt(ada.init(), jnp.ones(4))["probability"])
      0.04

    References:
      Karras et al., 2020, https://arxiv.org/abs/2006.06676
    """
    check_plain(augmentation)
    checks.real("target", target, -1.0, 1.0)
    checks.real("images_to_full", images_to_full, 1)

    def init() -> State:
        return {"probability": jnp.zeros((), jnp.float32)}

    def apply(state: State, key: Array, images: Array, *, step: Array) -> Array:
        del step
        checks.tree_matches("The state of an adaptive augmentation", state, jax.eval_shape(init))
        return with_probability(augmentation, state["probability"])(key, images)

    def adapt(state: State, real_logits: Array) -> State:
        real_logits = checks.array(
            "real_logits", real_logits, jnp.floating, "[batch] or [batch, ...]"
        )
        checks.tree_matches("The state of an adaptive augmentation", state, jax.eval_shape(init))
        gap = jnp.mean(jnp.sign(real_logits).astype(jnp.float32)) - target
        gap = jnp.where(jnp.abs(gap) < _TOLERANCE, 0.0, gap)  # rounding depends on the device
        move = jnp.sign(gap) * (real_logits.shape[0] / images_to_full)
        return {"probability": jnp.clip(state["probability"] + move, 0.0, 1.0)}

    return Augmentation(init, apply, adapt)
