"""Compares optimizers with hand-computed values."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import optimizers


def test_clipped_weights_stay_within_the_limit():
    optimizer = optax.chain(optax.sgd(1.0), optimizers.clip_weights(0.1))
    params = {"a": jnp.array([0.05, -0.05, 0.0])}
    state = optimizer.init(params)
    updates, _ = optimizer.update({"a": jnp.array([-1.0, 0.01, 0.03])}, state, params)
    found = optax.apply_updates(params, updates)["a"]
    np.testing.assert_allclose(found, [0.1, -0.06, -0.03], atol=1e-7)


def test_clipping_needs_a_positive_limit_and_the_parameters():
    with pytest.raises(ValueError, match=r"limit must be positive and finite; got 0\.0"):
        optimizers.clip_weights(0.0)
    clip = optimizers.clip_weights(0.1)
    with pytest.raises(ValueError, match="params must be the parameters; got None"):
        clip.update({"a": jnp.zeros(2)}, clip.init({"a": jnp.zeros(2)}))
