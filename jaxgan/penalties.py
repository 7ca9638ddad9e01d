r"""Defines penalties: terms that regularize the discriminator.

Unlike a loss, a penalty can use the images and the discriminator itself, for example its gradient.
A penalty is a `jaxgan.terms.Term`: `jaxgan.gan` adds the mean of its values to the discriminator's
loss. Pass one penalty as `penalty`, or several in `terms`. `lazy`, `add` and `inject` also take
other terms, of either player.

Gradient penalties use the images before augmentation. The critic augments them, with the random
draws of the loss. A gradient penalty on an augmentation $T$ therefore uses $\nabla_x D(T(x))$, as
StyleGAN2-ADA and R3GAN do, so their values of $\gamma$ carry over.

$D$ is one number for each image. If the discriminator returns several logits for an image, such as
one for each patch, $D$ is their mean. With `augment.pack`, $x$ is a pack of images.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.augment import PlainAugmentation
from jaxgan.terms import Critic, PlainTerm, Term, View, as_term
from jaxgan.types import PyTree

__all__ = [
    "Injected",
    "add",
    "consistency",
    "dragan",
    "inject",
    "lazy",
    "lecam",
    "r1",
    "r2",
    "wgan_gp",
]


def r1(gamma: float = 10.0) -> Term:
    r"""Returns the gradient penalty on real images (R1), $\frac{\gamma}{2} \|\nabla_x D(x)\|^2$.

    R1 makes training locally convergent. It is the usual penalty with the non-saturating loss.

    Args:
      gamma: $\gamma$, at least 0. Use 10 for images of 256 x 256 pixels, 0.1 to 1 for small images.

    Returns:
      A `Term` with a value for each real image, `[batch]`.

    Raises:
      ValueError: If `gamma` is negative or non-finite.

    Example:
      The gradient of a linear critic is its weight vector, here (3, 4):

      >>> import jax.numpy as jnp
      >>> from jaxgan import penalties, terms
      >>> discriminator = lambda x: x @ jnp.array([3.0, 4.0])
      >>> critic = terms.Critic(discriminator, discriminator)
      >>> penalty = penalties.r1(gamma=2.0)
      >>> values, _ = penalty.apply((), terms.View(images=jnp.ones((2, 2)), critic=critic))
      >>> print(values)
      [25. 25.]

    References:
      Mescheder et al., Which Training Methods for GANs do actually Converge?, 2018,
      https://arxiv.org/abs/1801.04406
    """
    checks.real("gamma", gamma, 0)
    squared = lambda view: _squared_norm(view.critic.real, view.images)
    return _of_view(lambda view: _times(gamma / 2, squared(view)), "images")


def r2(gamma: float = 10.0) -> Term:
    r"""Returns the gradient penalty on fake images (R2), $\frac{\gamma}{2} \|\nabla_x D(G(z))\|^2$.

    The relativistic loss needs both `r1` and `r2` to converge (R3GAN).

    Args:
      gamma: $\gamma$, at least 0.

    Returns:
      A `Term` with a value for each fake image, `[batch]`.

    Raises:
      ValueError: If `gamma` is negative or non-finite.

    Example:
      >>> from jaxgan import penalties
      >>> both = penalties.add(penalties.r1(0.1), penalties.r2(0.1))

    References:
      Mescheder et al., 2018, https://arxiv.org/abs/1801.04406

      Huang et al., The GAN is dead; long live the GAN! (R3GAN), 2024,
      https://arxiv.org/abs/2501.05441
    """
    checks.real("gamma", gamma, 0)
    squared = lambda view: _squared_norm(view.critic.fake, view.samples)
    return _of_view(lambda view: _times(gamma / 2, squared(view)), "samples")


def wgan_gp(weight: float = 10.0, *, one_sided: bool = False) -> Term:
    r"""Returns the gradient penalty of WGAN-GP, on points between real and fake images.

    With $\hat x = \epsilon x + (1 - \epsilon) G(z)$ and $\epsilon \sim U(0, 1)$ for each image, the
    values are

    $$\lambda\,(\|\nabla D(\hat x)\| - 1)^2, \quad \text{one-sided} \quad
    \lambda\,\max(0, \|\nabla D(\hat x)\| - 1)^2.$$

    Args:
      weight: $\lambda$, at least 0.
      one_sided: whether to penalize only gradient norms above 1.

    Returns:
      A `Term` with a value for each pair of images, `[batch]`.

    Raises:
      ValueError: If `weight` is negative or non-finite.
      TypeError: If `one_sided` is not a bool.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import penalties, terms
      >>> discriminator = lambda x: x @ jnp.array([0.6, 0.8])  # gradient norm 1
      >>> critic, key = terms.Critic(discriminator, discriminator), jax.random.key(0)
      >>> x, y = jnp.ones((2, 2)), jnp.zeros((2, 2))
      >>> view = terms.View(images=x, samples=y, critic=critic, key=key)
      >>> print(penalties.wgan_gp().apply((), view)[0].round(6))
      [0. 0.]

    References:
      Gulrajani et al., Improved Training of Wasserstein GANs, 2017,
      https://arxiv.org/abs/1704.00028

      Petzka et al., On the regularization of Wasserstein GANs, 2018,
      https://arxiv.org/abs/1709.08894 (one-sided)
    """
    checks.real("weight", weight, 0)
    checks.boolean("one_sided", one_sided)

    def penalty(view: View) -> Array:
        between = _between(view, view.key, view.images, view.samples)
        return _times(weight, _slope_excess(view.critic.real, between, one_sided))

    return _of_view(penalty, "images", "samples", "key")


def dragan(weight: float = 10.0, *, scale: float = 0.5) -> Term:
    r"""Returns the gradient penalty of DRAGAN, on points around the real images.

    As in the authors' notebook, the values are
    $\lambda\,(\|\nabla D(x + \alpha c s \delta)\| - 1)^2$, with $\delta \sim U(0, 1)$ for each
    pixel and $\alpha \sim U(0, 1)$ for each image. $s$ is the standard deviation of all values of
    the real batch.

    Args:
      weight: $\lambda$, at least 0.
      scale: $c$, the largest noise in each pixel, in standard deviations of the real batch, at
        least 0.

    Returns:
      A `Term` with a value for each real image, `[batch]`.

    Raises:
      ValueError: If `weight` or `scale` is negative or non-finite.

    Example:
      >>> from jaxgan import penalties
      >>> penalty = penalties.dragan(weight=10.0)

    References:
      Kodali et al., On Convergence and Stability of GANs, 2017, https://arxiv.org/abs/1705.07215,
      and DRAGAN.ipynb in https://github.com/kodalinaveen3/DRAGAN
    """
    checks.real("weight", weight, 0)
    checks.real("scale", scale, 0)

    def penalty(view: View) -> Array:
        noise_key, between_key = jax.random.split(view.key)
        real = view.images
        noise = jax.random.uniform(noise_key, real.shape, real.dtype)
        around = real + _times(scale, jnp.std(real)) * noise
        between = _between(view, between_key, real, around)
        return _times(weight, _slope_excess(view.critic.real, between, one_sided=False))

    return _of_view(penalty, "images", "key")


def consistency(augmentation: PlainAugmentation, weight: float = 10.0) -> Term:
    r"""Returns the consistency penalty, $\lambda\,(D(x) - D(T(x)))^2$ for real images $x$.

    Args:
      augmentation: $T$, a function `(key, images) -> images`, such as `augment.translation()`.
      weight: $\lambda$, at least 0.

    Returns:
      A `Term` with a value for each real image, `[batch]`.

    Raises:
      TypeError: If `augmentation` is not a function.
      ValueError: If `weight` is negative or non-finite.

    Example:
      >>> from jaxgan import augment, penalties
      >>> penalty = penalties.consistency(augment.translation(0.125))

    References:
      Zhang et al., Consistency Regularization for GANs, 2020, https://arxiv.org/abs/1910.12027
    """
    checks.function("augmentation", augmentation, "(key, images) -> images")
    checks.real("weight", weight, 0)

    def penalty(view: View) -> Array:
        changed = augmentation(view.key, view.images)
        logits = _per_image(view.critic.real(view.images))
        return _times(weight, jnp.square(logits - _per_image(view.critic.real(changed))))

    return _of_view(penalty, "images", "key")


def lecam(weight: float = 0.3, *, decay: float = 0.99, one_sided: bool = True) -> Term:
    r"""Returns the LeCam penalty, which keeps real logits near the mean fake logit and vice versa.

    The values are, one-sided as in the authors' code, and two-sided as in the paper,

    $$\lambda\,(\max(0, D(x) - \alpha_F)^2 + \max(0, \alpha_R - D(G(z)))^2), \quad
    \lambda\,((D(x) - \alpha_F)^2 + (D(G(z)) - \alpha_R)^2).$$

    $\alpha_R$ and $\alpha_F$ are moving averages of the logits of real and fake images. As in the
    authors' code for StyleGAN2, the averages include the current batch, are bias-corrected, and
    carry no gradient. (Their code for BigGAN omits the penalty in the first 1,000 steps.) Use this
    penalty to train on few images.

    Args:
      weight: $\lambda$, at least 0. The authors use 0.3 for BigGAN and 3e-7 to 1e-6 for StyleGAN2.
      decay: the decay of the averages, in [0, 1).
      one_sided: whether to penalize only real logits above $\alpha_F$ and fake logits below
        $\alpha_R$.

    Returns:
      A `Term` with a value for each pair of images, `[batch]`, and the averages as its state.

    Raises:
      ValueError: If `weight` is negative or non-finite, or `decay` is outside [0, 1).
      TypeError: If `one_sided` is not a bool.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan import penalties, terms
      >>> penalty = penalties.lecam(weight=1.0)
      >>> critic = terms.Critic(lambda x: x[:, 0], lambda x: x[:, 0])
      >>> real, fake = jnp.full((2, 1), 2.0), jnp.full((2, 1), -1.0)
      >>> view = terms.View(images=real, samples=fake, critic=critic)
      >>> values, state = penalty.apply(penalty.init(), view)
      >>> print(values.round(3))
      [18. 18.]

    References:
      Tseng et al., Regularizing GANs under Limited Data, 2021, https://arxiv.org/abs/2104.03310
      (two-sided), and https://github.com/google/lecam-gan (one-sided)
    """
    checks.real("weight", weight, 0)
    checks.real("decay", decay)
    in_range = not checks.is_concrete(decay) or 0 <= decay < 1
    checks.require(bool(in_range), "decay", "in [0, 1)", f"{decay}")
    checks.boolean("one_sided", one_sided)

    def init() -> dict[str, Array]:
        return {"sum": jnp.zeros(2, jnp.float32), "weight": jnp.zeros((), jnp.float32)}

    def apply(state: PyTree, view: View) -> tuple[Array, PyTree]:
        view = _check(view, ("images", "samples"))
        checks.tree_matches("The state of lecam", state, jax.eval_shape(init))
        both = view.critic.real(view.images), view.critic.fake(view.samples)
        logits = tuple(map(_per_image, both))
        means = jnp.stack([jnp.mean(jax.lax.stop_gradient(x), dtype=jnp.float32) for x in logits])
        # The weights of all batches add up with the rounding errors of the sum. The closed form
        # 1 - decay ** steps would cancel for a decay near 1.
        state = {
            "sum": decay * state["sum"] + (1 - decay) * means,
            "weight": decay * state["weight"] + (1 - decay),
        }
        anchors = (state["sum"] / state["weight"]).astype(logits[0].dtype)
        gaps = (logits[0] - anchors[1], anchors[0] - logits[1])
        gaps = jax.tree.map(jax.nn.relu, gaps) if one_sided else gaps
        return _times(weight, jnp.square(gaps[0]) + jnp.square(gaps[1])), state

    return Term(init, apply)


def lazy(penalty: Term | PlainTerm, every: int = 16) -> Term:
    r"""Applies a term in every `every`-th step of its player, with `every` times the weight.

    The average gradient stays the same, at a fraction of the cost. Under `vmap` the cost does not
    fall, because `vmap` computes the term in every step. Lazy R1 and R2 are known to fail on
    Stacked MNIST and two-dimensional mixtures, which need the penalty in every step.

    The StyleGAN2 code applies the penalty in an additional optimizer step after every $k$ steps. To
    compensate, the code changes Adam's learning rate $\eta$ and decays $\beta$ to

    $$c\,\eta, \quad \beta_1^c, \quad \beta_2^c, \qquad c = \frac{k}{k + 1}.$$

    `lazy` adds the penalty to the loss of an ordinary step, so it needs no compensation. To use the
    changed values anyway, pass `optax.adam(c * rate, b1=b1**c, b2=b2**c)` as the discriminator's
    optimizer, with `c = every / (every + 1)`.

    Args:
      penalty: a penalty or another `Term`, or a plain function `(view) -> values`.
      every: the period in steps of the term's player, at least 1.

    Returns:
      A `Term` with a scalar value. In the other steps, its value is 0 and its state does not
      change.

    Raises:
      ValueError: If `every` is below 1.
      TypeError: If `penalty` is not a penalty, or `every` is not an integer.

    Example:
      >>> from jaxgan import penalties
      >>> penalty = penalties.lazy(penalties.r1(1.0), every=16)

    References:
      Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020,
      https://arxiv.org/abs/1912.04958
    """
    checks.integer("every", every)
    penalty = as_term(penalty)

    def apply(state: PyTree, view: View) -> tuple[Array, PyTree]:
        def now(state: PyTree) -> tuple[Array, PyTree]:
            values, state = penalty.apply(state, view)
            return every * jnp.mean(values), state

        like = jax.eval_shape(now, state)[0]
        return jax.lax.cond(view.step % every == 0, now, lambda s: (jnp.zeros_like(like), s), state)

    return Term(penalty.init, apply)


def add(*penalties: Term | PlainTerm) -> Term:
    """Adds the means of several penalties or other terms, which have separate keys and states.

    Args:
      *penalties: at least one `Term` or plain function `(view) -> values`.

    Returns:
      A `Term` with a scalar value.

    Raises:
      ValueError: If there are no penalties.
      TypeError: If an argument is not a penalty.

    Example:
      >>> from jaxgan import penalties
      >>> penalty = penalties.add(penalties.r1(1.0), penalties.lazy(penalties.r2(1.0), every=4))
    """
    advice = "To train without a penalty, pass penalty=None to jaxgan.gan."
    checks.require(len(penalties) > 0, "penalties", "at least one", "none", advice)
    parts = [as_term(penalty) for penalty in penalties]

    def init() -> tuple[PyTree, ...]:
        return tuple(part.init() for part in parts)

    def apply(state: PyTree, view: View) -> tuple[Array, PyTree]:
        checks.tree_matches("The state of added penalties", state, jax.eval_shape(init))
        keys = jax.random.split(view.key, len(parts))
        pairs = [
            part.apply(s, view._replace(key=k))
            for part, s, k in zip(parts, state, keys, strict=True)
        ]
        total = sum((jnp.mean(values) for values, _ in pairs[1:]), jnp.mean(pairs[0][0]))
        return total, tuple(state for _, state in pairs)

    return Term(init, apply)


class Injected(NamedTuple):
    """Holds the state of an injected penalty: its hyper-parameters and the penalty's own state."""

    hyperparams: dict[str, Array]
    inner_state: PyTree


