"""Tests the thread that writes checkpoints: memory, order of saves, and reported errors."""

import gc
import os
import subprocess
import sys
import threading
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import PYTHON, make_gan

from jaxgan import checkpoint
from jaxgan.checkpoint import _storage as storage

PROGRAM = """
import sys, jax, optax, jaxgan
from jaxgan.train_state import create
params = jaxgan.Pair({"w": jax.numpy.ones(3)}, {"w": jax.numpy.ones(2)})
state = create(jax.random.key(0), params, jaxgan.Pair(optax.sgd(0.1), optax.sgd(0.1)))
jaxgan.checkpoint.save(sys.argv[1], state).result()
"""


def at(state, step):
    return state.replace(step=jnp.int32(step))


def test_save_keeps_no_device_array_alive(tmp_path, batch, monkeypatch):
    """A state that is deleted during its save frees its device memory."""
    began, release, save = threading.Event(), threading.Event(), storage.ocp.save

    def blocked(path, arrays):
        began.set()
        assert release.wait(60)
        save(path, arrays)

    monkeypatch.setattr(storage.ocp, "save", blocked)
    gan, key = make_gan(ema_half_life=10.0), jax.random.key(0)
    gan.init(key, batch)  # creates the constants that JAX keeps
    before = len(jax.live_arrays())
    state = gan.init(key, batch)
    kernel = np.array(state.params.generator["Dense_0"]["kernel"])
    leaves = [weakref.ref(leaf) for leaf in jax.tree.leaves(state) if leaf is not key]
    saving = checkpoint.save(tmp_path, state)
    assert began.wait(60)
    del state
    gc.collect()
    alive = [leaf() for leaf in leaves if leaf() is not None]
    after = len(jax.live_arrays())
    release.set()
    saving.result()
    assert not alive
    assert after <= before
    like = jax.eval_shape(gan.init, key, batch).params.generator
    restored = checkpoint.restore(tmp_path, like, at=".params.generator")
    np.testing.assert_array_equal(restored["Dense_0"]["kernel"], kernel)


def test_save_waits_for_the_previous_save(tmp_path, state):
    checkpoint.save(tmp_path, at(state, 10), keep=1)
    with pytest.raises(ValueError, match=r"intact .* of step 5 or later; got .* step 10"):
        checkpoint.save(tmp_path, at(state, 5), keep=1)
    assert checkpoint.steps(tmp_path) == [10]


def test_unhandled_failure_is_reported_by_the_next_save(tmp_path, state, monkeypatch):
    with monkeypatch.context() as disk:
        disk.setattr(storage.ocp, "save", lambda path, arrays: 1 / 0)
        checkpoint.save(tmp_path, state)
        with pytest.warns(UserWarning, match="NOT SAVED: Step 0 could not be saved"):
            checkpoint.save(tmp_path, at(state, 1)).exception()
    checkpoint.save(tmp_path, at(state, 2)).result()  # a handled error is not reported again


def test_exiting_program_waits_for_its_save(tmp_path):
    without_result = PROGRAM.replace(".result()", "")
    command = [*PYTHON, "-c", without_result, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "NOT SAVED" not in done.stderr
    assert "Traceback" not in done.stderr
    assert checkpoint.latest(tmp_path) == 0
    (tmp_path / "file").touch()
    done = subprocess.run([*command[:-1], str(tmp_path / "file")], capture_output=True, text=True)
    assert "NOT SAVED: Step 0 could not be saved in " in done.stderr


def test_second_process_is_rejected(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith(f"BlockingIOError: {tmp_path} is in use by process {os.getpid()} on ")
