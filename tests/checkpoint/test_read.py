"""Tests `restore`, `info`, `verify` and `latest`, and errors that name the difference."""

import functools
import re

import jax
import jax.numpy as jnp
import optax
import pytest
from conftest import SHAPE, assert_trees_equal, make_gan

import jaxgan
from jaxgan import Pair, checkpoint, population, train_state
from jaxgan.checkpoint import _compare as compare
from jaxgan.checkpoint import _manifest as manifest
from jaxgan.checkpoint import _save as save
from jaxgan.checkpoint import _storage as storage


def at(state, step):
    return state.replace(step=jnp.int32(step))


def test_info_returns_metadata_and_versions(tmp_path, state):
    metadata = {"seed": 3, "loss": (0.5, None), 10: "ten", 2: "two"}
    checkpoint.save(tmp_path, state, metadata=metadata).result()
    info = checkpoint.info(tmp_path)
    assert info.metadata == {"seed": 3, "loss": [0.5, None], "10": "ten", "2": "two"}
    assert info.step == 0
    assert info.saved_by["versions"]["jax"] == jax.__version__
    assert info.leaves[".params.generator['Dense_0']['kernel']"] == "float32[3, 8]"


def test_missing_checkpoints_are_reported(tmp_path, state):
    assert checkpoint.latest(tmp_path / "nowhere") is None
    assert checkpoint.steps(tmp_path) == []
    with pytest.raises(FileNotFoundError, match=r"has no checkpoints\. Check the path"):
        checkpoint.restore(tmp_path, like=state)
    checkpoint.save(tmp_path, state).result()
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint of step 3\. Choose one of the steps \[0\]\."
    ):
        checkpoint.restore(tmp_path, like=state, step=3)


def test_folder_near_the_checkpoints_is_named(tmp_path, state):
    folder = tmp_path / "checkpoints"
    checkpoint.save(folder, state).result()
    for near in (tmp_path, folder / "0"):
        message = re.escape(f"{near} has no checkpoints. Pass {folder}.")
        with pytest.raises(FileNotFoundError, match=message):
            checkpoint.restore(near, like=state)


def test_single_network_is_restored(tmp_path, gan, state, batch):
    checkpoint.save(tmp_path, state).result()
    like = jax.eval_shape(gan.init, jax.random.key(0), batch)
    restore = functools.partial(checkpoint.restore, tmp_path)
    player = restore(like.params.discriminator, at=".params.discriminator")
    assert_trees_equal(player, state.params.discriminator)
    assert_trees_equal(restore(like.params, at=".params"), state.params)
    assert_trees_equal(restore(like.key, at=".key"), state.key)
    with pytest.raises(ValueError, match=r"got '\.param'\. Choose \.key, .*\.params, \.step"):
        restore(like.params, at=".param")
    with pytest.raises(ValueError, match=r"Choose \.params\.discriminator, \.params\.generator\."):
        restore(like.params, at=".params.player")
    with pytest.raises(
        ValueError, match=r"\['Dense_2'\]\['bias'\]: saved float32\[16\], wanted float"
    ):
        restore(like.params.discriminator, at=".params.generator")


def test_single_member_of_a_population_is_restored(tmp_path, gan, batch):
    keys = jnp.stack([jax.random.key(seed) for seed in range(3)])
    states = jax.vmap(gan.init, in_axes=(0, None))(keys, batch)
    checkpoint.save(tmp_path, states).result()
    like = jax.eval_shape(gan.init, jax.random.key(0), batch)
    restore = functools.partial(checkpoint.restore, tmp_path)
    assert_trees_equal(restore(like, member=2), population.pick(states, 2))
    generator = restore(like.params.generator, at=".params.generator", member=1)
    assert_trees_equal(generator, population.pick(states.params.generator, 1))
    with pytest.raises(IndexError, match=r"member must be below 3, the number of .*; got 3"):
        restore(like, member=3)


