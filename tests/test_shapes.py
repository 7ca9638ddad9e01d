"""Tests that annotated shapes are checked in tests, and that jaxtyping is optional."""

import subprocess

import jax
import jax.numpy as jnp
import jaxtyping
import pytest
import shape_checks
from conftest import PYTHON

from jaxgan._game._objective import discriminate
from jaxgan.training._shuffle import indices_of_step

WITHOUT_JAXTYPING = """
import sys
sys.modules["jaxtyping"] = None
import jax, jax.numpy as jnp, jaxgan
print(jaxgan.training.permute(jax.random.key(0), jnp.arange(3), 3).sum())
"""


@pytest.mark.parametrize("package", shape_checks.PACKAGES)
def test_every_package_has_checked_functions(package):
    assert len([name for name in shape_checks.CHECKED if name.startswith(package)]) >= 3


def test_wrong_shapes_and_dtypes_are_errors():
    images = jnp.zeros((4, 2, 2, 1), jnp.int32)
    with pytest.raises(jaxtyping.TypeCheckError, match="discriminate"):
        discriminate(None, {}, {}, images, None, jax.random.key(0))
    with pytest.raises(jaxtyping.TypeCheckError, match="indices_of_step"):
        indices_of_step(jax.random.key(0), jnp.zeros(2, jnp.int32), num_images=9, batch_size=2)


def test_public_functions_raise_their_own_errors(gan, batch):
    with pytest.raises(TypeError, match=r"state must be a jaxgan\.TrainState"):
        gan.update(None, batch)


def test_jaxgan_runs_without_jaxtyping():
    command = [*PYTHON, "-c", WITHOUT_JAXTYPING]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("3", "")
