"""Defines `jaxgan.gan`, which builds pure functions from networks, a loss and optimizers."""

import functools
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxgan._game import _sample, _validation
from jaxgan._game._config import GameConfig
from jaxgan._game._half_steps import train_step
from jaxgan._game._init import create_state, example_of, make_init
from jaxgan._internal import checks
from jaxgan._internal.channels_last import fast_if_traced
from jaxgan.augment import Augmentation, PlainAugmentation, as_augmentation
from jaxgan.losses import as_loss
from jaxgan.networks.adapters import NetworkLike, as_network
from jaxgan.penalties import Penalty, PlainPenalty, as_penalty
from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Labels, Loss, LossFn, Metrics, Pair

FEW = 8
"""The smallest batch that shows whether images are probably in [0, 1], or masks."""


class InitFn(Protocol):
    """Creates the state of step 0."""

    def __call__(
        self, key: jax.Array, images: Batch, labels: Labels | None = None
    ) -> TrainState: ...


class UpdateFn(Protocol):
    """Performs one training step."""

    def __call__(
        self,
        state: TrainState,
        images: Batch,
        labels: Labels | None = None,
        *,
        interleaved: bool = False,
    ) -> tuple[TrainState, Metrics]: ...


class SampleFn(Protocol):
    """Generates images."""

    def __call__(
        self, state: TrainState, latents: jax.Array, labels: Labels | None = None
    ) -> jax.Array: ...


class StandingStatisticsFn(Protocol):
    """Recomputes the generator's batch statistics."""

    def __call__(
        self, state: TrainState, latents: jax.Array, labels: Labels | None = None
    ) -> TrainState: ...


class GAN(NamedTuple):
    """Holds a GAN as four pure functions. `jaxgan.gan` returns it.

    Only `init` is jitted. Wrap the others in `jax.jit`, `jax.vmap` or `jax.lax.scan`. Pass
    `labels`, integers `[n]`, if and only if the GAN has `num_classes`.

    Args:
      init: `(key, images, labels=None) -> TrainState`. `images` are example real images, `[n,
        height, width, channels]`. Only the shape and dtype of `images` and `labels` affect the
        state. `init` warns about model state that training does not change. Outside of jit, it
        checks that the range of the images and of the generator fits `data_range`. `init` compiles
        itself, so `jax.jit` does not change its result. It calls the networks' `init` once for each
        shape and dtype, so their random numbers must come from `key`.
      update: `(state, images, labels=None, *, interleaved=False) -> (state, metrics)`. Performs
        one training step on real images, float in [-1, 1], `[batch, height, width, channels]`.
        Each of $n$ discriminator steps uses an equal share of the batch: consecutive images or,
        with `interleaved`, every $n$-th image. Interleaved shares of a batch that is split over
        devices stay on their devices. The generator step uses the last share.
      sample: `(state, latents, labels=None) -> images`. Generates images, float in the generator's
        range, from `latents`, `[n, latents]`. Uses the averaged parameters if the state has them,
        in the dtypes of the parameters. Always uses the generator's current `model_state`, as
        StyleGAN2-ADA does.
      standing_statistics: `(state, latents, labels=None) -> state`. Recomputes the generator's
        batch statistics as BigGAN does. The parameters of `sample` make one training pass for each
        batch of `latents`, `[passes, batch, latents]`, and of `labels`, `[passes, batch]`. Each
        running average in `model_state` becomes the mean over the passes. Use the new state for
        `sample`, and the old state to continue training.
      num_classes: the number of classes, or None. `jaxgan.training` checks labels with it.
      data_range: the range of real images, or None. `jaxgan.training` checks images with it.
      discriminator_steps: the number of discriminator steps per generator step.
      packing: the number of images per discriminator input.

    Example:
      Samples with batch statistics over 16 batches of 64 latents:

      >>> import jax, jaxgan, optax
      >>> gan = jaxgan.gan(
      ...     generator=jaxgan.networks.PacGANGenerator(features=(8,)),
      ...     discriminator=jaxgan.networks.PacGANDiscriminator(features=(8,)),
      ...     loss=jaxgan.losses.non_saturating(),
      ...     optimizer=jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
      ...     latents=2,
      ...     ema_half_life=10_000,
      ... )
      >>> state = gan.init(jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> latents = jax.random.normal(jax.random.key(1), (16, 64, 2))
      >>> standing = jax.jit(gan.standing_statistics)(state, latents)
      >>> gan.sample(standing, latents[0]).shape
      (64, 2)
    """

    init: InitFn
    update: UpdateFn
    sample: SampleFn
    standing_statistics: StandingStatisticsFn
    num_classes: int | None = None
    data_range: tuple[float, float] | None = (-1.0, 1.0)
    discriminator_steps: int = 1
    packing: int = 1


