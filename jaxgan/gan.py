"""Where the two players meet: networks, a loss and optimizers in; pure functions out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan.networks.adapters import as_network
from jaxgan.train_state import TrainState, create
from jaxgan.types import Batch, Loss, Metrics, Pair


class GAN(NamedTuple):
    """A GAN as three pure functions, made by `jaxgan.gan`.

    Nothing in here is jitted: the caller writes `jax.jit`, `jax.vmap` and `jax.lax.scan`.

    Args:
      init: `(key, images) -> TrainState`. Of `images`, `[n, height, width, channels]`, only shape
        and dtype matter.
      update: `(state, images) -> (state, metrics)`: one step of both players on one batch of real
        images, float in [-1, 1], `[batch, height, width, channels]`.
      sample: `(state, latents) -> images`: float in the generator's range, from `latents`,
        `[n, latent_dim]`; with the averaged parameters where there are any.
    """

    init: Callable[[jax.Array, Batch], TrainState]
    update: Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
    sample: Callable[[TrainState, jax.Array], jax.Array]


def gan(
    generator: Any,
    discriminator: Any,
    loss: Pair[Loss],
    optimizer: Pair[optax.GradientTransformation],
    latent_dim: int,
    *,
    ema_half_life: float | None = None,
) -> GAN:
    r"""Makes a GAN of two networks, a loss and two optimizers.

    One update, with generator $G_\theta$, discriminator $D_\phi$, real images $x$ and latents
    $z \sim N(0, I)$, is two half-steps that share the latents. With means over the batch,

    $$\phi' = \phi + \mathrm{opt}_D(\nabla_\phi\,\overline{L_D}(D_\phi(x), D_\phi(G_\theta(z)))),$$
    $$\theta' = \theta + \mathrm{opt}_G(\nabla_\theta\,\overline{L_G}(D_{\phi'}(x),
    D_{\phi'}(G_\theta(z)))).$$

    $G_\theta(z)$ is computed once: its vector-Jacobian product carries the second gradient back.
    All randomness of a step comes from `jax.random.fold_in(state.key, state.step)`.

    Latents have the dtype of the images.

    The discriminator sees real and fake images in separate passes, so batch statistics do not mix
    them; the generator's half-step leaves the discriminator's `model_state` alone.

    Args:
      generator: linen module or `jaxgan.Network`, `[batch, latent_dim] -> images`.
      discriminator: linen module or `jaxgan.Network`, images `-> [batch]` raw logits.
      loss: a `Pair` of losses, as in `jaxgan.losses`.
      optimizer: a `Pair` of optax transformations.
      latent_dim: coordinates of a latent, at least 1.
      ema_half_life: in images; the generator's average `ema_params` forgets half of an old value
        in that many. None keeps no average.

    Returns:
      A `GAN`. The metrics of `update` are float scalars: `generator_loss`, `discriminator_loss`,
      and `real_probability` and `fake_probability`, the mean sigmoid of the logits that the
      discriminator was trained on. Near 1 and 0, it overpowers the generator.

    Raises:
      TypeError: a player is no network, `loss` or `optimizer` no `Pair`. From `init` and
        `update`: images are not floats.
      ValueError: `latent_dim` or `ema_half_life` is not positive. From `init` and `update`, at
        trace time: shapes that do not fit together.

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
      >>> int(state.step), sorted(metrics)
      (1, ['discriminator_loss', 'fake_probability', 'generator_loss', 'real_probability'])

    References:
      Goodfellow et al., Generative Adversarial Networks, 2014, https://arxiv.org/abs/1406.2661
    """
    network = Pair(as_network(generator), as_network(discriminator))
    _check_arguments(loss, optimizer, latent_dim, ema_half_life)

    def init(key: jax.Array, images: Batch) -> TrainState:
        _check_images(images)
        generator_key, discriminator_key, run_key = jax.random.split(key, 3)
        image, latent = jnp.zeros_like(images[:1]), jnp.zeros((1, latent_dim), images.dtype)
        generator_params, generator_state = network.generator.init(generator_key, latent)
        discriminator_params, discriminator_state = network.discriminator.init(
            discriminator_key, image
        )
        state = create(
            run_key,
            Pair(generator_params, discriminator_params),
            optimizer,
            Pair(generator_state, discriminator_state),
            ema=ema_half_life is not None,
        )
        jax.eval_shape(update, state, jax.ShapeDtypeStruct((2, *images.shape[1:]), images.dtype))
        return state

    def judge(params, model_state, real, fake, key):
        real_key, fake_key = jax.random.split(key)
        apply = network.discriminator.apply
        real_logits, model_state = apply(params, model_state, real, train=True, key=real_key)
        fake_logits, model_state = apply(params, model_state, fake, train=True, key=fake_key)
        _check_shape("The discriminator's logits", fake_logits, (fake.shape[0],))
        return (real_logits, fake_logits), model_state

    def discriminator_step(state: TrainState, real: Batch, fake: Batch, key: jax.Array):
        def objective(params):
            logits, model_state = judge(params, state.model_state.discriminator, real, fake, key)
            return _mean(loss.discriminator, logits), (logits, model_state)

        gradient = jax.value_and_grad(objective, has_aux=True)
        (value, (logits, model_state)), grads = gradient(state.params.discriminator)
        params, opt_state = _move(optimizer.discriminator, grads, state, "discriminator")
        state = state.replace(
            params=state.params._replace(discriminator=params),
            opt_state=state.opt_state._replace(discriminator=opt_state),
            model_state=state.model_state._replace(discriminator=model_state),
        )
        real_probability, fake_probability = (jnp.mean(jax.nn.sigmoid(x)) for x in logits)
        return state, {
            "discriminator_loss": value,
            "real_probability": real_probability,
            "fake_probability": fake_probability,
        }

    def generator_step(state: TrainState, real: Batch, fake: Batch, pullback, key: jax.Array):
        def objective(fake):
            # The real logits are for losses that compare the two; where unused, XLA drops them.
            logits, _ = judge(
                state.params.discriminator, state.model_state.discriminator, real, fake, key
            )
            return _mean(loss.generator, logits)

        value, fake_grad = jax.value_and_grad(objective)(fake)
        (grads,) = pullback(fake_grad)
        params, opt_state = _move(optimizer.generator, grads, state, "generator")
        state = state.replace(
            params=state.params._replace(generator=params),
            opt_state=state.opt_state._replace(generator=opt_state),
        )
        return state, {"generator_loss": value}

    def update(state: TrainState, images: Batch) -> tuple[TrainState, Metrics]:
        _check_images(images)
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), 4)
        latents = jax.random.normal(keys[0], (images.shape[0], latent_dim), images.dtype)

        def generate(params):
            model_state = state.model_state.generator
            return network.generator.apply(params, model_state, latents, train=True, key=keys[1])

        fake, pullback, generator_state = jax.vjp(generate, state.params.generator, has_aux=True)
        _check_shape("The generator's output, which must match the images,", fake, images.shape)
        state, judged = discriminator_step(state, images, fake, keys[2])
        state, played = generator_step(state, images, fake, pullback, keys[3])
        state = state.replace(
            step=state.step + 1,
            model_state=state.model_state._replace(generator=generator_state),
            ema_params=_average(state, images.shape[0], ema_half_life),
        )
        return state, judged | played

    def sample(state: TrainState, latents: jax.Array) -> jax.Array:
        _check_shape("Latents", latents, (*latents.shape[:1], latent_dim))
        params = state.params.generator if state.ema_params is None else state.ema_params
        model_state = state.model_state.generator
        images, _ = network.generator.apply(params, model_state, latents, train=False, key=None)
        return images

    return GAN(init, update, sample)


def _mean(loss: Loss, logits: tuple[jax.Array, jax.Array]) -> jax.Array:
    values = loss(*logits)
    _check_shape("The loss, one number an image,", values, logits[0].shape)
    return jnp.mean(values)


def _move(optimizer, grads, state: TrainState, player: str):
    params, opt_state = getattr(state.params, player), getattr(state.opt_state, player)
    # optax mixes dtypes on purpose; that must not trouble a caller who forbids it elsewhere.
    with jax.numpy_dtype_promotion("standard"):
        updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def _average(state: TrainState, batch_size: int, half_life: float | None):
    if half_life is None:
        return None
    kept = 0.5 ** (batch_size / half_life)
    return optax.incremental_update(state.params.generator, state.ema_params, 1.0 - kept)


def _check_arguments(loss, optimizer, latent_dim, ema_half_life) -> None:
    for name, value in (("loss", loss), ("optimizer", optimizer)):
        if not isinstance(value, Pair):
            raise TypeError(
                f"{name} must be a jaxgan.Pair (one for each player); got {type(value).__name__}."
            )
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1; got {latent_dim}.")
    if ema_half_life is not None and not ema_half_life > 0:
        raise ValueError(f"ema_half_life must be a positive number of images; got {ema_half_life}.")


def _check_images(images: Batch) -> None:
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(
            f"Images must be floats in [-1, 1]; got {images.dtype} of shape {images.shape}. "
            "jaxgan.images.normalize makes them of uint8."
        )
    if images.ndim < 2 or images.shape[0] == 0:
        raise ValueError(
            f"Images must be [batch, ...] with a batch of 1 or more; got {images.shape}."
        )


def _check_shape(what: str, x: jax.Array, expected: tuple[int, ...]) -> None:
    if x.shape != expected:
        raise ValueError(f"{what} must have shape {expected}; got {x.shape}.")
