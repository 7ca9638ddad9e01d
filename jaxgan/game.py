"""The half-steps of the game: what the discriminator and the generator do with one batch.

`jaxgan.gan` checks its arguments, puts them into a `Game` and calls these functions; nothing else
does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan import diagnostics
from jaxgan.augment import Augmentation
from jaxgan.losses import auxiliary_classifier
from jaxgan.penalties import Penalty
from jaxgan.train_state import TrainState
from jaxgan.types import Loss, Metrics, ModelState, Network, Pair, Params


class Game(NamedTuple):
    """The rules: everything that `jaxgan.gan` was told, checked."""

    network: Pair[Network]
    loss: Pair[Loss]
    optimizer: Pair[optax.GradientTransformation]
    latent_dim: int
    penalty: Penalty | None
    augmentation: Augmentation | None
    auxiliary: Pair[float] | None
    packing: int
    diagnose: bool


class Verdict(NamedTuple):
    """What a discriminator says of one batch."""

    real_logits: jax.Array
    fake_logits: jax.Array
    class_logits: Pair[jax.Array] | None  # of fake (the generator's) and of real images


def generate(
    game: Game, state: TrainState, labels: jax.Array | None, batch_size: int, dtype: Any, keys: Pair
) -> tuple[jax.Array, Callable, ModelState]:
    """Fakes from fresh latents, the way back to the generator's parameters, its new model state."""
    latents = jax.random.normal(keys.generator, (batch_size, game.latent_dim), dtype)

    def forward(params: Params) -> tuple[jax.Array, ModelState]:
        inputs = (latents,) if labels is None else (latents, labels)
        model_state = state.model_state.generator
        return game.network.generator.apply(
            params, model_state, *inputs, train=True, key=keys.discriminator
        )

    return jax.vjp(forward, state.params.generator, has_aux=True)


def discriminator_step(
    game: Game,
    state: TrainState,
    real: jax.Array,
    fake: jax.Array,
    labels: jax.Array | None,
    key: jax.Array,
    count: jax.Array,
) -> tuple[TrainState, Metrics]:
    """Moves the discriminator, and what adapts to it; `count` is the number of the step."""
    seen_key, key, penalty_key = jax.random.split(key, 3)
    seen = _show(game, state, Pair(fake, real), seen_key, count)

    def objective(params: Params):
        verdict, model_state = _judge(
            game, params, state.model_state.discriminator, seen, labels, key
        )
        value = _loss_of(game.loss.discriminator, verdict)
        if game.auxiliary is not None:
            for class_logits in verdict.class_logits or ():
                value += game.auxiliary.discriminator * _classify(class_logits, labels)
        penalty, penalty_state = _penalize(game, state, params, seen, labels, penalty_key, count)
        return value + penalty.astype(value.dtype), (verdict, model_state, penalty, penalty_state)

    gradient = jax.value_and_grad(objective, has_aux=True)
    (value, aux), grads = gradient(state.params.discriminator)
    verdict, model_state, penalty, penalty_state = aux
    adapted = _adapt(game, state, verdict.real_logits)
    state, norm, finite = _move(game.optimizer.discriminator, value, grads, state, "discriminator")
    state = state.replace(
        model_state=_choose(
            finite, state.model_state._replace(discriminator=model_state), state.model_state
        ),
        game_state=_choose(
            finite, {"penalty": penalty_state, "augmentation": adapted}, state.game_state
        ),
    )
    metrics = {
        "discriminator_loss": value,
        "discriminator_gradient_norm": norm,
        "discriminator_skipped": 1 - finite.astype(jnp.int32),
        **diagnostics.of_logits(verdict.real_logits, verdict.fake_logits),
    }
    if game.penalty is not None:
        metrics["penalty"] = penalty
    if game.augmentation is not None and "probability" in state.game_state["augmentation"]:
        metrics["augmentation_probability"] = state.game_state["augmentation"]["probability"]
    if game.diagnose:
        metrics |= diagnostics.of_images(real, fake)
    return state, metrics