def gan(
    generator: NetworkLike,
    discriminator: NetworkLike,
    loss: Loss | Pair[LossFn],
    optimizer: Pair[optax.GradientTransformation],
    latents: int,
    *,
    penalty: Penalty | PlainPenalty | None = None,
    augmentation: Augmentation | PlainAugmentation | None = None,
    discriminator_steps: int = 1,
    packing: int = 1,
    num_classes: int | None = None,
    auxiliary: Pair[float] | None = None,
    ema_half_life: float | None = None,
    ema_warmup: float | None = None,
    diagnose: bool = False,
    data_range: tuple[float, float] | None = (-1.0, 1.0),
    bounded_logits: bool = False,
) -> GAN:
    r"""Builds a GAN from two networks, a loss and two optimizers.

    One update is a discriminator step and a generator step with the same latents. With generator
    $G_\theta$, discriminator $D_\phi$, real images $x$, latents $z \sim N(0, I)$ and means over the
    batch, the update is

    $$\phi' = \phi + \mathrm{opt}_D(\nabla_\phi\,\overline{L_D}(D_\phi(x), D_\phi(G_\theta(z)))),$$
    $$\theta' = \theta + \mathrm{opt}_G(\nabla_\theta\,\overline{L_G}(D_{\phi'}(x),
    D_{\phi'}(G_\theta(z)))).$$

    $G_\theta(z)$ is computed once; the generator step reuses its vector-Jacobian product. All
    randomness of a training step comes from `jax.random.fold_in(state.key, state.step)`. Latents
    have the dtype of the images.

    The discriminator receives real and fake images in separate passes, so batch statistics do not
    mix them. The generator step does not change the discriminator's `model_state`. If the loss or
    gradient of a network is non-finite, the network stays unchanged and the metrics count a
    skipped step.

    Args:
      generator: linen module or `jaxgan.Network`: `[batch, latents] -> images`. With
        `num_classes` it also takes labels `[batch]`.
      discriminator: linen module or `jaxgan.Network`: `images -> logits`, raw logits of shape
        `[batch]`. With `num_classes` it also takes labels. With `auxiliary` it returns
        `(logits, class_logits)`. With `packing` its images have `packing` times the channels, and
        its batch is `packing` times smaller.
      loss: one of `jaxgan.losses`, another `jaxgan.Loss`, or a `Pair` of losses. An augmentation
        that adapts, such as `augment.adaptive`, needs a `Loss` with a boundary.
      optimizer: a `Pair` of optax transformations. Each receives the loss of its network as `value`
        and `value_fn` (a function of the parameters, on the same batch), and the gradient as
        `grad`, if it accepts them. Line searches, `polyak_sgd` and `reduce_on_plateau` need them.
      latents: the dimension of a latent, at least 1.
      penalty: one of `jaxgan.penalties`, or a function `(critic, real, fake, key)`. Its value is
        added to the discriminator's loss. It receives packed images before augmentation, and a
        critic that augments them with the random draws of the loss.
      augmentation: one of `jaxgan.augment`, or a function `(key, images) -> images`. It is applied
        to real and fake images, in discriminator and generator steps.
      discriminator_steps: the number of discriminator steps per generator step. Each discriminator
        step uses an equal share of the batch and draws new latents.
      packing: the number of images per discriminator input (PacGAN).
      num_classes: the number of classes. If given, both networks receive labels in
        [0, num_classes). Fake images have the labels of the real images.
      auxiliary: a `Pair` of weights of the auxiliary classifier's cross-entropy in the two losses
        (AC-GAN). The discriminator's loss includes the cross-entropy of real and of fake images.
      ema_half_life: the half-life, in images (at least 1), of `ema_params`, the moving average of
        the generator's parameters. If None, there is no average. The average is float32 or wider.
        It excludes `model_state`: use `standing_statistics` for batch statistics that match it.
      ema_warmup: limits the half-life to this fraction of the images seen so far (StyleGAN2-ADA:
        0.05).
      diagnose: whether to add costly metrics: `real_distance` and `fake_distance`, the mean
        distance between two images of the batch.
      data_range: the lowest and highest value of real images; None accepts all values, such as
        those of signals. Data of shape `[batch, values]` can have all values.
      bounded_logits: whether the discriminator may end in a sigmoid, softmax or tanh. The losses of
        `jaxgan.losses` take unbounded logits.

    Returns:
      A `GAN`. The metrics of `update` are scalars. Each network has metrics that end in `_loss`,
      `_gradient_norm` and `_skipped` (the number of skipped steps, an integer). The discriminator
      step adds those of `jaxgan.diagnostics.of_logits` with the loss's boundary, `penalty` if
      given, and `augmentation_probability` if adaptive. With several discriminator steps, the
      discriminator's metrics except `_skipped` are from the last one. Inside jit, invalid data
      cannot raise an error: `invalid_labels` counts the labels out of range, and `invalid_images`
      is the number of images in a batch that does not fit `data_range` (otherwise 0).

    Raises:
      TypeError: If a network, `Pair`, number or bool has the wrong type. From `init` and `update`:
        if images or parameters are not floats, labels are not integers, or the state is not a
        `TrainState`. From `init`: if a network takes no labels in a GAN with `num_classes`, or does
        not return its model state.
      ValueError: If a number is out of range, or the augmentation adapts and the loss has no
        boundary. From `init` and `update`, at trace time: if shapes do not match, labels are
        missing, or the state belongs to another GAN or to other optimizers. Outside of jit, also if
        labels or images are out of range or the state was donated. Images are out of range if a
        value is not in `data_range`, or if they are probably in [0, 1] (no negative values) or
        masks of 0 and 1 (almost black). `update` makes these two guesses only for batches of at
        least 8 images. From `init`: if a network has no parameters or needs labels in a GAN without
        `num_classes`, an optimizer is `optax.lookahead`, the generator's last operations do not fit
        `data_range`, or those of the discriminator bound its logits. Outside of jit, also if images
        are non-finite.

    Example:
      >>> import jax, jax.numpy as jnp, jaxgan, optax
      >>> gan = jaxgan.gan(
      ...     generator=jaxgan.networks.MLPGenerator(),
      ...     discriminator=jaxgan.networks.MLPDiscriminator(),
      ...     loss=jaxgan.losses.non_saturating(real_label=0.9),
      ...     optimizer=jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
      ...     latents=100,
      ... )
      >>> images = jnp.zeros((8, 28, 28, 1))
      >>> state = gan.init(jax.random.key(0), images)
      >>> update = jax.jit(gan.update, donate_argnums=0)
      >>> state, metrics = update(state, images)
      >>> int(state.step), "generator_loss" in metrics
      (1, True)

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661

      Lin et al., PacGAN, 2018, https://arxiv.org/abs/1712.04086 (packing)

      Odena et al., Conditional Image Synthesis with Auxiliary Classifier GANs, 2017,
      https://arxiv.org/abs/1610.09585 (auxiliary)

      Karras et al., Progressive Growing of GANs, 2018, https://arxiv.org/abs/1710.10196 (the
      average)

      Karras et al., Training Generative Adversarial Networks with Limited Data, 2020,
      https://arxiv.org/abs/2006.06676 (the average's warm-up)

      Brock et al., Large Scale GAN Training for High Fidelity Natural Image Synthesis, 2019,
      https://arxiv.org/abs/1809.11096 (standing statistics)
    """
    players = Pair(as_network(generator), as_network(discriminator))
    config = GameConfig(
        network=Pair(*map(_validation.checked, Pair._fields, players)),
        loss=as_loss(loss),
        optimizer=optimizer,
        latents=latents,
        penalty=None if penalty is None else as_penalty(penalty),
        augmentation=None if augmentation is None else as_augmentation(augmentation),
        discriminator_steps=discriminator_steps,
        packing=packing,
        num_classes=num_classes,
        auxiliary=auxiliary,
        ema_half_life=ema_half_life,
        ema_warmup=ema_warmup,
        diagnose=diagnose,
        data_range=data_range,
        bounded_logits=bounded_logits,
    )
    _validation.check_config(config)
    _check_boundary(config)

    def update(
        state: TrainState,
        images: Batch,
        labels: Labels | None = None,
        *,
        interleaved: bool = False,
    ) -> tuple[TrainState, Metrics]:
        return _update(config, state, images, labels, interleaved=interleaved)

    def sample(state: TrainState, latents: jax.Array, labels: Labels | None = None) -> jax.Array:
        return _sample.sample(config, state, latents, labels)

    def standing_statistics(
        state: TrainState, latents: jax.Array, labels: Labels | None = None
    ) -> TrainState:
        return _sample.standing_statistics(config, state, latents, labels)

    functions = make_init(config), update, sample, standing_statistics
    return GAN(*functions, num_classes, data_range, discriminator_steps, packing)


