r"""Defines terms: additional losses of either player, and the view of a step that they receive.

`jaxgan.gan` adds the mean of each term to the loss of its player, and reports it as a metric. A
term is a function of a `View`, which contains the images, latents, logits and networks of the step:

    def l1(view):
        return 100.0 * jnp.mean(jnp.abs(view.samples - view.images))

    gan = jaxgan.gan(..., terms=jaxgan.Pair({"l1": l1}, {}))

A `Term` can also keep a state, such as a moving average. Like an optax transformation, it is a pair
of pure functions. The penalties of `jaxgan.penalties` are terms of the discriminator.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jax import Array

from jaxgan._internal import checks
from jaxgan.losses import auxiliary_classifier
from jaxgan.types import Condition, Pair, Params, PyTree

__all__ = [
    "Critic",
    "PlainTerm",
    "Term",
    "TermApply",
    "View",
    "as_term",
    "fake_class_loss",
    "real_class_loss",
]


class Critic(NamedTuple):
    """Holds the discriminator of a step as functions `(images, condition=None) -> logits`.

    Both functions apply the same discriminator, after an augmentation with the random draws of the
    real or of the fake images in the loss. Calling the critic calls `real`. Without dropout, `real`
    of the real images and `fake` of the fake images are the logits of the loss. Without a
    condition, the functions use that of the batch.

    Args:
      real: the discriminator with the random draws of the real images.
      fake: the discriminator with the random draws of the fake images.

    Example:
      >>> from jaxgan import terms
      >>> critic = terms.Critic(real=lambda x: x[:, 0], fake=lambda x: x[:, 0])
    """

    real: Callable[..., PyTree]
    fake: Callable[..., PyTree]

    def __call__(self, images: Array, condition: Condition = None) -> PyTree:
        """Applies `real`."""
        return self.real(images) if condition is None else self.real(images, condition)


class View(NamedTuple):
    """Holds what a term or a function of metrics can use of one player's evaluation.

    Args:
      images: the real images of the step before augmentation, float `[batch, ...]`.
      samples: the generated images before augmentation, of the same shape.
      real: the real images as the discriminator receives them.
      fake: the generated images as the discriminator receives them.
      latents: the latents of `samples`: an array `[batch, latents]`, or the sampler's pytree.
      condition: the condition of the batch, or None.
      real_logits: the discriminator's logits of `real`: `[batch]`, `[batch, ...]`, or a tuple of
        such arrays.
      fake_logits: the discriminator's logits of `fake`.
      real_extras: the dict that the discriminator returns with `real_logits`; often empty.
      fake_extras: the dict that the discriminator returns with `fake_logits`.
      generate: `(latents=None, condition=None) -> samples`, this step's generator. By default, it
        uses the latents and the condition of the step, and returns `samples`.
      critic: a `Critic`, this step's discriminator. The logits depend on both players' parameters.
      params: the parameters of both players. A term's gradient flows through all fields, but only
        to the parameters of its player.
      key: typed PRNG key of the term in this step.
      step: int32 scalar that counts the steps of the term's player; in half steps
        (`jaxgan.updates`), the training steps.

    Example:
      A test of a term needs only the fields that the term uses:

      >>> import jax.numpy as jnp
      >>> from jaxgan import terms
      >>> view = terms.View(images=jnp.ones((2, 3)), samples=jnp.zeros((2, 3)))
      >>> term = terms.as_term(lambda view: jnp.mean(jnp.abs(view.images - view.samples)))
      >>> float(term.apply(term.init(), view)[0])
      1.0
    """

    images: Any = None
    samples: Any = None
    real: Any = None
    fake: Any = None
    latents: PyTree = None
    condition: Condition = None
    real_logits: PyTree = None
    fake_logits: PyTree = None
    real_extras: Any = None
    fake_extras: Any = None
    generate: Callable[..., Array] | None = None
    critic: Any = None
    params: Pair[Params] | None = None
    key: Any = None
    step: Any = 0


class PlainTerm(Protocol):
    """Computes a term without a state: `(view) -> values`, a scalar or `[batch]`."""

    def __call__(self, view: View, /) -> Array: ...


class TermApply(Protocol):
    """Computes a term: `(state, view) -> (values, state)`."""

    def __call__(self, state: PyTree, view: View, /) -> tuple[Array, PyTree]: ...


class Term(NamedTuple):
    """Holds a term as two pure functions.

    Args:
      init: `() -> state`, a pytree of arrays; `()` for a term without a state.
      apply: a `TermApply`, `(state, view) -> (values, state)`. `values` is a scalar, or has one
        value for each image or each logit. The mean of the values is added to the player's loss.

    Example:
      A penalty on the drift of the mean real logit from its value in the previous step:

      >>> import jax.numpy as jnp
      >>> from jaxgan import terms
      >>> def apply(previous, view):
      ...     mean = jnp.mean(view.real_logits)
      ...     return jnp.square(mean - previous), jax.lax.stop_gradient(mean)
      >>> drift = terms.Term(init=lambda: jnp.zeros(()), apply=apply)
    """

    init: Callable[[], PyTree]
    apply: TermApply


def as_term(term: Term | PlainTerm) -> Term:
    """Converts a plain function to a `Term`, and returns a `Term` unchanged.

    Args:
      term: a `Term`, or a function `(view) -> values`, with values `[batch]` or a scalar.

    Returns:
      A `Term`. For a plain function, its state is `()`.

    Raises:
      TypeError: If `term` is neither a `Term` nor a function of one argument.

    Example:
      >>> from jaxgan import terms
      >>> drift = terms.as_term(lambda view: 1e-3 * view.real_logits**2)
      >>> drift.init()
      ()
    """
    if isinstance(term, Term):
        checks.function("init of a term", term.init, "() -> state")
        checks.function("apply of a term", term.apply, "(state, view) -> (values, state)")
        return term
    form = "(view) -> values, or a jaxgan.terms.Term"
    checks.function("A term", term, form, or_class=False)
    try:
        inspect.signature(term).bind(None)
    except TypeError:
        got = f"a function {inspect.signature(term)}"
        checks.require(False, "A term", f"a function {form}", got, error=TypeError)
    except ValueError:
        pass  # some functions have no signature
    return Term(lambda: (), lambda state, view: (term(view), state))


def fake_class_loss(weight: float = 1.0) -> Term:
    r"""Returns the auxiliary classifier's loss of generated images (AC-GAN), for either player.

    With class logits $c$ of a generated image and its label $y$, the values are
    $-\lambda \log \mathrm{softmax}(c)_y$. The discriminator must return `(logits, {"classes":
    class_logits})`, and the condition must be the labels.

    Args:
      weight: $\lambda$, at least 0.

    Returns:
      A `Term` with a value for each image, `[batch]`.

    Raises:
      ValueError: If `weight` is negative or non-finite. From `apply`: if the discriminator returns
        no "classes", or the condition is no array of labels.

    Example:
      >>> from jaxgan import Pair, terms
      >>> both = Pair(
      ...     {"generator_classes": terms.fake_class_loss()},
      ...     {"real_classes": terms.real_class_loss(), "fake_classes": terms.fake_class_loss()},
      ... )

    References:
      Odena et al., Conditional Image Synthesis with Auxiliary Classifier GANs, 2017,
      https://arxiv.org/abs/1610.09585
    """
    checks.real("weight", weight, 0)
    return as_term(lambda view: _class_loss(weight, view.fake_extras, view.condition))


def real_class_loss(weight: float = 1.0) -> Term:
    r"""Returns the auxiliary classifier's loss of real images (AC-GAN), for the discriminator.

    With class logits $c$ of a real image and its label $y$, the values are
    $-\lambda \log \mathrm{softmax}(c)_y$. The discriminator must return `(logits, {"classes":
    class_logits})`, and the condition must be the labels.

    Args:
      weight: $\lambda$, at least 0.

    Returns:
      A `Term` with a value for each image, `[batch]`.

    Raises:
      ValueError: If `weight` is negative or non-finite. From `apply`: if the discriminator returns
        no "classes", or the condition is no array of labels.

    Example:
      See `fake_class_loss`.

    References:
      Odena et al., Conditional Image Synthesis with Auxiliary Classifier GANs, 2017,
      https://arxiv.org/abs/1610.09585
    """
    checks.real("weight", weight, 0)
    return as_term(lambda view: _class_loss(weight, view.real_extras, view.condition))


def _class_loss(weight: float, extras: Mapping[str, PyTree] | None, labels: Condition) -> Array:
    found = extras or {}
    expected = '(logits, {"classes": class_logits}) with a class loss'
    got = f"logits with the extras {sorted(found)}"
    checks.require("classes" in found, "The discriminator's result", expected, got)
    is_array = hasattr(labels, "ndim") and labels.ndim == 1
    expected = "labels, integers [batch], with a class loss"
    checks.require(is_array, "The condition", expected, checks.shown(labels))
    class_logits = found["classes"]
    fits = getattr(class_logits, "ndim", 0) == 2 and class_logits.shape[0] == labels.shape[0]
    expected = f"({labels.shape[0]}, number of classes)"
    advice = "End the discriminator's second head with Dense(num_classes)."
    checks.require(fits, "The class logits", expected, checks.shown(class_logits), advice)
    values = auxiliary_classifier(class_logits, labels)
    return jnp.asarray(weight, values.dtype) * values