def inject(make: Callable[..., Term]) -> Callable[..., Term]:
    """Stores the hyper-parameters of a term in its state, like `optax.inject_hyperparams`.

    Hyper-parameters in the state can change during training, and differ between the members of a
    population (`jaxgan.population`).

    Args:
      make: a function that returns a penalty, with numbers as arguments, such as `r1` or `lecam`.
        In a training step, the numbers are float32 scalars, whatever the dtype of the images.

    Returns:
      The same function, with keyword arguments only. Hyper-parameters that are not passed keep
      their defaults and are not in the state.

    Example:
      >>> from jaxgan import penalties
      >>> penalty = penalties.inject(penalties.r1)(gamma=0.1)
      >>> penalty.init().hyperparams
      {'gamma': Array(0.1, dtype=float32)}
    """

    checks.function("make", make, "(**numbers) -> jaxgan.terms.Term")

    @functools.wraps(make)
    def made(**numbers: float) -> Term:
        for name, x in numbers.items():
            checks.real(name, x)
        penalty = make(**numbers)  # also checks the numbers, while they are concrete
        advice = "Use as_term to convert a function."
        name, expected = "The result of make", "a jaxgan.terms.Term, such as r1() returns"
        checks.instance(name, penalty, Term, expected, advice)

        def init() -> Injected:
            hyperparams = {name: jnp.asarray(x, jnp.float32) for name, x in numbers.items()}
            return Injected(hyperparams, penalty.init())

        def apply(state: PyTree, view: View) -> tuple[Array, PyTree]:
            checks.tree_matches("The state of an injected penalty", state, jax.eval_shape(init))
            values, inner_state = make(**state.hyperparams).apply(state.inner_state, view)
            return values, state._replace(inner_state=inner_state)

        return Term(init, apply)

    return made


