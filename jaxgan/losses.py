r"""Adversarial losses: pairs of functions from logits to one number an image.

All but `auxiliary_classifier` return a `Pair` of `(real_logits, fake_logits) -> [batch]`. They know
nothing of networks, so they can be used anywhere; `jaxgan.gan` takes the mean over the batch.

What they share, and what is not said again below:

- `real_logits` and `fake_logits` are the discriminator's raw outputs for real and fake images,
  float `[batch]`, as many real as fake. The formulas call one of each $r$ and $f$. Each player
  minimises its own: $L_G$ the generator, $L_D$ the discriminator.
- They are elementwise, as optax's are: number $i$ depends on real and fake logit $i$ alone. Only
  `relativistic_average` also looks at batch means.
- The dtype of the logits is kept. Values and gradients are finite for logits up to 1e4 in
  magnitude in float32 and bfloat16.
- At trace time they raise a `ValueError` if the logits are not `[batch]`, none, or their shapes
  differ, and a `TypeError` if they are not arrays of floats.

$\sigma(x) = 1 / (1 + e^{-x})$, and $\mathrm{softplus}(x) = \log(1 + e^x)$, so that
$-\log\sigma(x) = \mathrm{softplus}(-x)$ and $-\log(1 - \sigma(x)) = \mathrm{softplus}(x)$.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.nn import relu, softplus

from jaxgan._internal import checks
from jaxgan.types import Loss, Pair

__all__ = [
    "auxiliary_classifier",
    "hinge",
    "least_squares",
    "minimax",
    "non_saturating",
    "relativistic",
    "relativistic_average",
    "wasserstein",
]


def minimax() -> Pair[Loss]:
    r"""The original two-player game, in which the generator minimises what the discriminator gains.

    $$L_D = -\log\sigma(r) - \log(1 - \sigma(f)), \qquad L_G = \log(1 - \sigma(f)).$$

    Use it to study the game itself. The generator's gradient, $-\sigma(f)$, vanishes where the
    discriminator rejects its images, so `non_saturating` is what one trains with.

    Returns:
      A `Pair` of losses; what they accept and raise is said in `jaxgan.losses`.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.minimax()
      >>> print(loss.generator(jnp.zeros(2), jnp.zeros(2)).round(4))
      [-0.6931 -0.6931]

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661
    """
    return _pair(
        generator=lambda real, fake: -softplus(fake),
        discriminator=lambda real, fake: softplus(-real) + softplus(fake),
    )


def non_saturating(real_label: float = 0.9, fake_label: float = 0.0) -> Pair[Loss]:
    r"""The non-saturating loss, with label smoothing.

    With $\mathrm{BCE}(x, t) = -t \log\sigma(x) - (1 - t) \log(1 - \sigma(x))$, and targets $t$ for
    real and $s$ for fake images,

    $$L_D = \mathrm{BCE}(r, t) + \mathrm{BCE}(f, s), \qquad L_G = \mathrm{BCE}(f, 1).$$

    A target $t < 1$ keeps the discriminator from growing arbitrarily confident and so from
    starving the generator of gradient: its best answer to a real image is the finite logit
    $\log(t / (1 - t))$, 2.2 for 0.9. The target itself is $t$ (neither smoothed towards one half
    nor a scaled logit, as some libraries mean by it). A target $s > 0$ is rarely wanted:
    it gives images unlike any real one less reason to change (Salimans et al.).

    Use it as the first choice for small networks without a penalty.

    Args:
      real_label: the discriminator's target of real logits, in (0, 1]; 1 is no smoothing.
      fake_label: its target of fake logits, in [0, `real_label`); 0 is no smoothing. The
        generator's target is always 1.

    Returns:
      A `Pair` of losses; what they accept and raise is said in `jaxgan.losses`.

    Raises:
      ValueError: a label is out of its range.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.non_saturating(real_label=0.9)
      >>> undecided = jnp.zeros(2)
      >>> print(loss.generator(undecided, undecided).round(4))
      [0.6931 0.6931]
      >>> print(loss.discriminator(undecided, undecided).round(4))
      [1.3863 1.3863]

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661

      Salimans et al., Improved Techniques for Training GANs, 2016,
      https://arxiv.org/abs/1606.03498 (label smoothing, and why on one side)
    """
    checks.real("real_label", real_label)
    checks.real("fake_label", fake_label)
    fits, advice = 0.0 < real_label <= 1.0, "0.9 is the usual choice."
    checks.require(fits, "real_label", "in (0, 1]", f"{real_label}", advice)
    fits, expected = 0.0 <= fake_label < real_label, f"in [0, real_label), here [0, {real_label})"
    checks.require(fits, "fake_label", expected, f"{fake_label}")
    return _pair(
        generator=lambda real, fake: _cross_entropy(fake, 1.0),
        discriminator=lambda real, fake: (
            _cross_entropy(real, real_label) + _cross_entropy(fake, fake_label)
        ),
    )


def least_squares(
    real_label: float = 1.0, fake_label: float = 0.0, generator_label: float = 1.0
) -> Pair[Loss]:
    r"""The least-squares loss (LSGAN): logits are regressed on labels.

    With labels $b$ (real), $a$ (fake) and $c$ (what the generator wants its images to be called),

    $$L_D = \tfrac12 (r - b)^2 + \tfrac12 (f - a)^2, \qquad L_G = \tfrac12 (f - c)^2.$$

    With $b = 1, a = -1, c = 0$ the generator minimises the Pearson $\chi^2$ divergence between
    $p_{\mathrm{real}} + p_{\mathrm{fake}}$ and $2 p_{\mathrm{fake}}$.

    Use it where sigmoids saturate: an image is pulled the harder, the further it is from its label.
    In float16 the squares overflow for logits beyond about 360.

    Args:
      real_label: the discriminator's target of real logits, any finite number.
      fake_label: its target of fake logits, below both other labels.
      generator_label: the generator's target of fake logits, any finite number.

    Returns:
      A `Pair` of losses; what they accept and raise is said in `jaxgan.losses`.

    Raises:
      ValueError: a label is not finite, or `fake_label` is not below the other two.

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
    return _pair(
        generator=lambda real, fake: 0.5 * jnp.square(fake - generator_label),
        discriminator=lambda real, fake: (
            0.5 * jnp.square(real - real_label) + 0.5 * jnp.square(fake - fake_label)
        ),
    )


