"""Defines `jaxgan.gan`, which builds pure functions from networks, a loss and optimizers."""

import functools
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxgan._game import _game, _sample, _validation
from jaxgan._game._config import GameConfig, GANConfig
from jaxgan._game._dry_run import check_conditions_are_taken
from jaxgan._game._game import LossesFn
from jaxgan._game._init import create_state, example_of, make_init
from jaxgan._game._objective import join_batch, make_objective
from jaxgan._internal import checks
from jaxgan._internal.channels_last import fast_if_traced
from jaxgan.augment import Augmentation, PlainAugmentation, as_augmentation
from jaxgan.dynamics import Dynamics, Rules, alternating
from jaxgan.latents import Sampler, as_sampler
from jaxgan.losses import as_loss
from jaxgan.networks.adapters import NetworkLike, as_network
from jaxgan.terms import PlainTerm, Term, View, as_term
from jaxgan.train_state import TrainState
from jaxgan.types import (
    Batch,
    Condition,
    Loss,
    LossFn,
    Metrics,
    ModelState,
    Pair,
    Params,
    PyTree,
)

FEW = 8
"""The smallest batch that shows whether images are probably in [0, 1], or masks."""

NO_TERMS: Pair[dict[str, Term | PlainTerm]] = Pair({}, {})


class InitFn(Protocol):
    """Creates the state of step 0."""

    def __call__(self, key: jax.Array, batch: Batch) -> TrainState: ...


class UpdateFn(Protocol):
    """Performs one training step."""

    def __call__(
        self,
        state: TrainState,
        batch: Batch,
        *,
        interleaved: bool = False,
        dynamics: Dynamics | None = None,
        key: jax.Array | None = None,
    ) -> tuple[TrainState, Metrics]: ...


class SampleFn(Protocol):
    """Generates images."""

    def __call__(
        self,
        state: TrainState,
        latents: PyTree,
        condition: Condition = None,
        *,
        num: int | None = None,
    ) -> jax.Array: ...


class StandingStatisticsFn(Protocol):
    """Recomputes the generator's batch statistics."""

    def __call__(
        self, state: TrainState, latents: PyTree, condition: Condition = None
    ) -> TrainState: ...


class MetricsFn(Protocol):
    """Computes metrics of a discriminator step: `(view) -> metrics`."""

    def __call__(self, view: View, /) -> Metrics: ...


