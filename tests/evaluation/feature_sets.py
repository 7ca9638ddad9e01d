"""Sets of features of several kinds, and brute-force metrics of them."""

import math

import numpy as np
import pytest


def features(num=200, dims=8, *, seed=0, shift=0.0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(num, dims)) @ draw.normal(size=(dims, dims)) + shift


def rank_deficient(num=200, *, seed=0, shift=0.0):
    """Returns features with dead units and two equal units."""
    x = features(num, 4, seed=seed, shift=shift)
    return np.concatenate([x, x[:, :1], np.zeros((num, 5))], axis=1)


SETS = {
    "full rank": (features(seed=1), features(150, seed=2, shift=0.3)),
    "rank deficient": (rank_deficient(seed=1), rank_deficient(150, seed=2, shift=0.3)),
    "tiny": (features(4, 2, seed=1), features(3, 2, seed=2, shift=0.3)),
    "large offset": (features(seed=1, shift=1e4), features(150, seed=2, shift=1e4)),
}


each_set = pytest.mark.parametrize("sets", SETS.values(), ids=SETS.keys())


def brute_force_neighbors(x, y):
    """Returns the fractions of each set whose nearest neighbor is in their own set."""

    def share(own, other):
        within = np.array([[((a - b) ** 2).sum() for b in own] for a in own])
        np.fill_diagonal(within, math.inf)
        across = np.array([[((a - b) ** 2).sum() for b in other] for a in own])
        return (within.min(axis=1) < across.min(axis=1)).mean()

    return share(x, y), share(y, x)


def brute_force_authenticity(train, fake):
    to_train = np.array([[((a - b) ** 2).sum() for b in train] for a in fake])
    own = np.array([[((a - b) ** 2).sum() for b in train] for a in train])
    np.fill_diagonal(own, math.inf)
    return (to_train.min(axis=1) > own.min(axis=1)[to_train.argmin(axis=1)]).mean()
