r"""Defines penalties, which `jaxgan.gan` adds to the discriminator's loss.

Unlike a loss, a penalty can use the images and the discriminator itself, for example its gradient.
A penalty is a pair of pure functions, like an optax transformation: `init` creates its state, often
empty, and `apply` computes its values.

`apply` receives the discriminator as `critic`, a function from images to logits. The images are
packed, as in a discriminator step, but not augmented: the critic augments them, with the random
draws of the loss. A gradient penalty on an augmentation $T$ therefore uses $\nabla_x D(T(x))$, as
StyleGAN2-ADA and R3GAN do, so their values of $\gamma$ carry over.

`jaxgan.gan` also accepts a plain function `(critic, real, fake, key) -> values`, with values
`[batch]` or a scalar. It adds the mean of the values to the discriminator's loss.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxgan._internal import checks
from jaxgan.augment import PlainAugmentation
from jaxgan.types import PyTree

__all__ = [
    "Critic",
    "Injected",
    "Penalty",
    "PenaltyApply",
    "PlainPenalty",
    "StepCritic",
    "add",
    "as_penalty",
    "consistency",
    "dragan",
    "inject",
    "lazy",
    "lecam",
    "r1",
    "r2",
    "wgan_gp",
]

Critic = Callable[[Array], Array]
"""The discriminator as a function from images `[batch, ...]` to logits `[batch]`."""


@dataclasses.dataclass(frozen=True)
class StepCritic:
    """Holds the critic of a discriminator step, for real and for fake images.

    Both functions apply the same discriminator, after an augmentation with the random draws of the
    real or of the fake images in the loss. Calling the `StepCritic` calls `real`. Without dropout,
    `real` of the real images and `fake` of the fake images are the logits of the loss.

    Args:
      real: a `Critic` with the draws of the real images.
      fake: a `Critic` with the draws of the fake images.

    Example:
      >>> from jaxgan import penalties
      >>> critic = penalties.StepCritic(real=lambda x: x[:, 0], fake=lambda x: x[:, 0])
    """

    real: Critic
    fake: Critic

    def __call__(self, images: Array, /) -> Array:
        """Applies `real`."""
        return self.real(images)


class PlainPenalty(Protocol):
    """Computes a penalty without a state: `(critic, real, fake, key) -> values`."""

    def __call__(self, critic: StepCritic, real: Array, fake: Array, key: Array, /) -> Array: ...


class PenaltyApply(Protocol):
    """Computes a penalty: `(state, critic, real, fake, *, key, step) -> (values, state)`."""

    def __call__(
        self,
        state: PyTree,
        critic: StepCritic,
        real: Array,
        fake: Array,
        /,
        *,
        key: Array,
        step: Array,
    ) -> tuple[Array, PyTree]: ...


class Penalty(NamedTuple):
    """Holds a penalty as two pure functions.

    Args:
      init: `() -> state`, a pytree of arrays; `()` for a penalty without a state.
      apply: `(state, critic, real, fake, *, key, step) -> (values, state)`. `real` and `fake` are
        float `[batch, ...]`. `values` is `[batch]` or a scalar. `step` is an int32 scalar that
        counts discriminator steps.
    """

    init: Callable[[], PyTree]
    apply: PenaltyApply


def as_penalty(penalty: Penalty | PlainPenalty) -> Penalty:
    """Converts a plain function to a `Penalty`, and returns a `Penalty` unchanged.

    Args:
      penalty: a `Penalty`, or a function `(critic, real, fake, key) -> values`, with values
        `[batch]` or a scalar.

    Returns:
      A `Penalty`. For a plain function, its state is `()`.

    Raises:
      TypeError: If `penalty` is neither a `Penalty` nor a function.

    Example:
      >>> from jaxgan import penalties
      >>> drift = penalties.as_penalty(lambda critic, real, fake, key: 1e-3 * critic(real) ** 2)
      >>> drift.init()
      ()
    """
    if isinstance(penalty, Penalty):
        return penalty
    form = "(critic, real, fake, key) -> values, or a jaxgan.penalties.Penalty"
    checks.function("A penalty", penalty, form, or_class=False)

    def apply(
        state: PyTree, critic: StepCritic, real: Array, fake: Array, *, key: Array, step: Array
    ) -> tuple[Array, PyTree]:
        del step
        return penalty(critic, real, fake, key), state

    return Penalty(lambda: (), apply)


def r1(gamma: float = 10.0) -> Penalty:
    r"""Returns the gradient penalty on real images (R1), $\frac{\gamma}{2} \|\nabla_x D(x)\|^2$.

    R1 makes training locally convergent. It is the usual penalty with the non-saturating loss.

    Args:
      gamma: $\gamma$, at least 0. Use 10 for images of 256 x 256 pixels, 0.1 to 1 for small images.

    Returns:
      A `Penalty` with a value for each real image, `[batch]`.

    Raises:
      ValueError: If `gamma` is negative or non-finite.

    Example:
      The gradient of a linear critic is its weight vector, here (3, 4):

      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import penalties
      >>> critic = lambda x: x @ jnp.array([3.0, 4.0])
      >>> x = jnp.ones((2, 2))
      >>> penalty = penalties.r1(gamma=2.0)
      >>> values, _ = penalty.apply((), critic, x, x, key=jax.random.key(0), step=0)
      >>> print(values)
      [25. 25.]

    References:
      Mescheder et al., Which Training Methods for GANs do actually Converge?, 2018,
      https://arxiv.org/abs/1801.04406
    """
    checks.real("gamma", gamma, 0)
    return _of_images(
        lambda critic, real, fake, key: _times(gamma / 2, _squared_norm(critic, real))
    )


def r2(gamma: float = 10.0) -> Penalty:
    r"""Returns the gradient penalty on fake images (R2), $\frac{\gamma}{2} \|\nabla_x D(G(z))\|^2$.

    The relativistic loss needs both `r1` and `r2` to converge (R3GAN).

    Args:
      gamma: $\gamma$, at least 0.

    Returns:
      A `Penalty` with a value for each fake image, `[batch]`.

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
    return _of_images(
        lambda critic, real, fake, key: _times(gamma / 2, _squared_norm(critic.fake, fake))
    )


