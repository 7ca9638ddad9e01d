"""Applies the discriminator to packed and augmented images, and computes the losses."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgan._game._config import GameConfig, StepInputs
from jaxgan._internal import checks
from jaxgan._internal.shapes import Array, Float, Int32, Integer, Key
from jaxgan.losses import auxiliary_classifier
from jaxgan.penalties import StepCritic
from jaxgan.train_state import TrainState
from jaxgan.types import LossFn, ModelState, Pair, Params, PyTree


class DiscriminatorOutput(NamedTuple):
    """Holds the discriminator output for one batch of real and one batch of fake images."""

    real_logits: Float[Array, " batch"]
    fake_logits: Float[Array, " batch"]
    class_logits: Pair[Float[Array, " batch classes"]] | None  # of fake and real images


class PackedImages(NamedTuple):
    """Holds the packed images of a step, and the functions that augment them.

    Attributes:
      packed: fake and real images before augmentation.
      augment: the augmentations of packed images with the random draws of fake and of real images.
    """

    packed: Pair[Float[Array, " packed *packed_image"]]
    augment: Pair[Callable[[jax.Array], jax.Array]]

    @property
    def augmented(self) -> Pair[Float[Array, " packed *packed_image"]]:
        """Returns the images that the discriminator receives."""
        return Pair(*(augment(x) for augment, x in zip(self.augment, self.packed, strict=True)))


def prepare(
    config: GameConfig,
    state: TrainState,
    images: Pair[jax.Array],
    *,
    key: Key[Array, ""],
    step: Int32[Array, ""],
) -> PackedImages:
    """Packs fake and real images, and draws the random numbers of their augmentation."""
    packed = Pair(*(pack(x, config.packing) for x in images))
    if config.augmentation is None:
        return PackedImages(packed, Pair(lambda x: x, lambda x: x))
    augmentation_state, apply = state.game_state["augmentation"], config.augmentation.apply

    def with_key(key: jax.Array) -> Callable[[jax.Array], jax.Array]:
        augment = lambda x: apply(augmentation_state, key, x, step=step)
        return lambda x: pack(augment(unpack(x, config.packing)), config.packing)

    fake_key, real_key = jax.random.split(key)
    return PackedImages(packed, Pair(with_key(fake_key), with_key(real_key)))


def pack(
    images: Float[Array, " batch *image"], packing: int
) -> Float[Array, " packed *packed_image"]:
    """Concatenates each group of `packing` images along the channel axis (PacGAN)."""
    if packing == 1:
        return images
    groups = images.reshape(images.shape[0] // packing, packing, *images.shape[1:])
    joined = jnp.moveaxis(groups, 1, -2)
    return joined.reshape(*joined.shape[:-2], packing * images.shape[-1])


def unpack(
    packed: Float[Array, " packed *packed_image"], packing: int
) -> Float[Array, " batch *image"]:
    """Separates the images that `pack` joined."""
    if packing == 1:
        return packed
    joined = packed.reshape(*packed.shape[:-1], packing, packed.shape[-1] // packing)
    groups = jnp.moveaxis(joined, -2, 1)
    return groups.reshape(packed.shape[0] * packing, *groups.shape[2:])


def discriminate_real_and_fake(
    config: GameConfig,
    params: Params,
    model_state: ModelState,
    seen: Pair[jax.Array],
    *,
    labels: Integer[Array, " batch"] | None,
    key: Key[Array, ""],
) -> tuple[DiscriminatorOutput, ModelState]:
    """Applies the discriminator to real and fake images in separate passes.

    In a joint pass, batch statistics would mix real and fake images.
    """
    real_key, fake_key = jax.random.split(key)
    real, model_state = apply_discriminator(
        config, params, model_state, seen.discriminator, labels=labels, key=real_key
    )
    fake, model_state = apply_discriminator(
        config, params, model_state, seen.generator, labels=labels, key=fake_key
    )
    if not isinstance(real, tuple):
        return DiscriminatorOutput(real, fake, None), model_state
    return DiscriminatorOutput(real[0], fake[0], Pair(fake[1], real[1])), model_state


def apply_discriminator(
    config: GameConfig,
    params: Params,
    model_state: ModelState,
    images: Float[Array, " batch *image"],
    *,
    labels: Integer[Array, " batch"] | None,
    key: Key[Array, ""],
) -> tuple[PyTree, ModelState]:
    """Returns the discriminator output and the new model state.

    The output is the logits, or a tuple of logits and class logits.
    """
    inputs = (images,) if labels is None else (images, labels)
    apply = config.network.discriminator.apply
    output, model_state = apply(params, model_state, *inputs, train=True, key=key)
    logits = output[0] if isinstance(output, tuple) else output
    advice = "Return one number per image, such as logits[:, 0] after a last Dense(1)."
    checks.shape("The discriminator's logits", logits, images.shape[:1], advice)
    if config.auxiliary is not None and config.num_classes is not None:
        _check_class_logits(output, (images.shape[0], config.num_classes))
    return output, model_state


def _check_class_logits(output: PyTree, shape: tuple[int, int]) -> None:
    """Checks that the discriminator returns class logits of a shape."""
    fits = isinstance(output, tuple) and len(output) == 2
    name, expected = "The discriminator's result", "(logits, class_logits) with auxiliary"
    got = checks.shown(output[0] if isinstance(output, tuple) else output)
    checks.require(fits, name, expected, got, error=TypeError)
    advice = "End the discriminator's second head with Dense(num_classes)."
    checks.shape("The class logits", output[1], shape, advice)


def discriminator_loss(
    config: GameConfig, output: DiscriminatorOutput, labels: Integer[Array, " batch"] | None
) -> Float[Array, ""]:
    """Returns the discriminator's mean loss, without the penalty."""
    value = _mean_loss(config.loss.discriminator, output)
    if config.auxiliary is not None:
        for class_logits in output.class_logits or ():
            value += config.auxiliary.discriminator * _mean_class_loss(class_logits, labels)
    return value


