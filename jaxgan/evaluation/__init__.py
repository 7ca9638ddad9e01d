"""How good the samples are: metrics over feature arrays, and what makes features of images."""

from jaxgan.evaluation.features import Classifier, embed, load_classifier, mnist_v1, random_v1
from jaxgan.evaluation.modes import (
    MixtureCoverage,
    ModeCoverage,
    kl_floor,
    mixture_coverage,
    mode_coverage,
)
from jaxgan.evaluation.spread import mean_and_error, plus_minus

__all__ = [
    "Classifier",
    "MixtureCoverage",
    "ModeCoverage",
    "embed",
    "kl_floor",
    "load_classifier",
    "mean_and_error",
    "mixture_coverage",
    "mnist_v1",
    "mode_coverage",
    "plus_minus",
    "random_v1",
]