def generator_step(
    game: Game,
    state: TrainState,
    real: jax.Array,
    fake: jax.Array,
    pullback: Callable,
    model_state: ModelState,
    labels: jax.Array | None,
    key: jax.Array,
    count: jax.Array,
) -> tuple[TrainState, Metrics]:
    """Moves the generator against the discriminator as it now is, which stands still."""
    seen_key, key = jax.random.split(key)

    def objective(fake: jax.Array):
        seen = _show(game, state, Pair(fake, real), seen_key, count)
        # The real logits are for losses that compare the two; where unused, XLA drops them.
        verdict, _ = _judge(
            game,
            state.params.discriminator,
            state.model_state.discriminator,
            seen,
            labels,
            key,
        )
        value = _loss_of(game.loss.generator, verdict)
        if game.auxiliary is not None and verdict.class_logits is not None:
            value += game.auxiliary.generator * _classify(verdict.class_logits.generator, labels)
        return value

    value, fake_grad = jax.value_and_grad(objective)(fake)
    (grads,) = pullback(fake_grad)
    state, norm, finite = _move(game.optimizer.generator, value, grads, state, "generator")
    model_state = state.model_state._replace(generator=model_state)
    state = state.replace(model_state=_choose(finite, model_state, state.model_state))
    return state, {
        "generator_loss": value,
        "generator_gradient_norm": norm,
        "generator_skipped": 1 - finite.astype(jnp.int32),
    }