def generator_loss(
    config: GameConfig, output: DiscriminatorOutput, labels: Integer[Array, " batch"] | None
) -> Float[Array, ""]:
    """Returns the generator's mean loss."""
    value = _mean_loss(config.loss.generator, output)
    if config.auxiliary is not None and output.class_logits is not None:
        class_loss = _mean_class_loss(output.class_logits.generator, labels)
        value += config.auxiliary.generator * class_loss
    return value


def _mean_loss(loss: LossFn, output: DiscriminatorOutput) -> Float[Array, ""]:
    """Returns the mean of a loss over the batch."""
    values = loss(output.real_logits, output.fake_logits)
    advice = "Return one value per image; gan computes the mean."
    checks.shape("The loss", values, output.fake_logits.shape, advice)
    return jnp.mean(values)


def _mean_class_loss(
    class_logits: Float[Array, " batch classes"], labels: Integer[Array, " batch"] | None
) -> Float[Array, ""]:
    """Returns the mean cross-entropy of the auxiliary classifier (AC-GAN)."""
    assert labels is not None  # `gan` requires num_classes with auxiliary
    return jnp.mean(auxiliary_classifier(class_logits, labels))


def mean_penalty(
    config: GameConfig,
    state: TrainState,
    params: Params,
    images: PackedImages,
    inputs: StepInputs,
    *,
    key: Key[Array, ""],
) -> tuple[Float[Array, ""], PyTree]:
    """Returns the mean penalty over the batch, and the penalty's new state.

    The critic augments, so that gradients are with respect to the images before augmentation. Its
    random draws are those of the loss.
    """
    fake, real = images.packed
    if config.penalty is None:
        return jnp.zeros((), real.dtype), ()
    critic_key, key = jax.random.split(key)

    def critic(augment: Callable[[jax.Array], jax.Array], images: jax.Array) -> jax.Array:
        model_state = state.model_state.discriminator
        output, _ = apply_discriminator(
            config, params, model_state, augment(images), labels=inputs.labels, key=critic_key
        )
        return output[0] if isinstance(output, tuple) else output

    of_fake, of_real = (functools.partial(critic, augment) for augment in images.augment)

    penalty_state = state.game_state["penalty"]
    values, penalty_state = config.penalty.apply(
        penalty_state, StepCritic(of_real, of_fake), real, fake, key=key, step=inputs.step
    )
    _check_penalty(values, real.shape[0])
    return jnp.mean(values), penalty_state


def _check_penalty(values: object, batch: int) -> None:
    """Checks that a penalty is a scalar or has one value per image.

    Other shapes, such as [batch, 1], suggest an unintended broadcast.
    """
    found = () if isinstance(values, int | float) else getattr(values, "shape", type(values))
    checks.require(
        found in ((), (batch,)),
        "A penalty",
        f"a scalar or of shape ({batch},), one value per image",
        f"{found}",
        "Sum over the other axes.",
        error=checks.ShapeError,
    )
