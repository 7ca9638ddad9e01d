"""Metrics reject bad arguments by name.

`pytest -m slow tests/torture` tries thousands of inputs; the default suite tries two of each kind.
"""

import math

import numpy as np
from bad import NO_FUNCTION, NOT_FINITE, POINTS, Case, X, array, features, number, rejected, whole
from hypothesis import strategies as st

from jaxgan import evaluation


def score_cases():
    both = {
        "frechet": evaluation.frechet,
        "kernel": lambda x, y: evaluation.kernel_distance(x, y, block_size=9),
        "precision": evaluation.precision_recall,
        "density": evaluation.density_coverage,
        "neighbors": evaluation.nearest_neighbour_test,
        "authenticity": evaluation.authenticity,
        "compare": evaluation.compare,
    }
    for name, f in both.items():
        yield Case(f"{name}.real", features(2), lambda x, f=f: f(x, POINTS))
        yield Case(f"{name}.fake", features(1), lambda x, f=f: f(POINTS, x))
        other = st.just(np.zeros((9, 3)))
        yield Case(f"{name}.dims", other, lambda x, f=f: f(POINTS, x), r"dimensions; got 2 and 3")
    yield Case(
        "compare.train",
        features(2).filter(lambda x: x is not None),
        lambda x: evaluation.compare(POINTS, POINTS, train=x),
    )
    progress = lambda x: evaluation.compare(POINTS, POINTS, progress=x)
    yield Case("compare.progress", NO_FUNCTION, progress)
    yield Case("moments", features(), evaluation.moments)
    whole_parts = st.sampled_from([None, 3, [None], [3], evaluation.moments(POINTS)])
    yield Case("merge", whole_parts, evaluation.merge, "Moments")
    nonsense = st.one_of(whole(), features())
    moments = lambda x: evaluation.frechet(evaluation.Moments(x, np.zeros(2), x), POINTS)
    yield Case("nonsense moments", nonsense, moments, "(count|scatter) of real")
    scatters = st.sampled_from([[[1.0, 5.0], [5.0, 1.0]], [[2.0, 1.0], [0.0, 2.0]]]).map(np.array)
    of_fake = lambda x: evaluation.frechet(POINTS, evaluation.Moments(9, np.zeros(2), x))
    yield Case("scatter", scatters, of_fake, "scatter of fake must")
    yield Case(
        "splits", whole(1, 9), lambda x: evaluation.inception_score(np.ones((9, 1)), splits=x)
    )
    yield Case("probabilities", features(), lambda x: evaluation.inception_score(x, splits=1))
    kernel = lambda **x: evaluation.kernel_distance(POINTS, POINTS, **{"block_size": 3, **x})
    yield Case("block_size", whole(2, 9), lambda x: kernel(block_size=x))
    yield Case(
        "subsets", whole(1, 10_000).filter(lambda x: x is not None), lambda x: kernel(subsets=x)
    )
    yield Case("seed", whole(0), lambda x: kernel(seed=x))
    yield Case("k", whole(1, 8), lambda x: evaluation.precision_recall(POINTS, POINTS, k=x))
    yield Case(
        "k of density", whole(1, 8), lambda x: evaluation.density_coverage(POINTS, POINTS, k=x)
    )
    cover = evaluation.mode_coverage
    yield Case("labels", array(1, "fbc"), lambda x: cover(x, 9), r"labels must be")
    yield Case(
        "label", st.one_of(st.integers(-99, -1), st.integers(3, 99)), lambda x: cover([x], 3)
    )
    yield Case("num_modes", whole(1, 10**7), lambda x: cover([0], x))
    yield Case("floor.num_samples", whole(1, 10**7), lambda x: evaluation.kl_floor(x, 3))
    yield Case("floor.num_modes", whole(1, 10**7), lambda x: evaluation.kl_floor(3, x))
    shares = st.sampled_from(["a", [0.5], [0.5, 0.4], [-1.0, 2.0], [math.nan, 1.0], [[1.0, 0.0]]])
    yield Case("shares", shares, lambda x: evaluation.kl_floor(3, 2, x), "probabilities must")
    for name, good in (("sigma", {"radius": 1.0}), ("radius", {"sigma": 1.0})):
        mixture = lambda x, name=name, good=good: evaluation.mixture_coverage(
            POINTS, POINTS, **{name: x, **good}
        )
        yield Case(name, number(0), mixture)
    yield Case("points", features(), lambda x: evaluation.mixture_coverage(x, POINTS, 1.0))
    runs = st.sampled_from([None, "ab", [], ["1"], [1j], [math.nan], [1.0, math.inf], [[1.0]]])
    for f in (evaluation.mean_and_error, evaluation.plus_minus):
        yield Case(f.__name__, runs, f, "values must")
    yield Case("digits", whole(0, 17), lambda x: evaluation.plus_minus([1.0], x))
    pixels = lambda x: x.reshape(x.shape[0], -1)
    embed = lambda x=X, f=pixels, **more: evaluation.embed(f, x, **more)
    yield Case("embed", array(4, "ibc"), embed, "images must be")
    yield Case("embed.range", st.floats(1.1, 1e9), lambda x: embed(X + np.float32(x)), "in .-1, 1.")
    yield Case("embed.nan", NOT_FINITE, lambda x: embed(X + np.float32(x)))
    bright = st.floats(1e-3, 1.0).map(lambda x: np.linspace(0, x, X.size).reshape(X.shape))
    yield Case("embed.bright", bright, embed, "some below 0")
    yield Case("embed.progress", NO_FUNCTION, lambda x: embed(progress=x))
    yield Case("feature_fn", NO_FUNCTION, lambda x: embed(f=x))
    yield Case("embed.batch_size", whole(), lambda x: embed(batch_size=x))
    sides = st.sampled_from([None, 28, (28, 28), (7, 28, 1), (28, 28, 0), (28.0, 28, 1), "abc"])
    yield Case("random_v1", sides, evaluation.random_v1)
    weights = lambda x="a.npz", **more: evaluation.load_classifier(x, **{"name": "a", **more})
    yield Case("classifier.path", st.sampled_from([None, 3, b"a", "", "a\0"]), weights)
    yield Case("classifier.name", st.sampled_from([None, 3, b"a"]), lambda x: weights(name=x))
    yield Case("sha256", st.sampled_from([3, b"a"]), lambda x: weights(sha256=x))


test_metrics_reject_bad_arguments = rejected(score_cases)
