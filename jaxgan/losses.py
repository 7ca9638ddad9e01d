r"""Defines adversarial losses: pairs of functions from logits to one value per logit.

Most functions return a `jaxgan.Loss`, with one loss for each network. A loss is a function
`(real_logits, fake_logits) -> values`, and works with any network. `jaxgan.gan` takes the mean of
the values. `jaxgan.gan` also accepts a plain `jaxgan.Pair` of losses.

All losses have these properties:

- `real_logits` and `fake_logits` are the discriminator's raw outputs for real and fake images,
  float, of the same shape: `[batch]`, or `[batch, ...]` for a discriminator that returns several
  logits for an image. In the formulas, $r$ is a real logit and $f$ a fake logit.
- The generator minimizes $L_G$, and the discriminator minimizes $L_D$.
- A loss is elementwise, as in optax: value $i$ depends only on real logit $i$ and fake logit $i$.
  Only `relativistic_average` also uses means over all logits.
- `boundary` is the logit of an undecided discriminator, which minimizes $L_D$ if $r = f$. For
  `hinge`, it is the middle of the minimizers. It is None for `wasserstein` and the relativistic
  losses: adding a constant to all logits does not change their $L_D$.
- The result has the dtype of the logits. In float32 and bfloat16, values and gradients are finite
  for logits up to 1e4 in magnitude.
- At trace time, a loss raises a `ValueError` if the logits are a scalar, are empty, or differ in
  shape. A loss raises a `TypeError` if the logits are not arrays of floats.

The formulas use $\sigma(x) = 1 / (1 + e^{-x})$ and $\mathrm{softplus}(x) = \log(1 + e^x)$, with
$-\log\sigma(x) = \mathrm{softplus}(-x)$ and $-\log(1 - \sigma(x)) = \mathrm{softplus}(x)$.
"""

import math

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.nn import relu, softplus

from jaxgan._internal import checks
from jaxgan.types import Loss, LossFn, Pair

__all__ = [
    "as_loss",
    "auxiliary_classifier",
    "hinge",
    "least_squares",
    "minimax",
    "non_saturating",
    "relativistic",
    "relativistic_average",
    "wasserstein",
]


def as_loss(loss: Loss | Pair[LossFn]) -> Loss:
    """Converts a `Pair` of losses to a `Loss` without a boundary, and returns a `Loss` unchanged.

    Args:
      loss: a `jaxgan.Loss`, or a `jaxgan.Pair` of functions `(real_logits, fake_logits) ->
        values`.

    Returns:
      A `jaxgan.Loss`.

    Raises:
      TypeError: If `loss` is not a `Loss` or a `Pair` of functions, or its boundary is not a
        number.
      ValueError: If the boundary is non-finite.

    Example:
      >>> import jaxgan
      >>> pair = jaxgan.Pair(lambda real, fake: -fake, lambda real, fake: fake - real)
      >>> print(jaxgan.losses.as_loss(pair).boundary)
      None
    """
    pair = Pair(loss.generator, loss.discriminator) if isinstance(loss, Loss) else loss
    checks.pair("loss", pair, "functions of the logits", callable)
    if not isinstance(loss, Loss):
        return Loss(*pair)
    if loss.boundary is not None:
        checks.real("loss.boundary", loss.boundary)
    return loss


def minimax() -> Loss:
    r"""Returns the minimax loss of the original GAN.

    $$L_D = -\log\sigma(r) - \log(1 - \sigma(f)), \qquad L_G = \log(1 - \sigma(f)).$$

    Use this loss to study the original GAN, and `non_saturating` to train. The gradient of $L_G$
    with respect to $f$ is $-\sigma(f)$, which vanishes if the discriminator rejects fake images.

    Returns:
      A `jaxgan.Loss`; see `jaxgan.losses` for the arguments and errors of its functions.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.minimax()
      >>> print(loss.generator(jnp.zeros(2), jnp.zeros(2)).round(4))
      [-0.6931 -0.6931]

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661
    """
    return _loss(
        generator=lambda real, fake: -softplus(fake),
        discriminator=lambda real, fake: softplus(-real) + softplus(fake),
        boundary=0.0,
    )