def _check_boundary(config: GameConfig) -> None:
    """Checks that the loss has the boundary that an augmentation with a state needs."""
    if config.augmentation is not None and config.loss.boundary is None:
        adapts = jax.tree.leaves(jax.eval_shape(config.augmentation.init))
        expected = "a jaxgan.Loss with a boundary for an augmentation that adapts"
        advice = "Use a loss of jaxgan.losses with a boundary, such as non_saturating()."
        checks.require(not adapts, "loss", expected, "boundary=None", advice)


def _update(
    config: GameConfig,
    state: TrainState,
    images: Batch,
    labels: Labels | None,
    *,
    interleaved: bool,
) -> tuple[TrainState, Metrics]:
    checks.boolean("interleaved", interleaved)
    images = _validation.check_images(images, config, config.batch_divisor, few=FEW)
    labels = _validation.check_labels(labels, images.shape[:1], config.num_classes)
    _validation.check_state(state, config)
    _validation.check_opt_state(state, config)
    try:
        with checks.channels_first_note(images.shape):
            step = functools.partial(train_step, config, interleaved=interleaved)
            state, metrics = fast_if_traced(step)(state, images, labels)
    except checks.ShapeError:
        raise
    except Exception:  # only after an error, because the comparison traces both networks
        create = functools.partial(create_state, config, example=example_of(images, labels))
        expected = jax.eval_shape(create, state.key)
        checks.tree_matches("The state", state, expected, _validation.OTHER_GAN)
        raise
    return state, metrics | _count_invalid(config, images, labels)


def _count_invalid(config: GameConfig, images: jax.Array, labels: jax.Array | None) -> Metrics:
    """Counts values out of range, which cannot raise an error inside jit."""
    metrics = {}
    if (data_range := _validation.promised_range(config, images)) is not None:
        extremes, few = (jnp.min(images), jnp.max(images)), len(images) < FEW
        fits = checks.plausible(*extremes, data_range, real=True, few=few)
        fits &= ~jnp.any(jnp.isnan(images))  # XLA's minimum may ignore NaN on a CPU
        metrics["invalid_images"] = jnp.where(fits, 0, images.shape[0]).astype(jnp.int32)
    if labels is not None and config.num_classes is not None:
        is_narrow = labels.dtype.itemsize < 4  # uint8 labels cannot be compared with 300
        numbers = labels.astype(jnp.int32) if is_narrow else labels
        invalid = (numbers < 0) | (numbers >= config.num_classes)
        metrics["invalid_labels"] = jnp.sum(invalid, dtype=jnp.int32)
    return metrics