def wgan_gp(weight: float = 10.0, *, one_sided: bool = False) -> Penalty:
    r"""Returns the gradient penalty of WGAN-GP, on points between real and fake images.

    With $\hat x = \epsilon x + (1 - \epsilon) G(z)$ and $\epsilon \sim U(0, 1)$ for each image, the
    values are

    $$\lambda\,(\|\nabla D(\hat x)\| - 1)^2, \quad \text{one-sided} \quad
    \lambda\,\max(0, \|\nabla D(\hat x)\| - 1)^2.$$

    Args:
      weight: $\lambda$, at least 0.
      one_sided: whether to penalize only gradient norms above 1.

    Returns:
      A `Penalty` with a value for each pair of images, `[batch]`.

    Raises:
      ValueError: If `weight` is negative or non-finite.
      TypeError: If `one_sided` is not a bool.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import penalties
      >>> critic = lambda x: x @ jnp.array([0.6, 0.8])  # gradient norm 1
      >>> x, y = jnp.ones((2, 2)), jnp.zeros((2, 2))
      >>> penalty = penalties.wgan_gp()
      >>> print(penalty.apply((), critic, x, y, key=jax.random.key(0), step=0)[0].round(6))
      [0. 0.]

    References:
      Gulrajani et al., Improved Training of Wasserstein GANs, 2017,
      https://arxiv.org/abs/1704.00028

      Petzka et al., On the regularization of Wasserstein GANs, 2018,
      https://arxiv.org/abs/1709.08894 (one-sided)
    """
    checks.real("weight", weight, 0)
    checks.boolean("one_sided", one_sided)

    def penalty(critic: Critic, real: Array, fake: Array, key: Array) -> Array:
        return _times(weight, _slope_excess(critic, _between(key, real, fake), one_sided))

    return _of_images(penalty)


def dragan(weight: float = 10.0, *, scale: float = 0.5) -> Penalty:
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
      A `Penalty` with a value for each real image, `[batch]`.

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

    def penalty(critic: Critic, real: Array, fake: Array, key: Array) -> Array:
        noise_key, between_key = jax.random.split(key)
        noise = jax.random.uniform(noise_key, real.shape, real.dtype)
        around = real + _times(scale, jnp.std(real)) * noise
        between = _between(between_key, real, around)
        return _times(weight, _slope_excess(critic, between, one_sided=False))

    return _of_images(penalty)


