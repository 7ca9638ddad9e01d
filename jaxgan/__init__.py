"""jaxgan: training GANs as pure functions in JAX."""

import importlib
from typing import TYPE_CHECKING

from jaxgan import (
    augment,
    datasets,
    diagnostics,
    evaluation,
    images,
    losses,
    networks,
    penalties,
    population,
    runs,
    sampling,
    streaming,
    train_state,
    training,
    types,
)
from jaxgan.environment import environment
from jaxgan.gan import GAN, gan
from jaxgan.train_state import TrainState
from jaxgan.types import Network, Pair

__version__ = "0.1.0"

__all__ = [
    "GAN",
    "Network",
    "Pair",
    "TrainState",
    "augment",
    "checkpoint",
    "datasets",
    "diagnostics",
    "environment",
    "evaluation",
    "gan",
    "images",
    "losses",
    "networks",
    "penalties",
    "population",
    "runs",
    "sampling",
    "streaming",
    "train_state",
    "training",
    "types",
]


if TYPE_CHECKING:
    from jaxgan import checkpoint
else:
    # Orbax takes long to import, and research code that only trains does not need it.
    def __getattr__(name):
        if name == "checkpoint":
            return importlib.import_module("jaxgan.checkpoint")
        raise AttributeError(f"module 'jaxgan' has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