def test_member_of_a_single_gan_is_rejected(tmp_path, state):
    checkpoint.save(tmp_path, state).result()
    with pytest.raises(ValueError, match=r"member must be None: .* holds one GAN; got 0"):
        checkpoint.restore(tmp_path, like=state, member=0)


def test_parts_without_arrays_or_with_empty_arrays_are_restored(tmp_path, state):
    state = state.replace(model_state=Pair({"none": jnp.zeros((0, 3))}, {}))
    checkpoint.save(tmp_path, state).result()
    for path, part in {
        ".model_state.generator": state.model_state.generator,
        ".model_state.discriminator": {},
    }.items():
        assert_trees_equal(checkpoint.restore(tmp_path, like=part, at=path), part)
    with pytest.raises(TypeError, match=r"at must be text; got 3\. '\.params"):
        checkpoint.restore(tmp_path, like=state, at=3)


def test_restored_leaves_are_committed_only_if_like_is(tmp_path, state):
    """Uncommitted arrays can be combined with arrays on several devices."""
    checkpoint.save(tmp_path, state).result()
    assert not checkpoint.restore(tmp_path, like=state).step.committed
    committed = jax.device_put(state, jax.devices()[0])
    assert checkpoint.restore(tmp_path, like=committed).step.committed


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
def test_mismatch_error_names_the_leaves(tmp_path, state, batch, changes, leaf):
    checkpoint.save(tmp_path, state).result()
    other = make_gan(**changes).init(jax.random.key(0), batch)
    with pytest.raises(ValueError, match=leaf):
        checkpoint.restore(tmp_path, like=other)


def test_mismatched_prng_is_named(tmp_path, gan, state, batch):
    checkpoint.save(tmp_path, state).result()
    other = gan.init(jax.random.key(0, impl="rbg"), batch)
    with pytest.raises(ValueError, match=r"\.key: saved key<fry>\[\], wanted key<rbg>\[\]"):
        checkpoint.restore(tmp_path, like=other)


def test_damage_is_reported_when_the_older_checkpoint_mismatches(tmp_path, state, batch):
    checkpoint.save(tmp_path, state).result()
    checkpoint.save(tmp_path, at(state, 1)).result()
    (tmp_path / "1" / "seal.json").unlink()
    other = make_gan(ema_half_life=10.0).init(jax.random.key(0), batch)
    with (
        pytest.warns(UserWarning, match=r"step 1: seal\.json is missing"),
        pytest.raises(ValueError, match=r"\.ema_params"),
    ):
        checkpoint.restore(tmp_path, like=other)


def test_checkpoint_of_another_program_is_rejected(tmp_path, state):
    from orbax.checkpoint import v1 as ocp

    ocp.save(tmp_path / "3", {"x": jnp.ones(2)})
    with pytest.raises(checkpoint.DamagedCheckpointError, match=r"step 3: seal.json is missing"):
        checkpoint.restore(tmp_path, like=state)


def test_different_versions_give_a_warning(tmp_path, state, monkeypatch):
    checkpoint.save(tmp_path, state).result()
    now = jaxgan.environment()
    now = {**now, "versions": {**now["versions"], "jax": "9.9"}}
    monkeypatch.setattr(compare, "environment", lambda: now)
    message = rf"another environment \(jax {re.escape(jax.__version__)} then, 9\.9 now\)"
    with pytest.warns(UserWarning, match=message):
        assert_trees_equal(checkpoint.restore(tmp_path, like=state), state)


