"""Compares the members of a population with single runs."""

import functools
import json
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import AS_USERS, BATCH, PYTHON, QUICKLY, SHAPE, assert_trees_equal, make_gan

from jaxgan import Pair, checkpoint, penalties, population, terms, training

MEMBERS, SEEDS = 3, jnp.arange(3)
ADAM = optax.inject_hyperparams(optax.adam)(1e-2, b1=0.5)
# vmap multiplies matrices with another kernel, which adds in another order. In float32 the last
# bits differ, and training amplifies the difference: to at most 1e-4 after eight updates.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def gan():
    return make_gan(optimizer=Pair(ADAM, ADAM), penalty=penalties.inject(penalties.r1)(gamma=0.1))


@pytest.fixture(scope="module")
def run(gan):
    return functools.partial(training.epochs, gan, num_epochs=2, batch_size=BATCH)


@pytest.fixture(scope="module")
def train(run):
    return jax.jit(jax.vmap(run, in_axes=(0, None)))


@pytest.fixture(scope="module")
def single(run):
    return jax.jit(run)


@pytest.fixture(scope="module")
def states(gan):
    keys = jax.vmap(jax.random.key)(SEEDS)
    return jax.jit(jax.vmap(gan.init, in_axes=(0, None)))(keys, jnp.zeros((1, *SHAPE)))


def assert_close(a, b):
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    for x, y in leaves:
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(x, y, **CLOSE)


def without_accuracies(metrics):
    """Drops the accuracies, which change by 1/5 if rounding changes the sign of a logit."""
    return {name: value for name, value in metrics.items() if not name.endswith("accuracy")}


def test_member_matches_the_run_with_its_seed(gan, batch, states, train, single, uint8_images):
    images = jnp.asarray(uint8_images)
    trained, metrics = train(states, images)
    assert {x.shape for x in metrics.values()} == {(MEMBERS, 2, 4)}
    for seed in range(MEMBERS):
        alone, alone_metrics = single(gan.init(jax.random.key(seed), batch), images)
        assert_close(population.pick(trained, seed), alone)
        found = without_accuracies(population.pick(metrics, seed))
        assert_close(found, without_accuracies(alone_metrics))


def test_each_member_is_bit_identical_to_its_single_run_on_a_cpu(states, run, uint8_images):
    images = jnp.asarray(uint8_images)
    mapped, _ = jax.jit(population.each(run), compiler_options=AS_USERS)(states, images)
    single = jax.jit(run, compiler_options=AS_USERS)
    for i in range(MEMBERS):
        alone, _ = single(population.pick(states, i), images)
        assert_trees_equal(population.pick(mapped, i), alone)


@pytest.mark.parametrize(
    ("backend", "device", "in_turn"),
    [
        ("cpu", None, True),
        ("cuda", None, False),
        ("cuda", "cpu", True),
        ("cuda", jax.devices("cpu")[0], True),
    ],
)
def test_each_maps_in_turn_on_a_cpu_and_at_once_elsewhere(monkeypatch, backend, device, in_turn):
    x, y = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    mapped = population.each(lambda member, data, more: {"product": member @ data, "more": more})
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    with jax.default_device(device):
        assert ("scan" in str(jax.make_jaxpr(mapped)(x, y[0], 2.0))) == in_turn
        result = mapped(x, y[0], 2.0)
    np.testing.assert_allclose(result["product"], x @ y[0], rtol=1e-5, atol=1e-5)
    assert result["more"].tolist() == [2.0] * 3


def test_member_matches_the_run_with_its_hyperparameters(batch, states, train, uint8_images):
    rates, decays, gammas = [1e-2, 1e-3, 1e-4], [0.0, 0.5, 0.9], [0.0, 1.0, 10.0]
    states = population.with_hyperparameters(
        states,
        generator={"learning_rate": rates, "b1": decays},
        discriminator={"learning_rate": 3e-3},
        terms={"gamma": gammas},
    )
    trained, metrics = train(states, jnp.asarray(uint8_images))
    assert not np.allclose(metrics["penalty"][0], metrics["penalty"][1])
    for i in range(MEMBERS):
        plain = make_gan(  # constant hyper-parameters
            optimizer=Pair(optax.adam(rates[i], b1=decays[i]), optax.adam(3e-3, b1=0.5)),
            penalty=penalties.r1(gammas[i]),
        )
        start = plain.init(jax.random.key(i), batch)
        steps = jax.jit(functools.partial(training.steps, plain, num_steps=8, batch_size=BATCH))
        alone, _ = steps(start, jnp.asarray(uint8_images))
        assert_close(population.pick(trained.params, i), alone.params)


