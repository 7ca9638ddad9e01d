"""Metrics of sample quality, and feature functions of images.

All metrics take features `[num, dims]` of any float type, from numpy, JAX or another library. They
compute in float64 on the host, and return a number or a NamedTuple of numbers.
"""

from jaxgan.evaluation._embedding import embed
from jaxgan.evaluation._features import (
    FeatureExtractor,
    FeatureFn,
    load_classifier,
    mnist_v1,
    random_v1,
)
from jaxgan.evaluation._frechet import Moments, frechet, merge, moments
from jaxgan.evaluation._inception import InceptionScore, inception_score
from jaxgan.evaluation._kernel import KernelDistance, kernel_distance
from jaxgan.evaluation._manifold import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    precision_recall,
)
from jaxgan.evaluation._modes import (
    MixtureCoverage,
    ModeCoverage,
    kl_floor,
    mixture_coverage,
    mode_coverage,
)
from jaxgan.evaluation._neighbours import (
    Authenticity,
    NearestNeighbourTest,
    authenticity,
    nearest_neighbour_test,
)
from jaxgan.evaluation._report import compare
from jaxgan.evaluation._spread import mean_and_error, plus_minus

__all__ = [
    "Authenticity",
    "DensityCoverage",
    "FeatureExtractor",
    "FeatureFn",
    "InceptionScore",
    "KernelDistance",
    "MixtureCoverage",
    "ModeCoverage",
    "Moments",
    "NearestNeighbourTest",
    "PrecisionRecall",
    "authenticity",
    "compare",
    "density_coverage",
    "embed",
    "frechet",
    "inception_score",
    "kernel_distance",
    "kl_floor",
    "load_classifier",
    "mean_and_error",
    "merge",
    "mixture_coverage",
    "mnist_v1",
    "mode_coverage",
    "moments",
    "nearest_neighbour_test",
    "plus_minus",
    "precision_recall",
    "random_v1",
]
