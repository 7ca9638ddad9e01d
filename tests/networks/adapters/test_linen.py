"""Tests `from_linen`, the reference of the other adapters."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from adapter_contract import LINEN, AdapterContract

from jaxgan.networks import from_linen


class TestLinen(AdapterContract):
    library = LINEN


@pytest.mark.parametrize(
    ("module", "error"),
    [
        (nn.BatchNorm(use_running_average=False), "ModifyScopeVariableError"),
        (nn.Dropout(0.5, deterministic=False), "InvalidRngError"),
    ],
)
def test_layer_that_always_trains_needs_a_flag(module, error):
    module = nn.Sequential([module])
    x, keys = jnp.ones((2, 3)), {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    model_state = dict(module.init(keys, x))
    params = model_state.pop("params", {})
    message = rf"must be able to turn off training by .*; got {error} .* Use it in the layers"
    with pytest.raises(TypeError, match=message):
        from_linen(module).apply(params, model_state, x, train=False)