def test_settings_that_change_bits_give_a_warning(tmp_path, state, monkeypatch):
    for name in ("NPROC", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    checkpoint.save(tmp_path, state).result()
    cpus = jaxgan.environment()["cpus"]
    monkeypatch.setenv("NPROC", str(cpus))
    checkpoint.restore(tmp_path, like=state)  # as many threads as before
    monkeypatch.setenv("NPROC", "77")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true --xla_dump_to=x")
    message = (
        rf"CPU threads {cpus} then, 77 now; XLA_FLAGS unset then, --xla_cpu_enable_fast_math=true "
        rf"now.*\. Set the environment variable NPROC={cpus} to use as many threads\."
    )
    with pytest.warns(UserWarning, match=message):
        checkpoint.restore(tmp_path, like=state)


def test_checkpoint_without_settings_gives_no_warning(tmp_path, state, monkeypatch):
    """Earlier versions of jaxgan saved no settings."""
    old = {k: x for k, x in jaxgan.environment().items() if k != "settings"}
    with monkeypatch.context() as earlier:
        earlier.setattr(save, "environment", lambda: old)
        checkpoint.save(tmp_path, state).result()
    checkpoint.restore(tmp_path, like=state)


def test_reader_of_replaced_checkpoints_finds_the_newest(tmp_path, state, monkeypatch):
    """While a restore reads step 1, another process saves step 2 and deletes step 1."""
    checkpoint.save(tmp_path, at(state, 1)).result()
    load = storage.load

    def load_late(place, specs):
        if place.name == "1" and checkpoint.steps(tmp_path) == [1]:
            checkpoint.save(tmp_path, at(state, 2), keep=1).result()
        return load(place, specs)

    monkeypatch.setattr(storage, "load", load_late)
    assert int(checkpoint.restore(tmp_path, like=state).step) == 2


def test_latest_of_replaced_checkpoints_is_the_newest(tmp_path, state, monkeypatch):
    checkpoint.save(tmp_path, at(state, 1)).result()
    verify = storage.verify

    def verify_late(place):
        if place.name == "1" and checkpoint.steps(tmp_path) == [1]:
            checkpoint.save(tmp_path, at(state, 2), keep=1).result()
        return verify(place)

    monkeypatch.setattr(storage, "verify", verify_late)
    assert checkpoint.latest(tmp_path) == 2


def test_renamed_checkpoint_is_rejected(tmp_path, state):
    for step in (3, 10):
        checkpoint.save(tmp_path, at(state, step)).result()
    (tmp_path / "10").rename(tmp_path / "99")
    (tmp_path / "20261125131143").mkdir()  # not a step
    assert checkpoint.verify(tmp_path, 99) == "the folder contains step 10: rename it to 10"
    assert checkpoint.latest(tmp_path) == 3
    with pytest.warns(UserWarning, match="step 99: the folder contains step 10: rename"):
        assert int(checkpoint.restore(tmp_path, like=state).step) == 3


def test_files_of_others_are_not_read(tmp_path, state, monkeypatch):
    checkpoint.save(tmp_path, state).result()
    with (tmp_path / "0" / "arrays" / "huge").open("wb") as file:
        file.truncate(20 * 2**30)  # a sparse file
    digested = []
    digest = manifest._digest_file
    note = lambda path, sync: digested.append(path.name) or digest(path, sync)
    monkeypatch.setattr(manifest, "_digest_file", note)
    assert checkpoint.verify(tmp_path, 0) is None
    assert digested
    assert "huge" not in digested


def test_future_format_is_rejected(tmp_path, state, monkeypatch):
    with monkeypatch.context() as future:
        future.setattr(manifest, "FORMAT", 7)
        checkpoint.save(tmp_path, state).result()
    with pytest.raises(ValueError, match=r"must be of format 1; got format 7\. Install jaxgan"):
        checkpoint.restore(tmp_path, like=state)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda d, s: checkpoint.restore(d, s, step="1"),
            TypeError,
            "step must be an integer.*'1'",
        ),
        (
            lambda d, s: checkpoint.restore(d, s, step=-1),
            ValueError,
            "step must be at least 0; got",
        ),
        (lambda d, s: checkpoint.restore(d, s, member=0.0), TypeError, "member must be an integer"),
        (lambda d, s: checkpoint.restore(d, s, step=2**70), ValueError, "step must be at most"),
        (lambda d, s: checkpoint.verify(d, 4), FileNotFoundError, "has no checkpoints"),
        (lambda d, s: checkpoint.verify(d, False), TypeError, "step must be an integer"),
        (lambda d, s: checkpoint.steps(None), TypeError, "directory must be the path"),
    ],
)
def test_invalid_arguments_are_rejected(tmp_path, state, call, error, message):
    with pytest.raises(error, match=message):
        call(tmp_path, state)
    assert checkpoint.steps(tmp_path) == []


