"""Where the two players meet: networks, a loss and optimizers in; pure functions out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import checks
from jaxgan.augment import as_augmentation
from jaxgan.game import (
    Game,
    ShapeError,
    check_shape,
    discriminator_step,
    generate,
    generator_step,
    pack,
)
from jaxgan.networks.adapters import as_network
from jaxgan.penalties import as_penalty
from jaxgan.train_state import TrainState, create
from jaxgan.types import Batch, Labels, Loss, Metrics, Pair

_OTHER = " Is it the state of another GAN?"


class GAN(NamedTuple):
    """A GAN as three pure functions, made by `jaxgan.gan`.

    Nothing in here is jitted: the caller writes `jax.jit`, `jax.vmap` and `jax.lax.scan`. `labels`,
    integers `[n]`, are given where the GAN has `num_classes`, and only there.

    Args:
      init: `(key, images, labels=None) -> TrainState`. `images` are some of the real ones, `[n,
        height, width, channels]`; of them and of `labels` only shape and dtype go into the state.
        Outside of jit the range of the images is compared with the generator's.
      update: `(state, images, labels=None) -> (state, metrics)`: one step of the game on real
        images, float in [-1, 1], `[batch, height, width, channels]`. With several discriminator
        steps each takes its share of the batch, and the generator plays with the last.
      sample: `(state, latents, labels=None) -> images`: float in the generator's range, from
        `latents`, `[n, latent_dim]`; with the averaged parameters where there are any.
    """

    init: Callable[..., TrainState]
    update: Callable[..., tuple[TrainState, Metrics]]
    sample: Callable[..., jax.Array]


def gan(
    generator: Any,
    discriminator: Any,
    loss: Pair[Loss],
    optimizer: Pair[optax.GradientTransformation],
    latent_dim: int,
    *,
    penalty: Any = None,
    augmentation: Any = None,
    discriminator_steps: int = 1,
    packing: int = 1,
    num_classes: int | None = None,
    auxiliary: Pair[float] | None = None,
    ema_half_life: float | None = None,
    ema_warmup: float | None = None,
    diagnose: bool = False,
) -> GAN:
    r"""Makes a GAN of two networks, a loss and two optimizers.

    One update, with generator $G_\theta$, discriminator $D_\phi$, real images $x$ and latents
    $z \sim N(0, I)$, is two half-steps that share the latents. With means over the batch,

    $$\phi' = \phi + \mathrm{opt}_D(\nabla_\phi\,\overline{L_D}(D_\phi(x), D_\phi(G_\theta(z)))),$$
    $$\theta' = \theta + \mathrm{opt}_G(\nabla_\theta\,\overline{L_G}(D_{\phi'}(x),
    D_{\phi'}(G_\theta(z)))).$$

    $G_\theta(z)$ is computed once: its vector-Jacobian product carries the second gradient back.
    All randomness of a step comes from `jax.random.fold_in(state.key, state.step)`. Latents have
    the dtype of the images.

    The discriminator sees real and fake images in separate passes, so batch statistics do not mix
    them; the generator's half-step leaves the discriminator's `model_state` alone. After a
    non-finite loss or gradient a player stays as it was, and the step is counted as skipped.

    Args:
      generator: linen module or `jaxgan.Network`, `[batch, latent_dim] -> images`; with
        `num_classes` it also takes labels `[batch]`.
      discriminator: linen module or `jaxgan.Network`, images `-> [batch]` raw logits; with
        `num_classes` it also takes labels; with `auxiliary` it returns `(logits, class_logits)`.
        With `packing` its images have `packing` times the channels, and its batch is as much
        smaller.
      loss: a `Pair` of losses, as in `jaxgan.losses`.
      optimizer: a `Pair` of optax transformations.
      latent_dim: coordinates of a latent, at least 1.
      penalty: added to the discriminator's loss: one of `jaxgan.penalties`, or a function
        `(critic, real, fake, key)`. It sees augmented and packed images.
      augmentation: of real and fake images alike, before the discriminator sees them, in both
        half-steps: one of `jaxgan.augment`, or a function `(key, images) -> images`.
      discriminator_steps: to one generator step, each on real images and latents of its own; the
        batch is divided among them.
      packing: how many images the discriminator judges at once (PacGAN).
      num_classes: if given, labels in [0, num_classes) reach both networks; fakes have the labels
        of the real images.
      auxiliary: weights of the auxiliary classifier's cross-entropy in either player's loss
        (AC-GAN); the discriminator's counts for real and for fake images.
      ema_half_life: in images; the generator's average `ema_params` forgets half of an old value
        in that many. None keeps no average.
      ema_warmup: the half-life is at most this share of the images seen so far (StyleGAN: 0.05).
      diagnose: add to the metrics what costs time: `real_distance` and `fake_distance`, the mean
        distance of two images of the batch.

    Returns:
      A `GAN`. The metrics of `update` are scalars, with several discriminator steps those of the
      last: for either player its `_loss`, `_gradient_norm` and `_skipped` (how many of its steps
      were, an integer); what `jaxgan.diagnostics.of_logits` says of the logits that the
      discriminator was trained on; `penalty`, and `augmentation_probability` if it adapts.

    Raises:
      TypeError: a player is no network, `loss` or `optimizer` no `Pair`, and so on. From `init`
        and `update`: images or parameters are not floats, labels no integers, a state no state.
      ValueError: a number is out of range. From `init` and `update`, at trace time: shapes that do
        not fit together, labels missing, the state of another GAN; and, outside of jit, labels out
        of range. From `init`: a network has no parameters, or, outside of jit, images are not
        finite or the generator's range cannot be meant for them.

    Example:
      >>> import jax, jax.numpy as jnp, jaxgan, optax
      >>> gan = jaxgan.gan(
      ...     generator=jaxgan.networks.MLPGenerator(),
      ...     discriminator=jaxgan.networks.MLPDiscriminator(),
      ...     loss=jaxgan.losses.non_saturating(real_label=0.9),
      ...     optimizer=jaxgan.Pair(optax.adam(1e-3), optax.adam(1e-3)),
      ...     latent_dim=100,
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

      Karras et al., 2020, https://arxiv.org/abs/1912.04958 (the average and its warm-up)
    """
    _check_whole(latent_dim=latent_dim, discriminator_steps=discriminator_steps)
    _check_whole(packing=packing, num_classes=num_classes)
    for name, number in (("ema_half_life", ema_half_life), ("ema_warmup", ema_warmup)):
        if number is not None:
            checks.number(name, number, positive=True)
    if ema_warmup is not None and ema_half_life is None:
        raise ValueError(f"ema_warmup={ema_warmup} warms an average up: give ema_half_life too.")
    if not isinstance(diagnose, bool):
        raise TypeError(f"diagnose must be True or False; got {checks.show(diagnose)}.")
    _check_arguments(loss, optimizer, auxiliary, num_classes, packing)
    game = Game(
        network=Pair(as_network(generator), as_network(discriminator)),
        loss=loss,
        optimizer=optimizer,
        latent_dim=latent_dim,
        penalty=None if penalty is None else as_penalty(penalty),
        augmentation=None if augmentation is None else as_augmentation(augmentation),
        auxiliary=auxiliary,
        packing=packing,
        diagnose=diagnose,
    )
    divisor = discriminator_steps * packing

    def make(key: jax.Array, images: Batch, labels: Labels | None = None) -> TrainState:
        generator_key, discriminator_key, run_key = jax.random.split(key, 3)
        image = pack(jnp.zeros((packing, *images.shape[1:]), images.dtype), packing)
        one_label = () if labels is None else (jnp.zeros_like(labels, shape=(1,)),)
        latent = jnp.zeros((1, latent_dim), images.dtype)
        made = Pair(
            game.network.generator.init(generator_key, latent, *one_label),
            game.network.discriminator.init(discriminator_key, image, *one_label),
        )
        params, model_state = (Pair(*values) for values in zip(*made, strict=True))
        _check_params(params)
        return create(
            run_key,
            params,
            optimizer,
            model_state,
            ema=ema_half_life is not None,
            game_state={
                "penalty": () if game.penalty is None else game.penalty.init(),
                "augmentation": () if game.augmentation is None else game.augmentation.init(),
            },
        )

    def init(key: jax.Array, images: Batch, labels: Labels | None = None) -> TrainState:
        checked = _check_images(images, 1)
        checks.finite("Images", images)
        images = checked
        labels = _check_labels(labels, images, num_classes)
        checks.key(key)
        state = make(key, images, labels)
        batch = [
            jax.ShapeDtypeStruct((2 * divisor, *x.shape[1:]), x.dtype)
            for x in (images, labels)
            if x is not None
        ]
        jax.eval_shape(update, state, *batch)  # finds what does not fit before the first step
        if not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((state, images))):
            # A number that no step and no shuffle has, so that nothing else draws from this key.
            look_key = jax.random.fold_in(state.key, 2**32 - 2)
            one_label = () if labels is None else (jnp.zeros_like(labels, shape=(1,)),)
            latents = jax.random.normal(look_key, (len(one_label) or 8, latent_dim), images.dtype)
            _check_range(jax.jit(sample)(state, latents, *one_label), images)
        return state

    def update(
        state: TrainState, images: Batch, labels: Labels | None = None
    ) -> tuple[TrainState, Metrics]:
        images = _check_images(images, divisor)
        labels = _check_labels(labels, images, num_classes)
        _check_state(state)
        if (state.ema_params is None) != (ema_half_life is None):
            average = "no average" if state.ema_params is None else "an average"
            raise ValueError(
                f"The state holds {average} of the generator, but {ema_half_life=}.{_OTHER}"
            )
        try:
            return play(state, images, labels)
        except ShapeError:
            raise
        except Exception:  # only now, because it costs a trace of both networks
            checks.fits("The state", state, jax.eval_shape(make, state.key, images, labels), _OTHER)
            raise

    def play(
        state: TrainState, images: jax.Array, labels: jax.Array | None
    ) -> tuple[TrainState, Metrics]:
        step_key = jax.random.fold_in(state.key, state.step)
        keys = jax.random.split(step_key, 4)
        share = images.shape[0] // discriminator_steps
        skipped = jnp.zeros((), jnp.int32)
        for i in range(discriminator_steps):
            last = i == discriminator_steps - 1
            # A key beyond the four above: split(key, 4)[i] is fold_in(key, i).
            these = keys[:3] if last else jax.random.split(jax.random.fold_in(step_key, 4 + i), 3)
            real = images[i * share : (i + 1) * share]
            classes = None if labels is None else labels[i * share : (i + 1) * share]
            count = state.step * discriminator_steps + i
            fake, pullback, model_state = generate(
                game, state, classes, share, images.dtype, Pair(these[0], these[1])
            )
            check_shape(
                "The generator's output, which must match the images,",
                fake,
                real.shape,
                "Build it for such images, or give it images of its size.",
            )
            state, judged = discriminator_step(game, state, real, fake, classes, these[2], count)
            skipped += judged["discriminator_skipped"]
        state, played = generator_step(
            game, state, real, fake, pullback, model_state, classes, keys[3], count
        )
        state = state.replace(
            step=state.step + 1,
            ema_params=_average(state, share, ema_half_life, ema_warmup),
        )
        return state, judged | played | {"discriminator_skipped": skipped}

    def sample(state: TrainState, latents: jax.Array, labels: Labels | None = None) -> jax.Array:
        given, latents = latents, checks.array("Latents", latents, jnp.floating, None)
        if latents.shape[1:] != (latent_dim,) or not latents.size:
            raise ValueError(f"Latents must be [n, {latent_dim}]; got {latents.shape}.")
        checks.finite("Latents", given)
        labels = _check_labels(labels, latents, num_classes)
        _check_state(state)
        inputs = (latents,) if labels is None else (latents, labels)
        params = state.params.generator if state.ema_params is None else state.ema_params
        network, model_state = game.network.generator, state.model_state.generator
        try:
            return network.apply(params, model_state, *inputs, train=False, key=None)[0]
        except Exception:
            expected = jax.eval_shape(network.init, state.key, *inputs)
            checks.fits("The generator's state", (params, model_state), expected, _OTHER)
            raise

    return GAN(init, update, sample)


def _average(state: TrainState, batch_size: int, half_life: float | None, warmup: float | None):
    if half_life is None:
        return None
    if warmup is None:
        kept = jnp.asarray(0.5 ** (batch_size / half_life), jnp.float32)
    else:
        seen = state.step.astype(jnp.float32) * batch_size
        kept = jnp.exp2(-batch_size / jnp.clip(warmup * seen, 1e-8, half_life))

    def average(old: jax.Array, new: jax.Array) -> jax.Array:
        return old + (1.0 - kept).astype(old.dtype) * (new - old)

    return jax.tree.map(average, state.ema_params, state.params.generator)


def _check_arguments(loss, optimizer, auxiliary, num_classes, packing) -> None:
    kinds: dict[str, tuple[Any, Callable[[Any], bool], str]] = {
        "loss": (loss, callable, "functions of the logits"),
        "optimizer": (
            optimizer,
            lambda x: all(callable(getattr(x, name, None)) for name in ("init", "update")),
            "optax transformations",
        ),
        "auxiliary": (auxiliary, lambda x: True, "weights"),  # each is checked by itself below
    }
    for name, (value, is_right, what) in kinds.items():
        if name == "auxiliary" and value is None:
            continue
        if not isinstance(value, Pair) or not all(map(is_right, value)):
            raise TypeError(f"{name} must be a jaxgan.Pair of {what}; got {checks.show(value)}.")
    for player, weight in (auxiliary._asdict() if auxiliary is not None else {}).items():
        checks.number(f"auxiliary.{player}", weight, 0.0)
    if auxiliary is not None and num_classes is None:
        raise ValueError("auxiliary weighs a classifier of labels, so num_classes must be given.")
    if num_classes is not None and packing > 1:
        raise ValueError("Packed images have no one label: use packing or num_classes, not both.")


def _check_whole(**numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None or name not in ("num_classes",):
            checks.whole(name, value)


def _check_images(images: Batch, divisor: int) -> jax.Array:
    images = checks.array("Images", images, form="[batch, ...]")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(
            f"Images must be floats in [-1, 1]; got {images.dtype} of shape {images.shape}. "
            "jaxgan.images.normalize makes them of uint8."
        )
    if images.shape[0] % divisor:
        raise ValueError(
            f"The batch must be a multiple of {divisor} (discriminator_steps times packing); "
            f"got images of shape {images.shape}."
        )
    return images


def _check_params(params: Pair[Any]) -> None:
    for player, tree in params._asdict().items():
        leaves = jax.tree.leaves(tree)
        if not leaves:
            raise ValueError(
                f"The {player} has no parameters, so there is nothing to train: its init gave "
                f"{tree!r}. A player must have at least one array of floats."
            )


def _check_range(fake: jax.Array, images: jax.Array) -> None:
    """Raises ValueError if what a new generator makes cannot be meant for such images."""
    low, high = float(jnp.min(fake)), float(jnp.max(fake))
    made = f"the new generator's images, {fake.shape[1:]}, are from {low:.3g} to {high:.3g}"
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"The generator's images must be finite; {made}.")
    least, most = float(jnp.min(images)), float(jnp.max(images))
    if images.ndim < 3 or least == most:
        return  # points may lie anywhere, and one value says nothing of a range
    given = f"the images given, {images.shape[1:]}, are from {least:.3g} to {most:.3g}"
    if low >= 0 > least and high > 0:
        raise ValueError(
            f"The generator's range does not fit the images: {made}, but {given}. For images in "
            "[-1, 1] it should end in tanh, not in a sigmoid or ReLU."
        )
    if least >= 0 > low:
        raise ValueError(
            f"The generator's range does not fit the images: {made}, but {given}. Scale the images "
            "to [-1, 1], as jaxgan.images.normalize does with uint8, or give several of them."
        )
    if max(-low, high) > 20 * max(-least, most):
        raise ValueError(
            f"The generator's range does not fit the images: {made}, but {given}. For images in "
            "[-1, 1] it should end in tanh, or begin with smaller weights."
        )


def _check_labels(
    labels: Labels | None, batch: jax.Array, num_classes: int | None
) -> jax.Array | None:
    if (labels is None) != (num_classes is None):
        said = "needs labels: give them after the images or latents"
        if labels is not None:
            said = "takes no labels: leave them out, or give jaxgan.gan num_classes"
        raise ValueError(f"A GAN with num_classes={num_classes} {said}.")
    return None if labels is None else checks.labels(labels, batch.shape[:1], num_classes)


def _check_state(state: TrainState) -> None:
    if not isinstance(state, TrainState):
        raise TypeError(
            f"state must be a jaxgan.TrainState, as init makes; got {checks.show(state)}."
        )
    checks.key(state.key)
    for name in ("params", "opt_state", "model_state"):
        if not isinstance(value := getattr(state, name), Pair):
            raise TypeError(f"state.{name} must be a jaxgan.Pair; got {checks.show(value)}.")