class GAN(NamedTuple):
    """Holds a GAN as pure functions. `jaxgan.gan` returns it.

    Only `init` is jitted. Wrap the others in `jax.jit`, `jax.vmap` or `jax.lax.scan`. A batch is an
    array of images, or a tuple `(images, condition)`. Images are floats `[batch, ...]`, such as
    `[batch, height, width, channels]`, signals `[batch, length, channels]` or rows of a table. A
    condition is any pytree of arrays `[batch, ...]` that both networks receive, such as labels, or
    images to translate.

    Args:
      init: `(key, batch) -> TrainState`. `batch` is an example of a batch, of any size. Only its
        shapes and dtypes affect the state. `init` warns about model state that training does not
        change. Outside of jit, it checks that the range of the images and of the generator fits
        `data_range`. `init` compiles itself, so `jax.jit` does not change its result. It calls the
        networks' `init` once for each shape and dtype, so their random numbers must come from
        `key`.
      update: `(state, batch, *, interleaved=False, dynamics=None, key=None) -> (state, metrics)`.
        Performs one training step on real images in `data_range`. Each of $n$ discriminator steps
        uses an equal share of the batch: consecutive images or, with `interleaved`, every $n$-th
        image. Interleaved shares of a batch that is
        split over devices stay on their devices. The generator step uses the last share.
        `dynamics` replaces the GAN's dynamics in this step, and `key` the key of the step,
        `fold_in(state.key, state.step)`.
      sample: `(state, latents, condition=None, *, num=None) -> images`. Generates images, float in
        the generator's range. `latents` are `[n, latents]`, the pytree of the GAN's sampler, or a
        typed PRNG key, with which the sampler draws `num` latents, by default one for each row of
        the condition, in the dtype of the parameters. Uses the averaged parameters if the state
        has them, in the dtypes of the parameters. Always uses the generator's current
        `model_state`, as StyleGAN2-ADA does.
      standing_statistics: `(state, latents, condition=None) -> state`. Recomputes the generator's
        batch statistics as BigGAN does. The parameters of `sample` make one training pass for each
        batch of `latents`, `[passes, batch, latents]`, and of the condition, `[passes, batch,
        ...]`. Each running average in `model_state` becomes the mean over the passes. Use the new
        state for `sample`, and the old state to continue training.
      losses: `(params, state, batch, key) -> (losses, aux)`, as in `jaxgan.Game`.
      rules: the objective and the optimizers.
      dynamics: the dynamics.
      num_classes: the number of classes, or None. `jaxgan.training` checks labels with it.
      data_range: the range of real images, or None. `jaxgan.training` checks images with it.
      packing: the number of images in an input of the discriminator.

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
    losses: LossesFn
    rules: Rules
    dynamics: Dynamics
    num_classes: int | None = None
    data_range: tuple[float, float] | None = (-1.0, 1.0)
    packing: int = 1


def gan(
    generator: NetworkLike,
    discriminator: NetworkLike,
    loss: Loss | Pair[LossFn],
    optimizer: Pair[optax.GradientTransformation],
    latents: int | Sampler,
    *,
    penalty: Term | PlainTerm | None = None,
    terms: Pair[dict[str, Term | PlainTerm]] = NO_TERMS,
    augmentation: Augmentation | PlainAugmentation | None = None,
    dynamics: Dynamics | None = None,
    metrics: MetricsFn | None = None,
    num_classes: int | None = None,
    ema_half_life: float | None = None,
    ema_warmup: float | None = None,
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
      generator: linen module or `jaxgan.Network`: `latents -> images`, or `(latents, condition) ->
        images` if batches have a condition.
      discriminator: linen module or `jaxgan.Network`: `images -> logits`, or `(images, condition)
        -> logits`. Logits are raw: `[batch]`, `[batch, ...]` such as one for each patch, or a tuple
        of such arrays (scales, or several discriminators). Each loss takes the mean over all axes
        and arrays. The discriminator can also return `(logits, extras)`, with a dict of other
        results for terms, such as features. With `augment.pack`, its images are packs.
      loss: one of `jaxgan.losses`, another `jaxgan.Loss`, or a `Pair` of losses. An augmentation
        that adapts, such as `augment.adaptive`, needs a `Loss` with a boundary.
      optimizer: a `Pair` of optax transformations. Each receives the loss of its network as `value`
        and `value_fn` (a function of the parameters, on the same batch), and the gradient as
        `grad`, if it accepts them. Line searches, `polyak_sgd` and `reduce_on_plateau` need them.
      latents: the dimension of standard normal latents, at least 1, or a sampler of
        `jaxgan.latents`.
      penalty: one of `jaxgan.penalties`; shorthand for the discriminator's term "penalty".
      terms: a `Pair` of dicts: additional losses of each network by name, as `jaxgan.terms.Term` or
        functions of a `jaxgan.terms.View`. The mean of each term is added to the network's loss.
      augmentation: one of `jaxgan.augment`, or a function `(key, images) -> images`. It is applied
        to real and fake images, in discriminator and generator steps, but not to conditions.
      dynamics: one of `jaxgan.dynamics`; by default `alternating()`.
      metrics: a function of the discriminator's `jaxgan.terms.View` that returns a dict of scalars,
        which are added to the metrics.
      num_classes: the number of classes. If given, the condition must be labels, integers `[batch]`
        in [0, num_classes).
      ema_half_life: the half-life, in images (at least 1), of `ema_params`, the moving average of
        the generator's parameters. If None, there is no average. The average is float32 or wider.
        It excludes `model_state`: use `standing_statistics` for batch statistics that match it.
      ema_warmup: limits the half-life to this fraction of the images seen so far (StyleGAN2-ADA:
        0.05).
      data_range: the lowest and highest value of real images; None accepts all values, such as
        those of signals. Data of shape `[batch, values]` can have all values.
      bounded_logits: whether the discriminator may end in a sigmoid, softmax or tanh. The losses of
        `jaxgan.losses` take unbounded logits.

    Returns:
      A `GAN`. The metrics of `update` are scalars. Each network has metrics that end in `_loss`,
      `_gradient_norm` and `_skipped` (the number of skipped steps, an integer), and one for each of
      its terms. The discriminator step adds those of `jaxgan.diagnostics.of_logits` with the loss's
      boundary, those of `metrics`, and `augmentation_probability` if adaptive. With several
      discriminator steps, the discriminator's metrics except `_skipped` are from the last one.
      Inside jit, invalid data cannot raise an error: `invalid_labels` counts the labels out of
      range, and `invalid_images` is the number of images in a batch that does not fit `data_range`
      (otherwise 0).

    Raises:
      TypeError: If a network, `Pair`, term, number or bool has the wrong type. From `init` and
        `update`: if images or parameters are not floats, labels are not integers, or the state is
        not a `TrainState`. From `init`: if batches have a condition that a network does not take,
        or a network does not return its model state.
      ValueError: If a number is out of range, a term has the name of another metric, or the
        augmentation adapts and the loss has no boundary. From `init` and `update`, at trace time:
        if shapes do not match, labels are missing, or the state belongs to another GAN or to other
        optimizers. Outside of jit, also if labels or images are out of range or the state was
        donated. Images are out of range if a value is not in `data_range`, or if they are probably
        in [0, 1] (no negative values) or masks of 0 and 1 (almost black). `update` makes these two
        guesses only for batches of at least 8 images. From `init`: if a network has no parameters
        or needs a condition that batches do not have, an optimizer is `optax.lookahead`, the
        generator's last operations do not fit `data_range`, or those of the discriminator bound its
        logits. Outside of jit, also if images are non-finite.

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

      Karras et al., Progressive Growing of GANs, 2018, https://arxiv.org/abs/1710.10196 (the
      average)

      Karras et al., Training Generative Adversarial Networks with Limited Data, 2020,
      https://arxiv.org/abs/2006.06676 (the average's warm-up)

      Brock et al., Large Scale GAN Training for High Fidelity Natural Image Synthesis, 2019,
      https://arxiv.org/abs/1809.11096 (standing statistics)
    """
    players = Pair(as_network(generator), as_network(discriminator))
    config = GANConfig(
        network=Pair(*map(_validation.checked, Pair._fields, players)),
        loss=as_loss(loss),
        latents=_validation.checked_sampler(as_sampler(latents)),
        terms=_all_terms(penalty, terms),
        augmentation=None if augmentation is None else as_augmentation(augmentation),
        metrics=metrics,
        num_classes=num_classes,
        data_range=data_range,
        bounded_logits=bounded_logits,
    )
    _validation.check_gan(config)
    dynamics = alternating() if dynamics is None else dynamics
    rules = Rules(make_objective(config), optimizer)
    game = GameConfig(rules, dynamics, ema_half_life, ema_warmup)
    _validation.check_game(game)

    def update(
        state: TrainState,
        batch: Batch,
        *,
        interleaved: bool = False,
        dynamics: Dynamics | None = None,
        key: jax.Array | None = None,
    ) -> tuple[TrainState, Metrics]:
        own = _game.with_options(game, interleaved=interleaved, dynamics=dynamics, key=key)
        return _update(config, own, state, batch, key, interleaved=interleaved)

    def sample(
        state: TrainState,
        latents: PyTree,
        condition: Condition = None,
        *,
        num: int | None = None,
    ) -> jax.Array:
        return _sample.sample(config, state, latents, condition, num=num)

    return GAN(
        init=make_init(config, game),
        update=update,
        sample=sample,
        standing_statistics=functools.partial(_sample.standing_statistics, config),
        losses=functools.partial(_losses, config, game),
        rules=rules,
        dynamics=dynamics,
        num_classes=num_classes,
        data_range=data_range,
        packing=config.packing,
    )