def injected(rate, *, members=None, gamma=0.1):
    """Returns a state that stores hyper-parameters, for one GAN or for a population."""
    adam = optax.chain(optax.clip(1.0), optax.inject_hyperparams(optax.adam)(rate, b1=0.5))
    schedule = optax.linear_schedule(rate, 0.0, 5)
    scheduled = optax.inject_hyperparams(optax.sgd)(schedule, momentum=rate)
    penalty = jaxgan.penalties.inject(jaxgan.penalties.r1)(gamma=gamma).init()
    model_state = Pair({}, {"terms": {"penalty": penalty}})
    params = Pair(jnp.ones(2), jnp.ones(3))
    one = train_state.create(jax.random.key(0), params, Pair(adam, scheduled), model_state)
    return one if members is None else population.stack([one] * members)


def test_changed_hyperparameters_give_a_warning(tmp_path):
    saved, like = injected(0.01), injected(0.5)
    checkpoint.save(tmp_path, saved).result()
    with pytest.warns(UserWarning, match="different hyper-parameters") as warned:
        assert_trees_equal(checkpoint.restore(tmp_path, like=like), saved)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert str(warned[0].message).splitlines()[1:] == [
        "  .opt_state.generator[1].hyperparams['learning_rate']: saved 0.01, in like 0.5",
        "  .opt_state.discriminator.hyperparams['momentum']: saved 0.01, in like 0.5",
    ]
    part = injected(0.01, gamma=0.2).model_state.discriminator["terms"]
    path = ".model_state.discriminator['terms']"
    with pytest.warns(UserWarning, match=r"'gamma'\]: saved 0\.1, in like 0\.2$"):
        checkpoint.restore(tmp_path, part, at=path)


def test_changed_hyperparameters_of_members_give_a_warning(tmp_path):
    rates = jnp.float32([0.01, 0.02, 0.03])
    like = injected(0.01, members=3)
    saved = population.with_hyperparameters(like, generator={"learning_rate": rates})
    checkpoint.save(tmp_path, saved).result()
    with pytest.warns(UserWarning, match=r"saved \[0\.01 0\.02 0\.03\], in like \[0\.01 0\.01 0\."):
        assert_trees_equal(checkpoint.restore(tmp_path, like=like), saved)
    one = injected(0.02)
    with pytest.warns(UserWarning, match=r"'momentum'\]: saved 0\.01, in like 0\.02$") as warned:
        checkpoint.restore(tmp_path, like=one, member=1)
    assert "learning_rate" not in str(warned[0].message)


def test_unchanged_abstract_and_donated_hyperparameters_give_no_warning(tmp_path):
    saved, other = injected(0.01), injected(0.5)
    checkpoint.save(tmp_path, saved).result()
    checkpoint.restore(tmp_path, like=saved)
    checkpoint.restore(tmp_path, like=jax.eval_shape(lambda: other))
    checkpoint.restore(tmp_path, like=other.params, at=".params")
    jax.tree.map(lambda leaf: leaf.delete(), other)
    checkpoint.restore(tmp_path, like=other)


def test_hyperparameters_within_others_are_compared(tmp_path):
    inner = lambda rate: optax.inject_hyperparams(
        lambda scale: optax.chain(optax.scale(scale), optax.inject_hyperparams(optax.sgd)(rate))
    )(1.0)
    create = lambda rate: train_state.create(
        jax.random.key(0), Pair(jnp.ones(2), jnp.ones(2)), Pair(inner(rate), optax.sgd(1.0))
    )
    checkpoint.save(tmp_path, create(0.1)).result()
    name = r"\.opt_state\.generator\.inner_state\[1\]\.hyperparams\['learning_rate'\]: saved 0\.1"
    with pytest.warns(UserWarning, match=name):
        checkpoint.restore(tmp_path, like=create(0.2))