def non_saturating(real_label: float = 0.9, fake_label: float = 0.0) -> Loss:
    r"""Returns the non-saturating loss, with label smoothing.

    With $\mathrm{BCE}(x, t) = -t \log\sigma(x) - (1 - t) \log(1 - \sigma(x))$ and targets $t$ for
    real and $s$ for fake images, the losses are

    $$L_D = \mathrm{BCE}(r, t) + \mathrm{BCE}(f, s), \qquad L_G = \mathrm{BCE}(f, 1).$$

    Use this loss as the first choice for small networks without a penalty.

    A target $t < 1$ limits the discriminator's confidence, so that the generator's gradient does
    not vanish. The optimal logit of a real image is then finite: $\log(t / (1 - t))$, 2.2 for 0.9.
    The logit of an undecided discriminator is $\log((t + s) / (2 - t - s))$, -0.2 for 0.9 and 0.
    The target is exactly $t$; some libraries instead smooth towards one half or scale the logit. A
    target $s > 0$ is rarely useful, because it weakens the generator's gradient for images unlike
    any real one (Salimans et al.).

    Args:
      real_label: $t$, the discriminator's target for real logits, in (0, 1]; 1 disables
        smoothing.
      fake_label: $s$, the discriminator's target for fake logits, in [0, `real_label`); 0
        disables smoothing. The generator's target is always 1.

    Returns:
      A `jaxgan.Loss`; see `jaxgan.losses` for the arguments and errors of its functions.

    Raises:
      ValueError: If a label is out of range.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.non_saturating(real_label=0.9)
      >>> logits = jnp.zeros(2)
      >>> print(loss.generator(logits, logits).round(4))
      [0.6931 0.6931]
      >>> print(loss.discriminator(logits, logits).round(4))
      [1.3863 1.3863]

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661

      Salimans et al., Improved Techniques for Training GANs, 2016,
      https://arxiv.org/abs/1606.03498 (one-sided label smoothing)
    """
    checks.real("real_label", real_label)
    checks.real("fake_label", fake_label)
    fits, advice = 0.0 < real_label <= 1.0, "0.9 is the usual choice."
    checks.require(fits, "real_label", "in (0, 1]", f"{real_label}", advice)
    fits, expected = 0.0 <= fake_label < real_label, f"in [0, real_label), here [0, {real_label})"
    checks.require(fits, "fake_label", expected, f"{fake_label}")
    undecided = (float(real_label) + float(fake_label)) / 2
    return _loss(
        generator=lambda real, fake: _cross_entropy(fake, 1.0),
        discriminator=lambda real, fake: (
            _cross_entropy(real, real_label) + _cross_entropy(fake, fake_label)
        ),
        boundary=math.log(undecided / (1 - undecided)),
    )


def least_squares(
    real_label: float = 1.0, fake_label: float = 0.0, generator_label: float = 1.0
) -> Loss:
    r"""Returns the least-squares loss (LSGAN), which regresses logits on labels.

    With labels $b$ for real images, $a$ for fake images, and $c$ for the generator, the losses are

    $$L_D = \tfrac12 (r - b)^2 + \tfrac12 (f - a)^2, \qquad L_G = \tfrac12 (f - c)^2.$$

    With $b = 1, a = -1, c = 0$ the generator minimizes the Pearson $\chi^2$ divergence between
    $p_{\mathrm{real}} + p_{\mathrm{fake}}$ and $2 p_{\mathrm{fake}}$.

    The logit of an undecided discriminator is $(a + b) / 2$.

    Use this loss if sigmoids saturate: its gradient grows with the distance between logit and
    label. In float16 the squares overflow for logits beyond about 360.

    Args:
      real_label: $b$, the discriminator's target for real logits, any finite number.
      fake_label: $a$, the discriminator's target for fake logits, below both other labels.
      generator_label: $c$, the generator's target for fake logits, any finite number.

    Returns:
      A `jaxgan.Loss`; see `jaxgan.losses` for the arguments and errors of its functions.

    Raises:
      ValueError: If a label is non-finite, or `fake_label` is not below both other labels.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.least_squares()
      >>> print(loss.discriminator(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0])))
      [0.  2.5]

    References:
      Mao et al., Least Squares Generative Adversarial Networks, 2017,
      https://arxiv.org/abs/1611.04076
    """
    checks.real("real_label", real_label)
    checks.real("fake_label", fake_label)
    checks.real("generator_label", generator_label)
    fits = fake_label < real_label and fake_label < generator_label
    got = f"{fake_label=}, {real_label=}, {generator_label=}"
    checks.require(fits, "fake_label", "below real_label and generator_label", got)
    return _loss(
        generator=lambda real, fake: 0.5 * jnp.square(fake - generator_label),
        discriminator=lambda real, fake: (
            0.5 * jnp.square(real - real_label) + 0.5 * jnp.square(fake - fake_label)
        ),
        boundary=(float(real_label) + float(fake_label)) / 2,
    )