def consistency(augmentation: PlainAugmentation, weight: float = 10.0) -> Penalty:
    r"""Returns the consistency penalty, $\lambda\,(D(x) - D(T(x)))^2$ for real images $x$.

    Args:
      augmentation: $T$, a function `(key, images) -> images`, such as `augment.translation()`.
      weight: $\lambda$, at least 0.

    Returns:
      A `Penalty` with a value for each real image, `[batch]`.

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

    def penalty(critic: Critic, real: Array, fake: Array, key: Array) -> Array:
        return _times(weight, jnp.square(critic(real) - critic(augmentation(key, real))))

    return _of_images(penalty)


def lecam(weight: float = 0.3, *, decay: float = 0.99, one_sided: bool = True) -> Penalty:
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
      A `Penalty` with a value for each pair of images, `[batch]`, and the averages as its state.

    Raises:
      ValueError: If `weight` is negative or non-finite, or `decay` is outside [0, 1).
      TypeError: If `one_sided` is not a bool.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxgan import penalties
      >>> penalty = penalties.lecam(weight=1.0)
      >>> critic = lambda x: x[:, 0]
      >>> real, fake = jnp.full((2, 1), 2.0), jnp.full((2, 1), -1.0)
      >>> key = jax.random.key(0)
      >>> values, state = penalty.apply(penalty.init(), critic, real, fake, key=key, step=0)
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

    def apply(
        state: PyTree, critic: StepCritic, real: Array, fake: Array, *, key: Array, step: Array
    ) -> tuple[Array, PyTree]:
        both, real, fake = _check(critic, real, fake)
        checks.tree_matches("The state of lecam", state, jax.eval_shape(init))
        logits = (both.real(real), both.fake(fake))
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

    return Penalty(init, apply)


def lazy(penalty: Penalty | PlainPenalty, every: int = 16) -> Penalty:
    r"""Applies a penalty in every `every`-th discriminator step, with `every` times the weight.

    The average gradient stays the same, at a fraction of the cost. Under `vmap` the cost does not
    fall, because `vmap` computes the penalty in every step. Lazy R1 and R2 are known to fail on
    Stacked MNIST and two-dimensional mixtures, which need the penalty in every step.

    The StyleGAN2 code applies the penalty in an additional optimizer step after every $k$ steps. To
    compensate, the code changes Adam's learning rate $\eta$ and decays $\beta$ to

    $$c\,\eta, \quad \beta_1^c, \quad \beta_2^c, \qquad c = \frac{k}{k + 1}.$$

    `lazy` adds the penalty to the loss of an ordinary step, so it needs no compensation. To use the
    changed values anyway, pass `optax.adam(c * rate, b1=b1**c, b2=b2**c)` as the discriminator's
    optimizer, with `c = every / (every + 1)`.

    Args:
      penalty: a `Penalty`, or a plain function `(critic, real, fake, key) -> values`.
      every: the period in discriminator steps, at least 1.

    Returns:
      A `Penalty` with a scalar value. In the other steps, its value is 0 and its state does not
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
    penalty = as_penalty(penalty)

    def apply(
        state: PyTree, critic: StepCritic, real: Array, fake: Array, *, key: Array, step: Array
    ) -> tuple[Array, PyTree]:
        def now(state: PyTree) -> tuple[Array, PyTree]:
            values, state = penalty.apply(state, critic, real, fake, key=key, step=step)
            return every * jnp.mean(values), state

        like = jax.eval_shape(now, state)[0]
        return jax.lax.cond(step % every == 0, now, lambda s: (jnp.zeros_like(like), s), state)

    return Penalty(penalty.init, apply)


def add(*penalties: Penalty | PlainPenalty) -> Penalty:
    """Adds the means of several penalties, which have separate keys and states.

    Args:
      *penalties: at least one `Penalty` or plain function `(critic, real, fake, key) -> values`.

    Returns:
      A `Penalty` with a scalar value.

    Raises:
      ValueError: If there are no penalties.
      TypeError: If an argument is not a penalty.

    Example:
      >>> from jaxgan import penalties
      >>> penalty = penalties.add(penalties.r1(1.0), penalties.lazy(penalties.r2(1.0), every=4))
    """
    advice = "To train without a penalty, pass penalty=None to jaxgan.gan."
    checks.require(len(penalties) > 0, "penalties", "at least one", "none", advice)
    parts = [as_penalty(penalty) for penalty in penalties]

    def init() -> tuple[PyTree, ...]:
        return tuple(part.init() for part in parts)

    def apply(
        state: PyTree, critic: StepCritic, real: Array, fake: Array, *, key: Array, step: Array
    ) -> tuple[Array, PyTree]:
        checks.tree_matches("The state of added penalties", state, jax.eval_shape(init))
        keys = jax.random.split(key, len(parts))
        pairs = [
            part.apply(s, critic, real, fake, key=k, step=step)
            for part, s, k in zip(parts, state, keys, strict=True)
        ]
        total = sum((jnp.mean(values) for values, _ in pairs[1:]), jnp.mean(pairs[0][0]))
        return total, tuple(state for _, state in pairs)

    return Penalty(init, apply)