def test_optimizer_can_be_replaced(tmp_path):
    """All other parts are restored bit for bit."""
    key, params = jax.random.key(7), Pair({"w": jnp.ones(2)}, {"w": jnp.arange(3.0)})
    parts = {"ema": True, "dynamics_state": {"mean": jnp.zeros(2)}}
    old = Pair(optax.adam(0.1), optax.adam(0.1))
    saved = train_state.create(key, params, old, Pair({"mean": jnp.ones(2)}, {}), **parts)
    checkpoint.save(tmp_path, at(saved, 9)).result()
    # The state of schedule_free contains a copy of the parameters.
    new = Pair(optax.sgd(0.1), optax.contrib.schedule_free_sgd(0.1))
    like = train_state.create(
        jax.random.key(0), jax.tree.map(jnp.zeros_like, params), new, saved.model_state, **parts
    )
    with pytest.raises(ValueError, match="To start with a new optimizer, pass it as optimizer"):
        checkpoint.restore(tmp_path, like)
    for form in (like, jax.eval_shape(lambda: like)):
        found = checkpoint.restore(tmp_path, form, optimizer=new)
        assert_trees_equal(found.replace(opt_state=()), at(saved, 9).replace(opt_state=()))
        assert_trees_equal(found.opt_state.generator, new.generator.init(params.generator))
        expected = new.discriminator.init(params.discriminator)
        assert_trees_equal(found.opt_state.discriminator, expected)
    jax.jit(lambda state: state, donate_argnums=0)(found)


def test_optimizer_of_members_can_be_replaced(tmp_path):
    states, sgd = injected(0.01, members=3), optax.sgd(0.1, momentum=0.9)
    checkpoint.save(tmp_path, states).result()
    found = checkpoint.restore(tmp_path, states, optimizer=Pair(sgd, sgd))
    assert_trees_equal(found.opt_state, jax.vmap(lambda p: Pair(*map(sgd.init, p)))(states.params))
    one = checkpoint.restore(tmp_path, injected(0.01), optimizer=Pair(sgd, sgd), member=2)
    assert_trees_equal(one, population.pick(found, 2))


def test_invalid_uses_of_a_new_optimizer_are_rejected(tmp_path, state):
    sgd = optax.sgd(0.1)
    restore = functools.partial(checkpoint.restore, tmp_path)
    with pytest.raises(TypeError, match=r"optimizer must be a jaxgan\.Pair of optax"):
        restore(state, optimizer=sgd)
    with pytest.raises(TypeError, match=r"like must be a jaxgan\.TrainState with optimizer; got"):
        restore({"a": state}, optimizer=Pair(sgd, sgd))
    with pytest.raises(ValueError, match=r"at must be omitted with optimizer; got '\.params'"):
        restore(state, at=".params", optimizer=Pair(sgd, sgd))


def test_state_of_another_optimizer_with_equal_arrays_is_rejected(tmp_path):
    """The state of AdaBelief has the arrays of Adam's."""
    key, params = jax.random.key(0), Pair({"w": jnp.ones(2)}, {"w": jnp.arange(3.0)})
    adam, belief = optax.adam(0.1), optax.adabelief(0.1)
    saved = train_state.create(key, params, Pair(adam, adam))
    checkpoint.save(tmp_path, saved).result()
    like = train_state.create(key, params, Pair(adam, belief))
    message = r"like.opt_state.discriminator must be \(ScaleByAdamState, .*; got \(ScaleByBelief"
    with pytest.raises(ValueError, match=message):
        checkpoint.restore(tmp_path, like)
    checkpoint.restore(tmp_path, like, optimizer=Pair(adam, belief))