def wasserstein() -> Loss:
    r"""Returns the Wasserstein loss (WGAN), which treats logits as scores.

    $$L_D = f - r, \qquad L_G = -f.$$

    Over all 1-Lipschitz discriminators, the maximum of $-L_D$ is the earth mover's distance between
    real and fake images.

    Use this loss only with a gradient penalty or weight clipping, which bound the discriminator's
    gradient. Without a bound, $L_D$ has no minimum.

    Returns:
      A `jaxgan.Loss`; see `jaxgan.losses` for the arguments and errors of its functions.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.wasserstein()
      >>> print(loss.discriminator(jnp.array([3.0, 0.5]), jnp.array([1.0, 2.0])))
      [-2.   1.5]

    References:
      Arjovsky et al., Wasserstein GAN, 2017, https://arxiv.org/abs/1701.07875
    """
    return _loss(
        generator=lambda real, fake: -fake,
        discriminator=lambda real, fake: fake - real,
        boundary=None,
    )


def hinge() -> Loss:
    r"""Returns the hinge loss: the discriminator's loss is 0 for logits beyond a margin of 1.

    $$L_D = \max(0, 1 - r) + \max(0, 1 + f), \qquad L_G = -f.$$

    Use this loss with spectral normalization, as SNGAN, SAGAN and BigGAN do. Exactly at the margin,
    the gradient of $L_D$ is 0.

    Returns:
      A `jaxgan.Loss`; see `jaxgan.losses` for the arguments and errors of its functions.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.hinge()
      >>> print(loss.discriminator(jnp.array([2.0, 0.5]), jnp.array([-3.0, 0.0])))
      [0.  1.5]

    References:
      Lim and Ye, Geometric GAN, 2017, https://arxiv.org/abs/1705.02894

      Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018,
      https://arxiv.org/abs/1802.05957
    """
    return _loss(
        generator=lambda real, fake: -fake,
        discriminator=lambda real, fake: relu(1.0 - real) + relu(1.0 + fake),
        boundary=0.0,
    )


def relativistic() -> Loss:
    r"""Returns the relativistic pairing loss (RpGAN), which compares pairs of real and fake images.

    $$L_D = \mathrm{softplus}(f - r), \qquad L_G = \mathrm{softplus}(r - f).$$

    A pair is image $i$ of the real batch and image $i$ of the fake batch. Both batches are random,
    so the choice of pairs does not matter. Adding a constant to all logits does not change
    the loss.

    Use this loss with zero-centered gradient penalties on real and fake images (R1 and R2), as
    R3GAN does to avoid dropped modes.

    Returns:
      A `jaxgan.Loss`; see `jaxgan.losses` for the arguments and errors of its functions.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.relativistic()
      >>> print(loss.discriminator(jnp.array([5.0, 7.0]), jnp.array([5.0, 7.0])).round(4))
      [0.6931 0.6931]

    References:
      Jolicoeur-Martineau, The relativistic discriminator, 2018, https://arxiv.org/abs/1807.00734

      Huang et al., The GAN is dead; long live the GAN! (R3GAN), 2024,
      https://arxiv.org/abs/2501.05441
    """
    return _loss(
        generator=lambda real, fake: softplus(real - fake),
        discriminator=lambda real, fake: softplus(fake - real),
        boundary=None,
    )