def _of_view(penalty: Callable[[View], Array], *needed: str) -> Term:
    """Creates a penalty without a state from a function, and checks the fields of its views."""
    return as_term(lambda view: penalty(_check(view, needed)))


def _check(view: View, needed: tuple[str, ...]) -> View:
    """Checks a view, and returns it with a critic that checks its logits."""
    checks.instance("view", view, View, "a jaxgan.terms.View")
    checks.instance("view.critic", view.critic, Critic, "a jaxgan.terms.Critic")
    for name, function in view.critic._asdict().items():
        checks.function(f"view.critic.{name}", function, "(images) -> logits")
    found: dict[str, Any] = {}
    for name in ("images", "samples"):
        if (x := getattr(view, name)) is not None or name in needed:
            found[name] = checks.array(f"view.{name}", x, jnp.floating)
    view = view._replace(**found)
    if len(found) == 2:
        # Without this check, broadcasting would repeat an image or a channel of the smaller array.
        got = f"{view.images.shape} and {view.samples.shape}"
        fits = view.images.shape == view.samples.shape
        checks.require(fits, "view.images and view.samples", "of the same shape", got)
    if view.key is not None or "key" in needed:
        checks.key(view.key)
    return view._replace(critic=Critic(*(functools.partial(_checked, f) for f in view.critic)))