def pack(images: jax.Array, packing: int) -> jax.Array:
    """Joins every `packing` images of a batch on the channel axis (PacGAN)."""
    if packing == 1:
        return images
    groups = images.reshape(images.shape[0] // packing, packing, *images.shape[1:])
    joined = jnp.moveaxis(groups, 1, -2)
    return joined.reshape(*joined.shape[:-2], packing * images.shape[-1])


class ShapeError(ValueError):
    """What networks, losses or penalties gave has another shape than it must have."""


def check_shape(what: str, x: jax.Array, expected: tuple[int, ...], advice: str) -> None:
    """Raises a ShapeError unless an array has the shape it should have."""
    found = getattr(x, "shape", type(x).__name__)
    if found != expected:
        raise ShapeError(f"{what} must have shape {expected}; got {found}. {advice}")


def _show(game: Game, state: TrainState, images: Pair, key: jax.Array, count: jax.Array) -> Pair:
    """Images as the discriminator sees them: augmented, then packed."""
    if game.augmentation is not None:
        keys = Pair(*jax.random.split(key))
        augmentation_state = state.game_state["augmentation"]
        apply = game.augmentation.apply
        images = Pair(
            *(
                apply(augmentation_state, k, x, step=count)
                for k, x in zip(keys, images, strict=True)
            )
        )
    return Pair(*(pack(x, game.packing) for x in images))


def _judge(
    game: Game,
    params: Params,
    model_state: ModelState,
    seen: Pair,
    labels: jax.Array | None,
    key: jax.Array,
) -> tuple[Verdict, ModelState]:
    """Real and fake images go through in passes of their own, real first."""
    real_key, fake_key = jax.random.split(key)
    real, model_state = _ask(game, params, model_state, seen.discriminator, labels, real_key)
    fake, model_state = _ask(game, params, model_state, seen.generator, labels, fake_key)
    if not isinstance(real, tuple):
        return Verdict(real, fake, None), model_state
    return Verdict(real[0], fake[0], Pair(fake[1], real[1])), model_state


def _ask(game: Game, params: Params, model_state: ModelState, images, labels, key):
    inputs = (images,) if labels is None else (images, labels)
    apply = game.network.discriminator.apply
    answer, model_state = apply(params, model_state, *inputs, train=True, key=key)
    logits = answer[0] if isinstance(answer, tuple) else answer
    check_shape(
        "The discriminator's logits",
        logits,
        images.shape[:1],
        "Let it return one number an image, as logits[:, 0] of a last Dense(1).",
    )
    return answer, model_state


def _loss_of(loss: Loss, verdict: Verdict) -> jax.Array:
    values = loss(verdict.real_logits, verdict.fake_logits)
    check_shape(
        "The loss, one number an image,",
        values,
        verdict.fake_logits.shape,
        "Leave the mean over the batch to gan.",
    )
    return jnp.mean(values)


def _classify(class_logits: jax.Array, labels: jax.Array | None) -> jax.Array:
    assert labels is not None  # `gan` has checked
    return jnp.mean(auxiliary_classifier(class_logits, labels))


def _penalize(
    game: Game, state: TrainState, params: Params, seen: Pair, labels, key, count
) -> tuple[jax.Array, Any]:
    if game.penalty is None:
        return jnp.zeros((), seen.discriminator.dtype), ()
    critic_key, key = jax.random.split(key)

    def critic(images: jax.Array) -> jax.Array:
        model_state = state.model_state.discriminator
        answer, _ = _ask(game, params, model_state, images, labels, critic_key)
        return answer[0] if isinstance(answer, tuple) else answer

    values: Any  # a penalty is anybody's function
    values, penalty_state = game.penalty.apply(
        state.game_state["penalty"],
        critic,
        seen.discriminator,
        seen.generator,
        key=key,
        step=count,
    )
    batch = seen.discriminator.shape[0]
    found = () if isinstance(values, int | float) else getattr(values, "shape", type(values))
    if found not in ((), (batch,)):  # as [batch, 1] less [batch], which is nonsense
        raise ShapeError(
            f"A penalty must be a scalar or have shape ({batch},), one number an image; got "
            f"{found}. Sum it over the other axes."
        )
    return jnp.mean(values), penalty_state


def _adapt(game: Game, state: TrainState, real_logits: jax.Array) -> Any:
    if game.augmentation is None:
        return ()
    return game.augmentation.adapt(state.game_state["augmentation"], real_logits)


def _move(
    optimizer: optax.GradientTransformation,
    value: jax.Array,
    grads: Params,
    state: TrainState,
    player: str,
) -> tuple[TrainState, jax.Array, jax.Array]:
    """The state after a player's move, if its loss and gradient are finite; the norm; if so."""
    with jax.numpy_dtype_promotion("standard"):
        norm = optax.tree.norm(grads)
    finite = jnp.isfinite(value) & jnp.isfinite(norm)

    def move(grads: Params, params: Params, opt_state: Any) -> tuple[Params, Any]:
        # optax mixes dtypes on purpose; that must not trouble a caller who forbids it elsewhere.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return optax.apply_updates(params, updates), opt_state

    def branch(grads: Params, *still: Any) -> tuple[Params, Any]:
        return jax.lax.cond(finite, move, lambda _, *still: still, grads, *still)

    def choose(grads: Params, *still: Any) -> tuple[Params, Any]:
        return _choose(finite, move(grads, *still), still)

    # A choice after the fact costs a CPU a copy of all parameters and moments. A GPU has the
    # bandwidth, but would have to ask the host for a branch.
    params, opt_state = jax.lax.platform_dependent(
        grads,
        getattr(state.params, player),
        getattr(state.opt_state, player),
        cpu=branch,
        default=choose,
    )
    state = state.replace(
        params=state.params._replace(**{player: params}),
        opt_state=state.opt_state._replace(**{player: opt_state}),
    )
    return state, norm, finite


def _choose(finite: jax.Array, moved: Any, still: Any) -> Any:
    """What moved, or, after a non-finite loss or gradient, what did not."""
    # Where nothing changed the two hold the same array, and there is nothing to choose.
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(finite, a, b), moved, still)