def test_diverged_member_does_not_change_the_others(states, train, uint8_images):
    healthy, _ = train(states, jnp.asarray(uint8_images))
    diverging = population.with_hyperparameters(
        states, discriminator={"learning_rate": [1e-2, 3e38, 1e-2]}
    )
    trained, metrics = train(diverging, jnp.asarray(uint8_images))
    skipped = np.asarray(metrics["discriminator_skipped"].sum(axis=(1, 2)))
    assert skipped[1] > 0
    assert skipped[0] == skipped[2] == 0
    for i in (0, 2):
        params = population.pick((healthy.params, healthy.model_state), i)
        assert_trees_equal(population.pick((trained.params, trained.model_state), i), params)


def test_picked_member_is_saved_and_resumed(states, train, single, uint8_images, tmp_path):
    images = jnp.asarray(uint8_images)
    whole, _ = train(states, images)
    checkpoint.save(tmp_path / "all", whole).result()
    checkpoint.save(tmp_path / "one", population.pick(whole, 1)).result()
    like = jax.eval_shape(lambda: population.pick(whole, 1))
    restored = checkpoint.restore(tmp_path / "one", like=like)
    assert_trees_equal(restored, population.pick(whole, 1))
    restored_all = checkpoint.restore(tmp_path / "all", like=whole)
    assert_trees_equal(restored_all, whole)
    together, _ = train(restored_all, images)
    assert_close(population.pick(together, 1), single(restored, images)[0])


def test_stack_inverts_pick(states):
    members = [population.pick(states, i) for i in range(MEMBERS)]
    assert_trees_equal(population.stack(members), states)
    assert_trees_equal(population.pick(states, [2, 0]), population.stack(members[::-2]))
    with pytest.raises(ValueError, match=r"must be a list of at least one pytree; got \[\]"):
        population.stack([])


@pytest.mark.parametrize("members", [3, -4, [0, 3]])
def test_out_of_range_members_are_rejected(states, members):
    with pytest.raises(IndexError, match=r"members must be in \[-3, 3\); got"):
        population.pick(states, members)


def test_single_state_is_rejected(state):
    with pytest.raises(ValueError, match="one leading axis of members"):
        population.pick(state, 0)


class TestHyperparameters:
    def test_hyperparameters_are_set_and_read_back(self, states):
        changed = population.with_hyperparameters(states, generator={"b2": [0.9, 0.99, 0.999]})
        found = population.hyperparameters(changed)
        np.testing.assert_allclose(found["generator"]["b2"], [0.9, 0.99, 0.999])
        np.testing.assert_allclose(found["discriminator"]["b2"], [0.999] * MEMBERS)
        np.testing.assert_allclose(found["terms"]["gamma"], [0.1] * MEMBERS)

    def test_state_without_injected_hyperparameters_has_none(self, batch):
        state = make_gan().init(jax.random.key(0), batch)
        assert population.hyperparameters(state) == {}
        with pytest.raises(
            KeyError,
            match=r"hyper-parameter must be one of \[\]; got 'learning_rate'. Use .*inject",
        ):
            population.with_hyperparameters(state, generator={"learning_rate": 1.0})

    def test_unknown_names_are_rejected(self, states):
        with pytest.raises(KeyError, match=r"must be one of \['b1'.*; got 'lr'"):
            population.with_hyperparameters(states, discriminator={"lr": 1.0})

    def test_wrong_shapes_are_rejected(self, states):
        with pytest.raises(
            ValueError, match=r"'gamma' must be a number or of shape \(3,\); got shape \(2,"
        ):
            population.with_hyperparameters(states, terms={"gamma": [1.0, 2.0]})

    def test_schedules_are_rejected(self, batch):
        scheduled = optax.inject_hyperparams(optax.adam)(optax.linear_schedule(1e-3, 0.0, 10))
        state = make_gan(optimizer=Pair(scheduled, ADAM)).init(jax.random.key(0), batch)
        with pytest.raises(ValueError, match=r"'learning_rate' must be a number; got a schedule"):
            population.with_hyperparameters(state, generator={"learning_rate": 1e-3})

    def test_names_shared_by_two_parts_are_rejected(self, batch):
        both = penalties.add(
            penalties.inject(penalties.r1)(gamma=1.0), penalties.inject(penalties.r2)(gamma=1.0)
        )
        state = make_gan(penalty=both).init(jax.random.key(0), batch)
        with pytest.raises(ValueError, match=r"'gamma' must be in one part of .*; got 2 parts"):
            population.with_hyperparameters(state, terms={"gamma": 2.0})

    def test_hyperparameters_of_both_networks_terms_are_set(self, batch):
        # A generator's term with a hyper-parameter: the weight of its mean fake logit.
        weighted = penalties.inject(
            lambda weight: terms.as_term(lambda view: weight * jnp.mean(view.fake_logits))
        )(weight=1.0)
        both = Pair({"drift": weighted}, {"r1": penalties.inject(penalties.r1)(gamma=1.0)})
        state = make_gan(terms=both).init(jax.random.key(0), batch)
        state = population.with_hyperparameters(state, terms={"weight": 3.0, "gamma": 2.0})
        found = population.hyperparameters(state)["terms"]
        assert {name: float(x) for name, x in found.items()} == {"weight": 3.0, "gamma": 2.0}
        stored = state.model_state.generator["terms"]["drift"].hyperparams
        assert float(stored["weight"]) == 3.0

    def test_injected_numbers_are_checked(self):
        with pytest.raises(ValueError, match="gamma must be at least 0; got -1"):
            penalties.inject(penalties.r1)(gamma=-1.0)


