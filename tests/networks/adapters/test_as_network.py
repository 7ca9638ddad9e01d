"""Tests that `as_network` adapts linen modules and names the adapters of other libraries."""

import subprocess
import sys

import equinox as eqx
import flax.linen as nn
import haiku as hk
import pytest
from flax import nnx

from jaxgan.networks import as_network, from_linen
from jaxgan.types import Network


def test_as_network_returns_a_network_unchanged():
    network = from_linen(nn.Dense(1))
    assert as_network(network) is network
    assert isinstance(as_network(nn.Dense(1)), Network)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "got NoneType.$"),
        (nn.Dense, "got the class Dense. Make an instance of it.$"),
        (nnx.Linear(1, 1, rngs=nnx.Rngs(0)), r"got Linear. Use jaxgan.networks.from_nnx\(make\)"),
        (nnx.Linear, r"got the class Linear. Use jaxgan.networks.from_nnx\(make\)"),
        (eqx.nn.Identity(), r"got Identity. Use jaxgan.networks.from_equinox\(make\)"),
        (hk.transform(lambda x: x), r"got Transformed. Use jaxgan.networks.from_haiku\(function\)"),
        (hk.Linear, r"got the class Linear. Use jaxgan.networks.from_haiku\(function\)"),
    ],
)
def test_as_network_names_the_adapter_to_use(wrong, message):
    with pytest.raises(TypeError, match=message):
        as_network(wrong)


def test_import_jaxgan_imports_no_other_library():
    code = (
        "import sys, flax.linen\n"
        "flax_needs = set(sys.modules)\n"
        "import jaxgan\n"
        "from jaxgan.networks import adapters\n"
        "others = {'flax.nnx', 'equinox', 'haiku'} - flax_needs\n"
        "print([m for m in others if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
