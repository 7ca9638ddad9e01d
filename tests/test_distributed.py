"""Tests training on a mesh: equal to one device, and split over the devices.

`mesh_programs.py` runs the tests that need several devices.
"""

import functools
import json
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import mesh_programs
import numpy as np
import optax
import pytest
from conftest import (
    BATCH,
    PYTHON,
    QUICKLY,
    SHAPE,
    USERS,
    assert_trees_equal,
    make_gan,
)
from jax.sharding import AxisType, Mesh, PartitionSpec

import jaxgan
from jaxgan import Pair, augment, distributed, dynamics, population, streaming, training

SCRIPT = Path(__file__).parent / "mesh_programs.py"


@pytest.fixture
def mesh():
    """Returns a mesh of the only device of this process."""
    return distributed.mesh()


@pytest.fixture
def explicit():
    return Mesh(np.asarray(jax.devices()), ("data",), axis_types=(AxisType.Explicit,))


def run(*options, env=QUICKLY):
    """Runs `mesh_programs.py` on four devices."""
    flags = f"{env['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [*PYTHON, str(SCRIPT), *options],
        capture_output=True,
        text=True,
        env={**env, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_split(found):
    """Checks that devices compute a part of the batch, and exchange only inside of the loop."""
    assert found["outside_of_the_loop"] == []  # such as for the shuffle
    assert found["whole_batches"] == []


def check(name, found):
    assert found["steps"] == mesh_programs.NUM_STEPS
    assert found["skipped"] == 0
    # Float64 has a precision of 1e-16. The averages of terms are float32, with one of 6e-8.
    assert found["difference"] < (
        1e-7 if name in ("lecam", "everything", "patches", "condition") else 1e-9
    )
    assert found["replicated"]
    # Groups of minibatch_stddev have images of several devices, and `metrics` compare all images.
    if name not in ("minibatch_stddev", "everything"):
        assert found["collectives"] == ["all-reduce"]
        check_split(found)


class TestFourDevices:
    """Compares four devices with one, in float64."""

    def test_training_and_sampling_equal_those_of_one_device(self):
        found = run("packing_steps", "sample", "padding")
        check("packing_steps", found["packing_steps"])
        assert found["sample"] == {"difference": 0.0, "spec": "P('data',)"}
        assert found["padding"] == {"shards": [[38, 8, 8, 1]] * 4, "sum": 0, "equal": True}

    @pytest.mark.slow
    @pytest.mark.parametrize("name", mesh_programs.CONFIGURATIONS)
    def test_every_configuration_equals_that_of_one_device(self, name):
        check(name, run(name, env=USERS)[name])

    @pytest.mark.slow
    def test_split_images_give_the_same_training(self):
        found = run("split", env=USERS)["split"]
        assert found["difference"] < 1e-9
        assert found["collectives"] == ["all-reduce", "reduce-scatter"]
        assert not found["whole_datasets"]
        check_split(found)

    @pytest.mark.slow
    def test_population_of_data_parallel_runs_equals_single_devices(self):
        found = run("population", env=USERS)["population"]
        assert found["difference"] < 1e-9
        assert found["specs"] == ["P('members',)"]
        assert found["groups"] == ["[2,2]"]  # no exchange between members
        assert found["collectives"] == ["all-reduce"]
        check_split(found)


def test_mesh_of_one_device_changes_no_bit(gan, mesh, batch, uint8_images):
    key = jax.random.key(0)
    expected, placed = gan.init(key, batch), distributed.init(gan, mesh, key, batch)
    assert_trees_equal(expected, placed)
    train = functools.partial(training.steps, gan, num_steps=2, batch_size=BATCH)
    # The slow test below compiles as for users.
    expected = jax.jit(train)(expected, uint8_images)
    found = jax.jit(functools.partial(train, mesh=mesh))
    assert_trees_equal(expected, found(placed, distributed.place(mesh, uint8_images)))


@pytest.mark.slow
def test_mesh_of_one_device_changes_no_bit_of_any_configuration():
    names = list(mesh_programs.CONFIGURATIONS)
    assert run("float32", *names, env=USERS) == {name: {"equal": True} for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("num_devices", [1, 8])
@pytest.mark.parametrize(
    ("script", "options"),
    [("mnist.py", []), ("sweep.py", ["--seeds", "2", "--learning-rates", "1e-3", "3e-4"])],
)
def test_examples_run_and_continue_on_a_mesh(tmp_path, script, options, num_devices):
    """A run of eight devices, or of one, continues on the default device."""
    path = Path(jaxgan.__file__).parents[1] / "examples" / script
    flags = f"{USERS['XLA_FLAGS']} --xla_force_host_platform_device_count={num_devices}"
    options = ["--data-dir", "embedded", "--batch-size", "96", "--epochs", "1", *options]
    command = [*PYTHON, str(path), *options, "--workdir", str(tmp_path), "--mesh"]
    env = {**USERS, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    again = [*PYTHON, "-W", "default::UserWarning", *command[len(PYTHON) : -1], "--resume"]
    done = subprocess.run(again, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    changes_bits = num_devices > 1 and script == "mnist.py"  # a member has the same bits anywhere
    assert ("(devices of the state 8 then, 1 now)" in done.stderr) == changes_bits
    assert (tmp_path / "summary.json").exists()


def test_stream_places_chunks_on_the_mesh(gan, mesh, state, uint8_images):
    def train(state, chunk):
        images, labels = chunk
        assert images.sharding == labels.sharding == jax.NamedSharding(mesh, PartitionSpec())
        return state, {"sum": jnp.sum(images)}

    chunks = [(uint8_images, np.arange(23))] * 2
    results = list(streaming.stream(train, state, chunks, mesh=mesh))
    assert [int(metrics["sum"]) for _, metrics in results] == [uint8_images.sum(dtype=int)] * 2
    with pytest.raises(ValueError, match="device must be omitted with mesh; got"):
        streaming.stream(train, state, chunks, mesh=mesh, device=jax.devices()[0])


def test_placed_arrays_are_copies_and_can_be_donated(mesh):
    images, key = np.arange(6.0, dtype=np.float32), jax.random.key(3)
    placed = distributed.place(mesh, {"images": images, "key": key}, PartitionSpec())
    images[:] = 0
    np.testing.assert_array_equal(placed["images"], np.arange(6.0))
    assert jax.random.key_data(placed["key"]).tolist() == jax.random.key_data(key).tolist()
    jax.jit(lambda x: x + 1, donate_argnums=0)(placed["images"])
    assert placed["images"].is_deleted()


class TestRefused:
    def test_explicit_meshes_are_refused_everywhere(self, gan, explicit, state, uint8_images):
        calls = [
            lambda: distributed.place(explicit, uint8_images),
            lambda: distributed.split(explicit, uint8_images),
            lambda: distributed.init(gan, explicit, jax.random.key(0), np.zeros((1, *SHAPE))),
            lambda: training.steps(
                gan, state, uint8_images, num_steps=1, batch_size=BATCH, mesh=explicit
            ),
            lambda: training.epochs(gan, state, uint8_images, batch_size=BATCH, mesh=explicit),
            lambda: streaming.stream(lambda *args: args, state, [uint8_images], mesh=explicit),
            lambda: population.shard(lambda x: x, explicit),
        ]
        for call in calls:
            with pytest.raises(
                ValueError, match="mesh must be a mesh with Auto axes; got Explicit"
            ):
                call()

    def test_images_split_over_explicit_axes_are_refused(self, gan, explicit, state, uint8_images):
        sharding = jax.NamedSharding(explicit, PartitionSpec("data"))
        images = jax.device_put(jaxgan.images.normalize(uint8_images), sharding)
        message = "must be on a mesh with Auto axes; got an array on Explicit axes. Create the mesh"
        with pytest.raises(ValueError, match=f"^Images {message}"):
            jax.jit(gan.update)(state, images)
        data = jax.device_put(uint8_images, sharding)
        with pytest.raises(ValueError, match=f"^Training images {message}"):
            training.epochs(gan, state, data, batch_size=BATCH)

    def test_meshes_without_the_axis_are_refused(self, gan, state, uint8_images):
        other = Mesh(np.asarray(jax.devices()), ("batch",))
        with pytest.raises(ValueError, match=r"an axis 'data'; got the axes \('batch',\)\. Create"):
            training.epochs(gan, state, uint8_images, batch_size=BATCH, mesh=other)
        with pytest.raises(ValueError, match="an axis 'members'; got the axes"):
            population.shard(lambda x: x, distributed.mesh())
        with pytest.raises(TypeError, match=r"mesh must be a jax\.sharding\.Mesh; got 4"):
            training.epochs(gan, state, uint8_images, batch_size=BATCH, mesh=4)

    def test_other_meshes_than_that_of_the_population_are_refused(self, gan, mesh, uint8_images):
        train = functools.partial(training.epochs, gan, batch_size=BATCH, mesh=mesh)
        keys = jax.random.split(jax.random.key(0), 2)
        states = jax.eval_shape(jax.vmap(gan.init, in_axes=(0, None)), keys, np.zeros((1, *SHAPE)))
        expected = r"the mesh of population.shard, {'members': 1}; got {'data': 1}\. Pass the same"
        with pytest.raises(ValueError, match=f"^mesh must be {expected}"):
            jax.eval_shape(population.shard(population.each(train)), states, uint8_images)

    def test_processes_that_were_not_joined_are_refused(self, monkeypatch):
        monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
        expected = "must be JAX_NUM_PROCESSES, 2; got 1. Call jax.distributed.initialize first."
        for call in (distributed.mesh, lambda: population.shard(lambda x: x)):
            with pytest.raises(ValueError, match=f"^The number of processes {expected}"):
                call()

    @pytest.mark.parametrize(
        ("batch_size", "advice"), [(8, r"Use 6 or 12\."), (4, r"Use 6\."), (20, r"Use 18\.")]
    )
    def test_batches_that_do_not_fit_are_refused(self, state, uint8_images, batch_size, advice):
        gan = make_gan(dynamics=dynamics.alternating(2), augmentation=augment.pack(3))
        product = "1 devices times 2 discriminator steps times packing 3"
        expected = rf"a multiple of 6 \({product}\); got {batch_size}\. {advice}"
        with pytest.raises(ValueError, match=rf"^batch_size must be {expected}"):
            training.epochs(
                gan, state, uint8_images, batch_size=batch_size, mesh=distributed.mesh()
            )

    def test_padding_of_split_conditions_is_not_counted(self, gan, mesh, state, uint8_images):
        """On several devices, `split` pads images to a multiple of the number of devices."""
        split = distributed.SplitImages(jnp.asarray(uint8_images), len(uint8_images) - 1)
        train = functools.partial(training.steps, gan, state, num_steps=1, batch_size=2, mesh=mesh)
        message = rf"lengths \[{len(uint8_images) - 1}, {len(uint8_images)}\]"
        with pytest.raises(ValueError, match=message):
            train((uint8_images, split))
        with pytest.raises(TypeError, match="The generator must be a network of"):
            train((split, split))  # the network takes no conditions

    def test_split_images_need_a_mesh(self, gan, mesh, state, uint8_images):
        split = distributed.split(mesh, uint8_images)
        with pytest.raises(ValueError, match="mesh must be given for split images; got None"):
            training.epochs(gan, state, split, batch_size=BATCH)

    def test_wrong_arguments_are_refused(self, mesh):
        with pytest.raises(ValueError, match="divisor of the number of devices, 1; got 2"):
            distributed.mesh(members=2)
        with pytest.raises(ValueError, match="devices must be a list of at least one device"):
            distributed.mesh([])
        devices = jax.devices() * 2
        for call in (distributed.mesh, functools.partial(population.shard, jnp.sin)):
            with pytest.raises(ValueError, match="devices must be different devices; got"):
                call(devices)
        for spec in (PartitionSpec("rows"), PartitionSpec("data", "data")):
            with pytest.raises(ValueError, match=r"spec must be of .* \('data',\), each at"):
                distributed.place(mesh, np.zeros((3, 3)), spec)
        with pytest.raises(ValueError, match=r"tree\['a'\] must be an array that .* shape \(\)"):
            distributed.place(mesh, {"a": np.float32(0)}, PartitionSpec("data"))

    def test_leaves_without_numbers_are_refused(self, mesh):
        for leaf in ("text", np.array([None]), jax.ShapeDtypeStruct((3,), jnp.float32)):
            with pytest.raises(TypeError, match=r"tree\['a'\] must be numbers; got"):
                distributed.place(mesh, {"a": leaf})
        with pytest.raises(TypeError, match="tree must be an array with values; got an array"):
            jax.jit(functools.partial(distributed.place, mesh))(jnp.ones(3))
        donated = jnp.ones(3)
        donated.delete()
        with pytest.raises(ValueError, match=r"tree\['a'\] must be .*; got a donated"):
            distributed.place(mesh, {"a": donated})


def test_interleaved_shares_are_those_of_reordered_images(batch):
    """Interleaved images give the shares of consecutive images in the original order."""
    gan = make_gan(dynamics=dynamics.alternating(2), optimizer=Pair(optax.sgd(0.1), optax.sgd(0.1)))
    images = jnp.concatenate([batch, batch * 0.5])[:8]
    mixed = images.reshape(2, 4, *SHAPE).swapaxes(0, 1).reshape(images.shape)
    state = gan.init(jax.random.key(0), batch)
    update = jax.jit(gan.update, static_argnames="interleaved")
    expected, _ = update(state, images)
    found, _ = update(state, mixed, interleaved=True)
    close = functools.partial(np.testing.assert_allclose, atol=1e-6)
    jax.tree.map(close, expected.params, found.params)
    with pytest.raises(TypeError, match="interleaved must be True or False; got 1"):
        gan.update(state, mixed, interleaved=1)