SHARDED = """
import functools, json, sys
sys.path.insert(0, sys.argv[1])
import jax, jax.numpy as jnp, numpy as np, optax
from conftest import BATCH, SHAPE, make_gan
from jaxgan import Pair, checkpoint, population, training

sgd = optax.sgd(0.1)  # Adam amplifies rounding
gan = make_gan(optimizer=Pair(sgd, sgd))
images = np.random.default_rng(0).integers(0, 256, (23, *SHAPE), dtype=np.uint8)
keys = jax.vmap(jax.random.key)(jnp.arange(8))
states = jax.jit(jax.vmap(gan.init, in_axes=(0, None)))(keys, jnp.zeros((1, *SHAPE)))
train = jax.vmap(functools.partial(training.epochs, gan, batch_size=BATCH), in_axes=(0, None))
lowered = jax.jit(population.shard(train), donate_argnums=0).lower(states, images)
compiled = lowered.compile()
alone, _ = jax.jit(train)(states, images)
spread, metrics = compiled(states, images)
difference = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), spread.params, alone.params)
try:
    population.shard(train)(population.pick(spread, [0, 1, 2]), images)
except ValueError as error:
    refused = str(error)
checkpoint.save(sys.argv[2], spread).result()
two = jax.sharding.NamedSharding(jax.make_mesh((2,), ("members",), devices=jax.devices()[:2]),
                                 jax.sharding.PartitionSpec("members"))
like = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=two)
on_two = checkpoint.restore(sys.argv[2], like=jax.tree.map(like, spread))
on_one = checkpoint.restore(sys.argv[2], like=jax.eval_shape(lambda: spread))
data = lambda x: np.asarray(jax.random.key_data(x) if x.dtype == spread.key.dtype else x)
same = lambda a, b: bool((data(a) == data(b)).all())
print(json.dumps({
    "restored_devices": [len(x.params.generator["Dense_0"]["bias"].sharding.device_set)
                         for x in (on_two, on_one)],
    "restored": all(jax.tree.leaves([jax.tree.map(same, spread, x) for x in (on_two, on_one)])),
    "devices": len(spread.step.sharding.device_set),
    "shards": [shard.data.shape for shard in metrics["generator_loss"].addressable_shards],
    "collectives": [name for name in ("all-reduce", "all-gather", "collective-permute",
                                      "all-to-all") if name in compiled.as_text()],
    "difference": max(jax.tree.leaves(difference)),
    "refused": refused,
}))
"""


@pytest.mark.slow
def test_sharded_population_is_restored_onto_fewer_devices(tmp_path):
    flags = QUICKLY["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [*PYTHON, "-c", SHARDED, str(Path(__file__).parent), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**QUICKLY, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["devices"] == 4
    assert found["restored_devices"] == [2, 1]
    assert found["restored"]
    assert found["shards"] == [[2, 1, 4]] * 4
    assert found["collectives"] == []
    assert found["difference"] < 1e-5
    assert found["refused"].startswith("The number of members must be a multiple of 4; got 3")