def relativistic_average() -> Loss:
    r"""Returns the relativistic average loss (RaGAN), which compares each logit with a mean logit.

    With $\bar r$ and $\bar f$ the means over all logits, the losses are

    $$L_D = \mathrm{softplus}(\bar f - r) + \mathrm{softplus}(f - \bar r),$$
    $$L_G = \mathrm{softplus}(r - \bar f) + \mathrm{softplus}(\bar r - f).$$

    The formulas follow the paper; the paper's code halves each sum. Gradients also flow through
    the means, which use the whole batch. Under `vmap`, each mapped batch has its own means.

    Use this loss with batches that are large enough for a stable mean. ESRGAN uses it for
    super-resolution.

    Returns:
      A `jaxgan.Loss`; see `jaxgan.losses` for the arguments and errors of its functions.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.relativistic_average()
      >>> print(loss.generator(jnp.array([5.0, 5.0]), jnp.array([4.0, 6.0])).round(3))
      [2.006 1.006]

    References:
      Jolicoeur-Martineau, The relativistic discriminator, 2018, https://arxiv.org/abs/1807.00734
    """
    return _loss(
        generator=lambda real, fake: softplus(real - fake.mean()) + softplus(real.mean() - fake),
        discriminator=lambda real, fake: (
            softplus(fake.mean() - real) + softplus(fake - real.mean())
        ),
        boundary=None,
    )


def auxiliary_classifier(class_logits: Array, labels: Array) -> Array:
    r"""Computes the classification loss of AC-GAN, a softmax cross-entropy.

    For an image of class $y$ with class logits $c$, the loss is

    $$L = \log\textstyle\sum_k e^{c_k} - c_y.$$

    Use this loss to train class-conditional GANs. Add it to the discriminator's loss for real and
    fake images, and to the generator's loss for fake images. The label of a fake image is the
    label that the generator received.

    Args:
      class_logits: the output of the discriminator's second head, float `[batch, num_classes]`.
      labels: integer `[batch]`, in [0, `num_classes`). Inside jit the range is not checked: a label
        that is too large gives NaN, and a negative label counts from the last class.

    Returns:
      Float `[batch]`, of the dtype of `class_logits`.

    Raises:
      TypeError: If `class_logits` are not floats, or `labels` are not integers.
      ValueError: If the shapes are not `[batch, num_classes]` and `[batch]`, or, outside of jit, a
        label is out of range.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> class_logits = jnp.array([[0.0, 0.0, 0.0], [0.0, 50.0, 0.0]])
      >>> print(jaxgan.losses.auxiliary_classifier(class_logits, jnp.array([2, 1])).round(4))
      [1.0986 0.    ]

    References:
      Odena et al., Conditional Image Synthesis with Auxiliary Classifier GANs, 2017,
      https://arxiv.org/abs/1610.09585
    """
    form = "[batch, num_classes]"
    class_logits = checks.array("class_logits", class_logits, jnp.floating, form, lists=False)
    labels = checks.labels(labels, class_logits.shape[:1], class_logits.shape[1], lists=False)
    # optax subtracts two numbers as large as the logits, which cancels most digits in bfloat16.
    largest = jax.lax.stop_gradient(class_logits.max(axis=1, keepdims=True))
    return optax.losses.softmax_cross_entropy_with_integer_labels(class_logits - largest, labels)


def _cross_entropy(logits: Array, target: float) -> Array:
    targets = jnp.full_like(logits, target)
    return optax.losses.sigmoid_binary_cross_entropy(logits, targets)


def _loss(generator: LossFn, discriminator: LossFn, boundary: float | None) -> Loss:
    return Loss(_checked(generator), _checked(discriminator), boundary)


def _checked(formula: LossFn) -> LossFn:
    def loss(real_logits: Array, fake_logits: Array) -> Array:
        checks.array(
            "real_logits", real_logits, jnp.floating, "[batch] or [batch, ...]", lists=False
        )
        checks.array(
            "fake_logits", fake_logits, jnp.floating, "[batch] or [batch, ...]", lists=False
        )
        # Without this check, broadcasting would pair one real logit with all fake logits.
        fits, got = real_logits.shape == fake_logits.shape, (real_logits.shape, fake_logits.shape)
        checks.require(fits, "real_logits and fake_logits", "of the same shape", f"{got}")
        return formula(real_logits, fake_logits)

    return loss