def wasserstein() -> Pair[Loss]:
    r"""The Wasserstein loss (WGAN): the discriminator is a critic, and its logits are scores.

    $$L_D = f - r, \qquad L_G = -f.$$

    For a 1-Lipschitz critic, the best $-L_D$ is the earth mover's distance of real and fake images.

    Use it with something that bounds the critic's slope, such as a gradient penalty or weight
    clipping; without that $L_D$ has no minimum.

    Returns:
      A `Pair` of losses; what they accept and raise is said in `jaxgan.losses`.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.wasserstein()
      >>> print(loss.discriminator(jnp.array([3.0, 0.5]), jnp.array([1.0, 2.0])))
      [-2.   1.5]

    References:
      Arjovsky et al., Wasserstein GAN, 2017, https://arxiv.org/abs/1701.07875
    """
    return _pair(generator=lambda real, fake: -fake, discriminator=lambda real, fake: fake - real)


def hinge() -> Pair[Loss]:
    r"""The hinge loss: the discriminator learns only from images on the wrong side of its margin.

    $$L_D = \max(0, 1 - r) + \max(0, 1 + f), \qquad L_G = -f.$$

    Use it with spectral normalisation, as SNGAN, SAGAN and BigGAN do. At the margin itself the
    gradient of $L_D$ is 0.

    Returns:
      A `Pair` of losses; what they accept and raise is said in `jaxgan.losses`.

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
    return _pair(
        generator=lambda real, fake: -fake,
        discriminator=lambda real, fake: relu(1.0 - real) + relu(1.0 + fake),
    )


def relativistic() -> Pair[Loss]:
    r"""The relativistic pairing loss (RpGAN): is this real image more real than this fake one?

    $$L_D = \mathrm{softplus}(f - r), \qquad L_G = \mathrm{softplus}(r - f).$$

    Image $i$ of the real batch is paired with image $i$ of the fake one; both being random, any
    pairing will do. Only differences count, so the logits as a whole may drift.

    Use it with zero-centred gradient penalties on real and fake images (R1 and R2): that is R3GAN,
    which chose it against dropped modes.

    Returns:
      A `Pair` of losses; what they accept and raise is said in `jaxgan.losses`.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.relativistic()
      >>> print(loss.discriminator(jnp.array([5.0, 7.0]), jnp.array([5.0, 7.0])).round(4))
      [0.6931 0.6931]

    References:
      Jolicoeur-Martineau, The relativistic discriminator, 2018, https://arxiv.org/abs/1807.00734

      Huang et al., The GAN is dead; long live the GAN! (R3GAN), 2025,
      https://arxiv.org/abs/2501.05441
    """
    return _pair(
        generator=lambda real, fake: softplus(real - fake),
        discriminator=lambda real, fake: softplus(fake - real),
    )


def relativistic_average() -> Pair[Loss]:
    r"""The relativistic average loss (RaGAN): is an image more real than the other side's average?

    With $\bar r$ and $\bar f$ the means over the batch,

    $$L_D = \mathrm{softplus}(\bar f - r) + \mathrm{softplus}(f - \bar r),$$
    $$L_G = \mathrm{softplus}(r - \bar f) + \mathrm{softplus}(\bar r - f).$$

    These are the sums of the paper; its code halves them. The means carry gradient: each logit also
    moves the average that the other side is compared with. So this loss is not elementwise: the
    batch is one, and under `vmap` each mapped batch has means of its own.

    Use it with batches large enough for a steady mean; ESRGAN's super-resolution trains with it.

    Returns:
      A `Pair` of losses; what they accept and raise is said in `jaxgan.losses`.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> loss = jaxgan.losses.relativistic_average()
      >>> print(loss.generator(jnp.array([5.0, 5.0]), jnp.array([4.0, 6.0])).round(3))
      [2.006 1.006]

    References:
      Jolicoeur-Martineau, The relativistic discriminator, 2018, https://arxiv.org/abs/1807.00734
    """
    return _pair(
        generator=lambda real, fake: softplus(real - fake.mean()) + softplus(real.mean() - fake),
        discriminator=lambda real, fake: (
            softplus(fake.mean() - real) + softplus(fake - real.mean())
        ),
    )


def auxiliary_classifier(class_logits: Array, labels: Array) -> Array:
    r"""The classification term of AC-GAN: softmax cross-entropy of the discriminator's second head.

    For an image of class $y$ with class logits $c$,

    $$L = \log\textstyle\sum_k e^{c_k} - c_y.$$

    Use it to condition on classes: the discriminator adds it for its real and fake images, the
    generator for its fake ones, with the classes that these were generated from.

    Args:
      class_logits: float, `[batch, num_classes]`.
      labels: integer, `[batch]`, in [0, `num_classes`). A compiled program cannot check their
        values: there one too large gives NaN, a negative one counts from the last class.

    Returns:
      `[batch]`, of the dtype of `class_logits`.

    Raises:
      TypeError: `class_logits` are not floats or `labels` not integers.
      ValueError: the shapes are not `[batch, num_classes]` and `[batch]`, or, outside of jit, a
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
    # optax subtracts two numbers as large as the logits, which in bfloat16 leaves little of either.
    largest = jax.lax.stop_gradient(class_logits.max(axis=1, keepdims=True))
    return optax.losses.softmax_cross_entropy_with_integer_labels(class_logits - largest, labels)


def _cross_entropy(logits: Array, target: float) -> Array:
    targets = jnp.full_like(logits, target)
    return optax.losses.sigmoid_binary_cross_entropy(logits, targets)


def _pair(generator: Loss, discriminator: Loss) -> Pair[Loss]:
    return Pair(_checked(generator), _checked(discriminator))


def _checked(formula: Loss) -> Loss:
    def loss(real_logits: Array, fake_logits: Array) -> Array:
        checks.array("real_logits", real_logits, jnp.floating, "[batch]", lists=False)
        checks.array("fake_logits", fake_logits, jnp.floating, "[batch]", lists=False)
        # Without this check one logit would be compared with every logit of the other side.
        fits, got = real_logits.shape == fake_logits.shape, (real_logits.shape, fake_logits.shape)
        checks.require(fits, "real_logits and fake_logits", "of the same shape", f"{got}")
        return formula(real_logits, fake_logits)

    return loss