def _all_terms(
    penalty: Term | PlainTerm | None, terms: Pair[dict[str, Term | PlainTerm]]
) -> Pair[dict[str, Term]]:
    """Returns the terms of both networks, with the penalty as the discriminator's first term."""
    checks.pair("terms", terms, "dicts of terms by name")
    for player, own in terms._asdict().items():
        checks.instance(f"terms.{player}", own, dict, "a dict of terms by name")
    first = {} if penalty is None else {"penalty": penalty}
    expected = "given once, as penalty or in terms"
    is_new = not (first and "penalty" in terms.discriminator)
    checks.require(is_new, "The term 'penalty'", expected, "both")
    both = Pair(terms.generator, first | terms.discriminator)
    return Pair(*({name: as_term(term) for name, term in own.items()} for own in both))


def _update(
    config: GANConfig,
    game: GameConfig,
    state: TrainState,
    batch: Batch,
    key: jax.Array | None,
    *,
    interleaved: bool,
) -> tuple[TrainState, Metrics]:
    divisor = game.dynamics.shares * config.packing
    images, condition = _validation.check_images_and_condition(batch, config, divisor, few=FEW)
    batch = join_batch(images, condition)
    _validation.check_state(state, game)
    _validation.check_opt_state(state, game)
    _validation.check_dynamics_state(state, game.dynamics)
    _validation.check_own_states(state, config)
    try:
        with checks.channels_first_note(images.shape):
            step = functools.partial(_game.train_step, game, interleaved=interleaved)
            state, metrics = fast_if_traced(step)(state, batch, key)
    except checks.ShapeError:
        raise
    except Exception:  # only after an error, because the comparison traces both networks
        check_conditions_are_taken(config, images, condition)
        create = functools.partial(create_state, game, example=example_of(batch))
        expected = jax.eval_shape(create, state.key)
        checks.tree_matches("The state", state, expected, _validation.OTHER_GAN)
        raise
    return state, metrics | _probability(state) | _count_invalid(config, images, condition)


def _losses(
    config: GANConfig,
    game: GameConfig,
    params: Pair[Params],
    state: TrainState,
    batch: Batch,
    key: jax.Array,
) -> tuple[Pair[jax.Array], Pair[tuple[ModelState, Metrics]]]:
    divisor = config.packing
    images, condition = _validation.check_images_and_condition(batch, config, divisor, few=FEW)
    _validation.check_state(state)
    _validation.check_own_states(state, config)
    return _game.losses(game, params, state, join_batch(images, condition), key)


def _probability(state: TrainState) -> Metrics:
    """Returns the probability of an adaptive augmentation."""
    augmentation = state.model_state.discriminator["augmentation"]
    if isinstance(augmentation, dict) and "probability" in augmentation:
        return {"augmentation_probability": augmentation["probability"]}
    return {}


def _count_invalid(config: GANConfig, images: jax.Array, labels: Condition) -> Metrics:
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
