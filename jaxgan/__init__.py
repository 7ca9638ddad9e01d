"""Trains GANs with pure functions in JAX."""

import importlib
from typing import TYPE_CHECKING

from jaxgan import (
    augment,
    compilation,
    datasets,
    diagnostics,
    distributed,
    dynamics,
    evaluation,
    images,
    latents,
    losses,
    networks,
    optimizers,
    penalties,
    population,
    runs,
    streaming,
    terms,
    train_state,
    training,
    types,
    updates,
)
from jaxgan._game import GAN, Game, game, gan, objective
from jaxgan._internal.environment import environment
from jaxgan.train_state import TrainState
from jaxgan.types import Loss, Network, Objective, Pair

__version__ = "0.1.0"

__all__ = [
    "GAN",
    "Game",
    "Loss",
    "Network",
    "Objective",
    "Pair",
    "TrainState",
    "augment",
    "checkpoint",
    "compilation",
    "datasets",
    "diagnostics",
    "distributed",
    "dynamics",
    "environment",
    "evaluation",
    "game",
    "gan",
    "images",
    "latents",
    "losses",
    "networks",
    "objective",
    "optimizers",
    "penalties",
    "population",
    "runs",
    "streaming",
    "terms",
    "train_state",
    "training",
    "types",
    "updates",
]


if TYPE_CHECKING:
    from jaxgan import checkpoint
else:
    # Importing Orbax is slow, and code that only trains does not need it.
    def __getattr__(name):
        if name == "checkpoint":
            return importlib.import_module("jaxgan.checkpoint")
        raise AttributeError(f"module 'jaxgan' has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
