"""Defines the configuration of a GAN, and the inputs and results of a training step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax

from jaxgan._internal.shapes import Array, Float, Int32, Integer, Key
from jaxgan.augment import Augmentation
from jaxgan.penalties import Penalty
from jaxgan.types import Loss, ModelState, Network, Pair, Params, PyTree


class GameConfig(NamedTuple):
    """Holds the arguments of `jaxgan.gan`. `_validation` checks them."""

    network: Pair[Network]
    loss: Loss
    optimizer: Pair[optax.GradientTransformation]
    latents: int
    penalty: Penalty | None
    augmentation: Augmentation | None
    discriminator_steps: int
    packing: int
    num_classes: int | None
    auxiliary: Pair[float] | None
    ema_half_life: float | None
    ema_warmup: float | None
    diagnose: bool
    data_range: tuple[float, float] | None
    bounded_logits: bool

    @property
    def batch_divisor(self) -> int:
        """Returns the number that must divide the batch size."""
        return self.discriminator_steps * self.packing


class StepKeys(NamedTuple):
    """Holds the PRNG keys of one discriminator step, one key for each use.

    Only the last discriminator step has a key for the generator step.
    """

    latents: Key[Array, ""]
    generator: Key[Array, ""]
    discriminator_step: Key[Array, ""]
    generator_step: Key[Array, ""] | None = None


class StepInputs(NamedTuple):
    """Holds the data, keys and number of one discriminator step.

    Attributes:
      real: the real images of this step, a share of the batch.
      labels: one label for each image, or None.
      keys: the PRNG keys of this step.
      step: the number of this discriminator step, counted over the whole run.
    """

    real: Float[Array, " batch *image"]
    labels: Integer[Array, " batch"] | None
    keys: StepKeys
    step: Int32[Array, ""]


class Generated(NamedTuple):
    """Holds the results of one forward pass of the generator.

    Attributes:
      images: the generated images.
      apply: generates images with other parameters, from the same latents.
      pullback: maps a gradient with respect to the images to one with respect to the parameters.
      model_state: the generator's model state after the pass.
    """

    images: Float[Array, " batch *image"]
    apply: Callable[[Params], jax.Array]
    pullback: Callable[[jax.Array], tuple[Params]]
    model_state: ModelState


class PlayerUpdate(NamedTuple):
    """Holds the results of a discriminator or generator step, before the optimizer update.

    Attributes:
      loss: the network's loss.
      value_fn: the loss as a function of the network's parameters, on the same batch.
      grads: the gradient of the loss with respect to the network's parameters.
      model_state: the network's model state after the forward passes.
      game_state: the state of the penalty and the augmentation after the step.
    """

    loss: Float[Array, ""]
    value_fn: Callable[[Params], jax.Array]
    grads: Params
    model_state: ModelState
    game_state: PyTree