def _checked(critic: Callable[[Array], PyTree], images: Array) -> PyTree:
    """Checks that each image, or each pack of images, has its logits."""
    logits, num = critic(images), images.shape[0]
    arrays = jax.tree.leaves(logits)
    name, expected = "The critic's logits", f"float [{num}], or [{num}, ...]"
    checks.require(len(arrays) > 0, name, expected, checks.shown(logits))
    for x in arrays:
        is_float = jnp.issubdtype(getattr(x, "dtype", object), jnp.floating)
        fits = is_float and x.size > 0 and x.ndim > 0 and num % x.shape[0] == 0
        checks.require(fits, name, expected, checks.shown(x))
    return logits


def _per_image(logits: PyTree) -> Array:
    """Returns the mean of all logits of an image, `[batch]`."""
    arrays = jax.tree.leaves(logits)
    means = [x if x.ndim == 1 else jnp.mean(x, axis=tuple(range(1, x.ndim))) for x in arrays]
    return means[0] if len(means) == 1 else jnp.mean(jnp.stack(means), axis=0)


def _times(number: ArrayLike, values: Array) -> Array:
    """Multiplies values by a number, which may be a float32 array, without changing their dtype."""
    return jnp.asarray(number, values.dtype) * values


def _squared_norm(critic: Callable[[Array], PyTree], images: Array) -> Array:
    """Returns the squared norm of each logit's gradient."""

    def total(images: Array) -> tuple[Array, Array]:
        logits = _per_image(critic(images))
        return jnp.sum(logits), logits

    grads, logits = jax.grad(total, has_aux=True)(images)
    norms = jnp.sum(jnp.square(grads), axis=tuple(range(1, grads.ndim)))
    return norms if norms.shape == logits.shape else jnp.sum(norms.reshape(*logits.shape, -1), 1)


def _slope_excess(critic: Callable[[Array], PyTree], images: Array, one_sided: bool) -> Array:
    squared = _squared_norm(critic, images)
    # The square root has an infinite gradient at 0, which becomes NaN even if `where` masks it.
    flat = squared == 0
    norm = jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, squared)))
    excess = jnp.maximum(norm - 1.0, 0.0) if one_sided else norm - 1.0
    return jnp.square(excess)


def _between(view: View, key: Array, a: Array, b: Array) -> Array:
    """Returns random points on the lines between images, with one position for each pack."""
    num = jax.tree.leaves(view.real_logits)[0].shape[0] if view.real_logits is not None else len(a)
    share = jax.random.uniform(key, (num,) + (1,) * (a.ndim - 1), a.dtype)
    if num != len(a):
        share = jnp.repeat(share, len(a) // num, axis=0)
    return share * a + (1.0 - share) * b
