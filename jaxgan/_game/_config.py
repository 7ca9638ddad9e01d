"""The configuration of a game, and what one training step receives."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax

from jaxgan._internal.shapes import Array, Float, Int, Int32, Key
from jaxgan.augment import Augmentation
from jaxgan.penalties import Penalty
from jaxgan.types import Loss, ModelState, Network, Pair, Params, PyTree


class GameConfig(NamedTuple):
    """The arguments of `jaxgan.gan`, which are not arrays. `_validation` checks them."""

    network: Pair[Network]
    loss: Pair[Loss]
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

    @property
    def batch_divisor(self) -> int:
        """The number that divides the size of every batch."""
        return self.discriminator_steps * self.packing


class StepKeys(NamedTuple):
    """The PRNG keys of one step, by what draws from them.

    Only the keys of the last discriminator step include one for the generator's step.
    """

    latents: Key[Array, ""]
    generator: Key[Array, ""]
    discriminator_step: Key[Array, ""]
    generator_step: Key[Array, ""] | None = None


class StepInputs(NamedTuple):
    """What a half-step receives besides the configuration and the state.

    Attributes:
      real: this step's share of the batch.
      labels: one for each image, or None.
      keys: the step's PRNG keys.
      step: the number of this discriminator step in the whole run.
    """

    real: Float[Array, " batch *image"]
    labels: Int[Array, " batch"] | None
    keys: StepKeys
    step: Int32[Array, ""]


class Generated(NamedTuple):
    """One forward pass of the generator.

    Attributes:
      images: what the generator made.
      pullback: from a gradient with respect to the images to one with respect to the parameters.
      model_state: the generator's model state after the pass.
    """

    images: Float[Array, " batch *image"]
    pullback: Callable[[jax.Array], tuple[Params]]
    model_state: ModelState


class PlayerUpdate(NamedTuple):
    """What a half-step computes, before the optimizer applies it.

    Attributes:
      loss: the player's loss.
      grads: its gradient with respect to the player's parameters.
      model_state: the player's model state after the forward passes.
      game_state: the state of penalty and augmentation after the half-step.
    """

    loss: Float[Array, ""]
    grads: Params
    model_state: ModelState
    game_state: PyTree