class Injected(NamedTuple):
    """Holds the state of an injected penalty: its hyper-parameters and the penalty's own state."""

    hyperparams: dict[str, Array]
    inner_state: PyTree


def inject(make: Callable[..., Penalty]) -> Callable[..., Penalty]:
    """Stores the hyper-parameters of a penalty in its state, like `optax.inject_hyperparams`.

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

    checks.function("make", make, "(**numbers) -> jaxgan.penalties.Penalty")

    @functools.wraps(make)
    def made(**numbers: float) -> Penalty:
        for name, x in numbers.items():
            checks.real(name, x)
        penalty = make(**numbers)  # also checks the numbers, while they are concrete
        advice = "Use as_penalty to convert a function."
        name, expected = "The result of make", "a jaxgan.penalties.Penalty, such as r1() returns"
        checks.instance(name, penalty, Penalty, expected, advice)

        def init() -> Injected:
            hyperparams = {name: jnp.asarray(x, jnp.float32) for name, x in numbers.items()}
            return Injected(hyperparams, penalty.init())

        def apply(
            state: PyTree, critic: StepCritic, real: Array, fake: Array, *, key: Array, step: Array
        ) -> tuple[Array, PyTree]:
            checks.tree_matches("The state of an injected penalty", state, jax.eval_shape(init))
            values, inner_state = make(**state.hyperparams).apply(
                state.inner_state, critic, real, fake, key=key, step=step
            )
            return values, state._replace(inner_state=inner_state)

        return Penalty(init, apply)

    return made


def _of_images(penalty: Callable[[StepCritic, Array, Array, Array], Array]) -> Penalty:
    """Creates a penalty without a state from a function, and checks the function's arguments."""

    def checked(critic: Critic, real: Array, fake: Array, key: Array) -> Array:
        checks.key(key)
        return penalty(*_check(critic, real, fake), key)

    return as_penalty(checked)


def _check(critic: Critic, real: Array, fake: Array) -> tuple[StepCritic, Array, Array]:
    checks.function("critic", critic, "images -> logits")
    both = critic if isinstance(critic, StepCritic) else StepCritic(critic, critic)
    real = checks.array("real", real, jnp.floating)
    fake = checks.array("fake", fake, jnp.floating)
    # Without this check, broadcasting would repeat an image or a channel of the smaller array.
    got = f"{real.shape} and {fake.shape}"
    checks.require(real.shape == fake.shape, "real and fake", "of the same shape", got)

    def checked(critic: Critic, images: Array) -> Array:
        logits = critic(images)
        expected, got = f"of shape {images.shape[:1]}, [batch]", f"{jnp.shape(logits)}"
        fits = jnp.shape(logits) == images.shape[:1]
        checks.require(fits, "The critic's logits", expected, got, "Drop the other axes.")
        return logits

    of_real, of_fake = (functools.partial(checked, part) for part in (both.real, both.fake))
    return StepCritic(of_real, of_fake), real, fake


def _times(number: ArrayLike, values: Array) -> Array:
    """Multiplies values by a number, which may be a float32 array, without changing their dtype."""
    return jnp.asarray(number, values.dtype) * values


def _squared_norm(critic: Critic, images: Array) -> Array:
    grads = jax.grad(lambda x: jnp.sum(critic(x)))(images)
    return jnp.sum(jnp.square(grads), axis=tuple(range(1, grads.ndim)))


def _slope_excess(critic: Critic, images: Array, one_sided: bool) -> Array:
    squared = _squared_norm(critic, images)
    # The square root has an infinite gradient at 0, which becomes NaN even if `where` masks it.
    flat = squared == 0
    norm = jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, squared)))
    excess = jnp.maximum(norm - 1.0, 0.0) if one_sided else norm - 1.0
    return jnp.square(excess)


def _between(key: Array, a: Array, b: Array) -> Array:
    share = jax.random.uniform(key, (a.shape[0],) + (1,) * (a.ndim - 1), a.dtype)
    return share * a + (1.0 - share) * b
