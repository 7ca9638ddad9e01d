"""Defines the configurations of a game and of a GAN."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from jaxgan.augment import Augmentation
from jaxgan.dynamics import Dynamics, Rules
from jaxgan.latents import Sampler
from jaxgan.terms import Term, View
from jaxgan.types import Loss, Metrics, Network, Pair


class GameConfig(NamedTuple):
    """Holds the arguments of `jaxgan.game`. `_validation` checks them."""

    rules: Rules
    dynamics: Dynamics
    ema_half_life: float | None
    ema_warmup: float | None


class GANConfig(NamedTuple):
    """Holds the arguments of `jaxgan.gan` from which its objective is built, and its checks."""

    network: Pair[Network]
    loss: Loss
    latents: Sampler
    terms: Pair[dict[str, Term]]
    augmentation: Augmentation | None
    metrics: Callable[[View], Metrics] | None
    num_classes: int | None
    data_range: tuple[float, float] | None
    bounded_logits: bool

    @property
    def packing(self) -> int:
        """Returns the number of images in an input of the discriminator."""
        return 1 if self.augmentation is None else self.augmentation.packing

    def latents_like(self, num: int, dtype: jax.typing.DTypeLike) -> object:
        """Returns the shapes and dtypes of latents."""
        return jax.eval_shape(lambda key: self.latents(key, num, dtype), jax.random.key(0))
