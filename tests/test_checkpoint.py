"""What is saved is what comes back, to the bit, or there is a clear error."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest
from conftest import BATCH, SHAPE, assert_trees_equal, make_gan

import jaxgan
from jaxgan import Pair, checkpoint, population, training


def trainer(gan, images):
    """Trains a state, which it donates, for some epochs; all that it trains share a program."""
    run = jax.jit(functools.partial(training.epochs, gan, batch_size=BATCH), donate_argnums=0)

    def train(state, epochs=1):
        for _ in range(epochs):
            state, _ = run(state, images)
        return state

    return train


@pytest.mark.parametrize("stop_after", [1, 2])
def test_resume_equals_uninterrupted(tmp_path, batch, uint8_images, stop_after):
    gan = make_gan(ema_half_life=50.0)
    train = trainer(gan, jnp.asarray(uint8_images))
    begin = lambda: gan.init(jax.random.key(5), batch)
    uninterrupted = train(begin(), 3)
    stopped = train(begin(), stop_after)
    checkpoint.save(tmp_path, stopped).result()
    resumed = checkpoint.restore(tmp_path, like=jax.eval_shape(begin))
    assert_trees_equal(train(resumed, 3 - stop_after), uninterrupted)


def test_a_state_may_be_donated_while_it_is_saved(tmp_path, gan, state, uint8_images):
    train = trainer(gan, jnp.asarray(uint8_images))
    copies = []
    for _ in range(5):
        state = train(state)
        copies.append(jax.tree.map(jnp.copy, state))
        saving = checkpoint.save(tmp_path, state, keep=5)
        state = train(state)  # donates what is being saved
        saving.result()
    for copy in copies:
        assert_trees_equal(checkpoint.restore(tmp_path, like=state, step=int(copy.step)), copy)


def test_every_kind_of_leaf_comes_back(tmp_path, batch):
    optimizer = optax.chain(optax.clip(1.0), optax.adam(optax.linear_schedule(1e-3, 0.0, 10)))
    gan = make_gan(ema_half_life=10.0, optimizer=Pair(optimizer, optax.adamw(1e-3)))
    state, _ = jax.jit(gan.update)(gan.init(jax.random.key(0), batch), batch)
    bfloat16 = jax.tree.map(lambda x: x.astype(jnp.bfloat16), state.ema_params)
    state = state.replace(ema_params=bfloat16, model_state=Pair({"n": jnp.int8(3)}, {}))
    checkpoint.save(tmp_path, state).result()
    assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)


def test_the_newest_few_are_kept(tmp_path, state):
    for step in range(5):
        checkpoint.save(tmp_path, state.replace(step=jnp.int32(step)), keep=2).result()
    assert checkpoint.steps(tmp_path) == [3, 4]
    assert checkpoint.latest(tmp_path) == 4
    assert int(checkpoint.restore(tmp_path, like=state, step=3).step) == 3


def test_metadata_comes_back(tmp_path, state):
    checkpoint.save(tmp_path, state, metadata={"seed": 3, "loss": [0.5, None]}).result()
    assert checkpoint.metadata(tmp_path) == {"seed": 3, "loss": [0.5, None]}


def test_relative_paths(tmp_path, monkeypatch, state):
    monkeypatch.chdir(tmp_path)
    checkpoint.save("here", state).result()
    assert checkpoint.latest(tmp_path / "here") == 0
    assert_trees_equal(checkpoint.restore("here", like=state), state)


def test_an_unfinished_save_is_not_the_latest(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    (tmp_path / "7.orbax-checkpoint-tmp").mkdir()
    assert checkpoint.latest(tmp_path) == 0


def test_nothing_there(tmp_path, state):
    assert checkpoint.latest(tmp_path / "nowhere") is None
    assert checkpoint.steps(tmp_path) == []
    with pytest.raises(FileNotFoundError, match="has no checkpoint; it has steps"):
        checkpoint.restore(tmp_path, like=state)
    checkpoint.save(tmp_path, state).result()
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 3; it has steps \[0\]"):
        checkpoint.restore(tmp_path, like=state, step=3)


def test_no_step_is_saved_twice_and_some_must_be_kept(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    with pytest.raises(ValueError, match="has a checkpoint of step 0 already"):
        checkpoint.save(tmp_path, state)
    with pytest.raises(ValueError, match="keep must be at least 1"):
        checkpoint.save(tmp_path, state, keep=0)


@pytest.mark.parametrize(
    ("changes", "leaf"),
    [
        (
            {"generator": jaxgan.networks.MLPGenerator(SHAPE, features=(8, 9))},
            r"\.params\.generator\['Dense_1'\]\['kernel'\]: "
            r"saved float32\[8, 8\], wanted float32\[8, 9\]",
        ),
        (
            {"generator": jaxgan.networks.MLPGenerator(SHAPE, features=(8,))},
            r"\['Dense_2'\]\['kernel'\]: saved float32\[8, 16\], wanted nothing",
        ),
        (
            {"optimizer": Pair(optax.sgd(0.1), optax.adam(0.1))},
            r"\.opt_state\.generator.*wanted nothing",
        ),
        ({"ema_half_life": 10.0}, r"\.ema_params.*saved nothing, wanted float32"),
    ],
)
def test_a_state_that_does_not_fit_names_the_leaves(tmp_path, state, batch, changes, leaf):
    checkpoint.save(tmp_path, state).result()
    other = make_gan(**changes).init(jax.random.key(0), batch)
    with pytest.raises(ValueError, match=leaf):
        checkpoint.restore(tmp_path, like=other)


def test_another_prng_is_named(tmp_path, gan, state, batch):
    checkpoint.save(tmp_path, state).result()
    other = gan.init(jax.random.key(0, impl="rbg"), batch)
    with pytest.raises(ValueError, match=r"\.key: saved key<fry>\[\], wanted key<rbg>\[\]"):
        checkpoint.restore(tmp_path, like=other)


def test_a_home_folder_is_found_again(tmp_path, monkeypatch, state):
    monkeypatch.setenv("HOME", str(tmp_path))
    checkpoint.save("~/run", state).result()
    assert checkpoint.steps("~/run") == checkpoint.steps(tmp_path / "run") == [0]
    assert_trees_equal(checkpoint.restore("~/run", like=state), state)
    with pytest.raises(ValueError, match="step 0 already"):
        checkpoint.save("~/run", state)


def test_what_cannot_be_saved(tmp_path, state):
    with pytest.raises(TypeError, match="not JSON serializable"):
        checkpoint.save(tmp_path, state, metadata={"path": tmp_path})
    uneven = population.stack([state, state.replace(step=state.step + 3)])
    with pytest.raises(ValueError, match=r"this population is at \[0, 3\]: save its members"):
        checkpoint.save(tmp_path, uneven)
    assert checkpoint.steps(tmp_path) == []


def test_what_another_program_saved_is_not_restored(tmp_path, state):
    from orbax.checkpoint import v1 as ocp

    ocp.training.Checkpointer(tmp_path).save(3, {"x": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"step 3, was not saved by jaxgan"):
        checkpoint.restore(tmp_path, like=state)
