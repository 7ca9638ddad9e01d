"""The benchmarks run for two steps and report the expected rows. No test checks a time."""

import importlib
import importlib.util
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from conftest import AS_USERS, USERS
from jax.extend import core
from scripts import run_here

import jaxgan

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
JAXGAN = ["jaxgan, one scan an epoch", "jaxgan, one jit call a step, host batches"]
PEERS = {
    "mlp": {
        "torch, eager, fused Adam": "torch",
        "tensorflow, XLA, one call a step": "tensorflow",
        "tensorflow, XLA, one loop an epoch": "tensorflow",
    },
    "dcgan": {"torch, eager, channels-last": "torch"},
}


@pytest.mark.parametrize(
    ("networks", "options"),
    [
        ("mlp", []),
        pytest.param("dcgan", ["--image-size", "8", "--batch-size", "4"], marks=pytest.mark.slow),
    ],
    ids=["mlp", "dcgan"],
)
def test_step_time_runs_and_reports(tmp_path, networks, options):
    path = tmp_path / "out" / "step_time.json"
    if not importlib.util.find_spec("torch"):
        options = [*options, "--no-torch"]  # saves a process that finds no torch
    report, printed = report_of("step_time.py", path, "--networks", networks, *options)
    names = [row["name"] for row in report["rows"]]
    assert names[:2] == JAXGAN
    assert ("matrix products alone" in names) == (networks == "mlp")
    for peer, package in PEERS[networks].items():
        assert (peer in names) == bool(importlib.util.find_spec(package))
    for row in report["rows"]:
        assert row["name"] in printed
        assert row["steps"] == 2
        assert 0 < row["min_us"] <= row["median_us"] <= row["max_us"]
    assert report["rows"][0]["ratio"] == 1.0
    assert {"versions", "device", "command", "rounds", "dtype"} <= set(report)


@pytest.mark.parametrize(
    ("options", "num"),
    [(["--only", "R1"], 2), pytest.param([], 24, marks=pytest.mark.slow)],
    ids=["one", "all"],
)
def test_objectives_runs_and_reports(tmp_path, options, num):
    report, _ = report_of("objectives.py", tmp_path / "objectives.json", *options)
    rows = report["rows"]
    assert rows[0]["name"] == "non-saturating"
    assert len(rows) == num
    assert all(row["median_us"] > 0 for row in rows)


def test_convolutions_runs_and_reports(tmp_path):
    report, _ = report_of("convolutions.py", tmp_path / "convolutions.json")
    rows = report["rows"]
    assert [row["name"] for row in rows][:2] == ["strided", "strided, in a loop"]
    assert len(rows) == 9
    assert all(row["median_us"] > 0 for row in rows)


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import harness
    import step_time

    return harness, step_time


@pytest.mark.slow
def test_floor_has_all_matrix_products_of_a_step(modules):
    """XLA drops, merges and hoists none of the products: the epoch has the same number."""
    _, step_time = modules
    images = np.zeros((200, 28, 28, 1), np.uint8)
    epoch, _ = step_time.lower_epoch(step_time.recipe(), images)
    floor, _ = step_time.lower_products(num_steps=2)
    products = re.compile(r" dot\(|custom-call\(.*(matmul|gemm)")
    texts = [lowered.compile(AS_USERS).as_text() for lowered in (epoch, floor)]
    counts = [len(products.findall(text)) for text in texts]
    # XLA may replace three of the 30, outer products with a logit's gradient, by multiplications.
    assert counts[0] == counts[1] >= 27


def flat(params) -> list[np.ndarray]:
    """Returns kernel, bias, kernel, bias, ... of a jaxgan perceptron."""
    return [np.array(dense[name]) for dense in params.values() for name in ("kernel", "bias")]


@pytest.fixture
def four_steps(modules):
    """Returns images, jaxgan's initial weights, and the losses of four steps.

    The generator's first kernel is set to zero before each step, so that latents have no effect.
    The initial biases are not zero, because frameworks differ in leaky ReLU's gradient at zero.
    """
    _, step_time = modules
    images = np.random.default_rng(0).integers(0, 256, (100, 28, 28, 1), np.uint8)
    gan, batch = step_time.recipe(), jaxgan.images.normalize(images)
    state, update = gan.init(jax.random.key(0), batch), jax.jit(gan.update)
    biased = jax.tree.map(lambda x: x + 0.1 if x.ndim == 1 else x, state.params)
    weights, losses = [flat(params) for params in biased], []
    state = state.replace(params=biased)
    for _ in range(4):
        generator = state.params.generator
        kernel = jax.numpy.zeros_like(generator["Dense_0"]["kernel"])
        generator = {**generator, "Dense_0": {**generator["Dense_0"], "kernel": kernel}}
        params = state.params._replace(generator=generator)
        state, metrics = update(state.replace(params=params), batch)
        losses.append([metrics["discriminator_loss"], metrics["generator_loss"]])
    return images, weights, np.array(losses)


@pytest.mark.parametrize(
    ("module", "sizes", "options"),
    [("torch_recipe", (2, 100, 128), {}), ("torch_dcgan", (2, 100), {"bfloat16": False})],
)
def test_torch_arms_are_empty_without_torch(modules, monkeypatch, module, sizes, options):
    recipe = importlib.import_module(module)
    monkeypatch.setattr(recipe, "torch", None)
    images = np.zeros((4, 28, 28, 1), np.uint8)
    assert recipe.arms(images, *sizes, compiled=False, **options) == []


def test_torch_losses_equal_jaxgan(four_steps):
    torch = pytest.importorskip("torch")
    import torch_recipe

    images, weights, expected = four_steps
    recipe = torch_recipe.first(images, 100, 100, 128)
    networks = recipe.networks()
    for network, arrays in zip(networks, weights, strict=True):
        for parameter, array in zip(network.parameters(), arrays, strict=True):
            parameter.data = torch.tensor(array.T)
    step = torch_recipe.train_step(recipe._replace(networks=lambda: networks), lambda f: f)
    losses = []
    for _ in range(4):
        next(networks[0].parameters()).data.zero_()
        losses.append([float(value) for value in step(torch.arange(100))])
    np.testing.assert_allclose(losses, expected, rtol=1e-3)


def test_tensorflow_losses_equal_jaxgan(four_steps):
    tf = pytest.importorskip("tensorflow")
    import tf_recipe

    images, weights, expected = four_steps
    count, *networks = tf_recipe.start(100, 128, 784)
    pairs = zip(weights, networks, strict=True)
    networks = [[list(map(tf.constant, w)), *rest] for w, (_, *rest) in pairs]
    pixels, losses = tf.constant(images.reshape(100, 784)), []
    for _ in range(4):
        networks[0][0][0] = tf.zeros([100, 128])
        state = [count, *networks]
        (count, *networks), values = tf_recipe.train_step(pixels, 100, state, tf.range(100))
        losses.append([float(value) for value in values])
    np.testing.assert_allclose(losses, expected, rtol=1e-3)


def test_torch_dcgan_has_as_many_parameters_as_jaxgan(modules):
    pytest.importorskip("torch")
    import torch_dcgan

    _, step_time = modules
    gan = step_time.dcgan((32, 32, 3), np.dtype(np.float32))
    state = jax.eval_shape(gan.init, jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))
    for name, network in {
        "generator": torch_dcgan.generator(32, 3, latent_dim=100, features=64),
        "discriminator": torch_dcgan.discriminator(32, 3, features=64),
    }.items():
        sizes = [leaf.size for leaf in jax.tree.leaves(getattr(state.params, name))]
        assert sorted(sizes) == sorted(p.numel() for p in network.parameters())


def test_round_robin_runs_arms_in_turn(modules):
    harness, _ = modules
    calls = []
    arms = [harness.Arm(name, lambda name=name: calls.append(name), 1) for name in "ab"]
    rows = harness.round_robin(arms, rounds=2)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert [row["name"] for row in rows] == ["a", "b"]


def report_of(script, path, *options):
    done = run_here(BENCHMARKS / script, "--quick", "--json", str(path), *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    assert {"versions", "device", "command"} <= set(report)
    assert all(row["median_us"] > 0 for row in report["rows"])
    return report, done.stdout


def test_population_runs_and_reports(tmp_path):
    report, printed = report_of("population.py", tmp_path / "population.json")
    names = ["1 member, vmap", "2 members, vmap", "2 members, one after the other"]
    assert [row["name"] for row in report["rows"][:3]] == names
    assert all(0 < row["utilisation"] < math.inf for row in report["rows"][:3])
    assert "us per member" in printed


def test_utilization_is_relative_to_the_large_product(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("population")
    rows = [{"name": "four", "median_us": 40.0}, {"name": "product", "median_us": 2.0}]
    module.explain(rows, [(4, False)], side=10, flops=5_000)
    # A member runs 5,000 operations in 10 us; the product runs 2,000 in 2 us.
    assert rows[0]["utilisation"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("options", "num"),
    [
        (["--only", "without drawing latents", "real and fake in one pass"], 3),
        pytest.param([], 13, marks=pytest.mark.slow),
    ],
    ids=["some", "all"],
)
def test_breakdown_runs_and_reports(tmp_path, options, num):
    report, _ = report_of("breakdown.py", tmp_path / "breakdown.json", *options)
    assert report["rows"][0]["name"] == "full step"
    assert len(report["rows"]) == num


def test_one_pass_and_separate_passes_give_the_same_losses(modules):
    """The MLP has no batch statistics, so the passes differ only in rounding errors."""
    breakdown, (_, step_time) = importlib.import_module("breakdown"), modules
    images = np.random.default_rng(0).uniform(-1, 1, (100, 28, 28, 1)).astype(np.float32)
    found = []
    for gan in (step_time.recipe(), breakdown.one_pass()):
        state = gan.init(jax.random.key(0), images)
        found.append(jax.jit(gan.update)(state, images)[1])
    for name in ("discriminator_loss", "generator_loss", "logit_gap", "real_accuracy"):
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-5, err_msg=name)


def test_whole_run_runs_and_reports(tmp_path):
    report, _ = report_of("whole_run.py", tmp_path / "whole_run.json")
    assert [row["steps"] for row in report["rows"]] == [4, 4]
    assert sum(report["kernels_a_step"].values()) > 30


def test_step_flops_equal_the_traced_matrix_products(monkeypatch):
    """The trace still has the unused real logits, which XLA drops later."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import population
    import step_time

    gan = step_time.recipe()
    images = np.zeros((step_time.BATCH, 28, 28, 1), np.float32)
    state = gan.init(jax.random.key(0), images)

    def flops(jaxpr):
        total = 0
        for eqn in jaxpr.eqns:
            if eqn.primitive is jax.lax.dot_general_p:
                ((contracted, _), _) = eqn.params["dimension_numbers"]
                depth = np.prod([eqn.invars[0].aval.shape[axis] for axis in contracted])
                total += 2 * int(depth) * eqn.outvars[0].aval.size
            total += sum(flops(inner) for inner in core.jaxprs_in_params(eqn.params))
        return total

    dropped = 2 * step_time.BATCH * (784 * 128 + 128 * 128 + 128)
    traced = flops(jax.make_jaxpr(gan.update)(state, images).jaxpr)
    assert traced - dropped == population.step_flops()


def test_count_kernels_counts_the_loop_body(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import whole_run

    program = """
%moved (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %f.1 = f32[2]{0} fusion(%p), kind=kLoop, calls=%fused
}

%still (p: f32[2]) -> f32[2] {
  ROOT %p = f32[2]{0} parameter(0)
}

%less (arg: (s32[], f32[2])) -> pred[] {
  ROOT %end = pred[] constant(true)
}

%body (arg: (s32[], f32[2])) -> (s32[], f32[2]) {
  %arg = (s32[], f32[2]{0}) parameter(0)
  %x = f32[2]{0} get-tuple-element(%arg), index=1
  %y = f32[2]{0} copy(%x)
  %z = f32[2]{0} conditional(%i, %y, %y), branch_computations={%still, %moved}
  ROOT %t = (s32[], f32[2]{0}) tuple(%i, %z)
}

ENTRY %main (a: f32[2]) -> f32[2] {
  %sorted = f32[2]{0} sort(%a)
  ROOT %w = (s32[], f32[2]{0}) while(%t), condition=%less, body=%body
}
"""
    assert whole_run.count_kernels(program) == {"copy": 1, "fusion": 1}


@pytest.mark.slow
def test_gpu_script_writes_one_json(tmp_path):
    path = tmp_path / "gpu.json"
    done = subprocess.run(
        ["bash", str(BENCHMARKS / "gpu.sh"), str(path)],
        capture_output=True,
        text=True,
        env={**USERS, "QUICK": "1", "PYTHON": sys.executable, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads(path.read_text())["parts"]
    assert {"whole_run", "step_time", "population", "dcgan", "scaling"} <= set(parts)
    assert all(part["rows"] for part in parts.values())


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--only", "batch"], ["batch"]),
        pytest.param(
            [], ["batch", "width", "pixels", "members", "dataset"], marks=pytest.mark.slow
        ),
        pytest.param(["--dcgan"], ["pixels"], marks=pytest.mark.slow),
    ],
    ids=["one", "all", "dcgan"],
)
def test_scaling_fits_a_power_law_to_each_dimension(tmp_path, options, names):
    report, printed = report_of("scaling.py", tmp_path / "scaling.json", *options)
    assert [law["name"] for law in report["fits"]] == names
    for law in report["fits"]:
        assert law["name"] in printed
        assert math.isfinite(law["exponent"])
    if "batch" in names:
        times = {row["name"]: row["median_us"] for row in report["rows"]}
        ratio = times["batch 50"] / times["batch 25"]
        assert report["fits"][0]["exponent"] == pytest.approx(math.log2(ratio))


@pytest.fixture
def fits(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("fits")


def test_fitted_line_equals_scipy(fits):
    x, y = np.array([1.0, 2, 5, 9]), np.array([3.0, 4, 13, 20])
    expected = scipy.stats.linregress(x, y)
    found = fits.line(x, y)
    got = (found.slope, found.intercept, found.standard_error)
    np.testing.assert_allclose(got, (expected.slope, expected.intercept, expected.stderr))
    np.testing.assert_allclose(found.residuals, y - expected.intercept - expected.slope * x)


def test_relative_fit_of_a_line_equals_scipy(fits):
    x, y = np.array([1.0, 10, 100, 1000]), np.array([3.0, 12, 101, 1010])
    model = lambda x, intercept, slope: intercept + slope * x
    expected, covariance = scipy.optimize.curve_fit(model, x, y, sigma=y)
    found = fits.line(x, y, relative=True)
    np.testing.assert_allclose((found.intercept, found.slope), expected, rtol=1e-6)
    assert found.standard_error == pytest.approx(covariance[1, 1] ** 0.5, rel=1e-6)


def test_power_law_recovers_the_exponent(fits):
    law = fits.power_law([1, 4, 16], [3.0, 6.0, 12.0])
    assert (law["from"], law["to"]) == (1, 16)
    assert law["exponent"] == pytest.approx(0.5)
    assert law["standard_error"] == pytest.approx(0, abs=1e-9)
    assert law["deviation_percent"] == pytest.approx(0, abs=1e-9)
    # In logarithms to base 2: 0, 0, 3. The line is -0.5, 1, 2.5.
    bent = fits.power_law([1, 2, 4], [1.0, 1.0, 8.0])
    assert bent["exponent"] == pytest.approx(1.5)
    assert bent["last_exponent"] == pytest.approx(3)
    assert bent["deviation_percent"] == pytest.approx(100)
    assert fits.power_law([1, 2], [1.0, 8.0])["standard_error"] is None


def test_footprint_runs_and_reports(tmp_path):
    path = tmp_path / "footprint.json"
    options = ("--quick", "--only", "image of a batch", "--json", str(path))
    done = run_here(BENCHMARKS / "footprint.py", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    assert [row["size"] for row in report["rows"]] == [100, 1000]
    for row in report["rows"]:
        assert row["total"] == row["arguments"] + row["outputs"] + row["temporary"]
        assert row["arguments"] > row["size"] * 784  # uint8 pixels
    (fit,) = report["fits"]
    total = 1e6 * fit["fixed_mb"] + 1e3 * fit["each_kb"] * fit["largest"]
    assert total == pytest.approx(80e9, rel=1e-3)


@pytest.mark.slow
def test_devices_exchange_only_gradients_and_metrics(tmp_path):
    path = tmp_path / "footprint.json"
    options = ["--quick", "--only", "image of a batch", "--json", str(path)]
    command = [sys.executable, str(BENCHMARKS / "footprint.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=USERS)
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    discriminator = 784 * 128 + 128 + 128 * 128 + 128 + 128 + 1
    generator = 100 * 128 + 128 + 128 * 128 + 128 + 128 * 784 + 784
    assert [row["size"] for row in report["communication"]] == [2, 4, 8]
    for row in report["communication"]:
        assert row["gradient_bytes"] == 4 * (2 * discriminator + generator)
        assert row["gradient_bytes"] <= row["bytes"] < row["gradient_bytes"] + 200
        assert list(row["kinds"]) == ["all-reduce"]


def test_exchanged_bytes_counts_the_results_of_collectives(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    footprint = importlib.import_module("footprint")
    program = """
  %a = (f32[2,3]{1,0}, bf16[5]{0}, /*index=2*/pred[]) all-reduce(%x, %y, %z), channel_id=1
  %b = f32[7]{0} all-reduce-start(%a), replica_groups={}
  %c = f32[7]{0} all-reduce-done(%b)
  %d = s32[8]{0} all-gather(%c), metadata={op_name="all-reduce(f32[9])"}
  %e = f32[2,3]{1,0} get-tuple-element(%a), index=0
  %f = ((f32[3]{0}, pred[]), (f32[3]{0}, pred[])) all-reduce-start(%x, %y), channel_id=2
"""
    expected = {"all-reduce": 4 * 6 + 2 * 5 + 1 + 4 * 7 + 4 * 3 + 1, "all-gather": 4 * 8}
    assert footprint.exchanged_bytes(program) == expected
    assert footprint.exchanged_bytes(None) == {}


def test_distributed_reports_the_exchange_and_the_estimate(tmp_path):
    path = tmp_path / "distributed.json"
    options = ["--quick", "--fixed-us", "100", "--image-us", "0.1", "--json", str(path)]
    assert run_here(BENCHMARKS / "distributed.py", *options).returncode == 0
    rows = {row["name"]: row for row in json.loads(path.read_text())["rows"]}
    assert len(rows) == 18
    assert rows["strong, 256 devices"]["compute_us"] == pytest.approx(100 + 0.1 * 1024 / 256)
    # 990,788 bytes in two operations: the ring between hosts, and 8 latencies of each operation
    expected = 2 * 255 / 256 * 990_788 / 50e3 + 2 * 10 * 8
    assert rows["weak, 256 devices"]["exchange_us"] == pytest.approx(expected)
    efficiency = 100 * 202.4 / (202.4 + expected)
    assert rows["weak, 256 devices"]["efficiency_percent"] == pytest.approx(efficiency)


@pytest.mark.slow
@pytest.mark.parametrize("networks", ["mlp", "dcgan"])
def test_meshes_exchange_only_gradients_and_statistics(tmp_path, networks):
    path = tmp_path / "distributed.json"
    options = ["--fixed-us", "0", "--image-us", "1", "--json", str(path), "--networks", networks]
    command = [sys.executable, str(BENCHMARKS / "distributed.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=USERS)
    assert done.returncode == 0, done.stderr
    alone, *others = json.loads(path.read_text())["exchanged"]
    assert alone["bytes"] == 0
    for row in others:
        assert list(row["kinds"]) == ["all-reduce"]
        assert row["gradient_bytes"] <= row["bytes"] < 1.1 * row["gradient_bytes"]
        if networks == "mlp":  # each device computes its part of the batch
            assert row["device_mflops"] < 1.05 * alone["device_mflops"] / row["devices"]


def test_sampling_runs_and_reports(tmp_path):
    report, _ = report_of("sampling.py", tmp_path / "sampling.json")
    assert [row["name"] for row in report["rows"]] == [
        "mlp, float32, batch 4",
        "mlp, bfloat16, batch 4",
        "dcgan, float32, batch 2",
        "dcgan, bfloat16, batch 2",
    ]
    for row in report["rows"]:
        slowest, fastest = row["min_images_a_second"], row["max_images_a_second"]
        assert 0 < slowest <= row["images_a_second"] <= fastest


@pytest.mark.parametrize(
    ("options", "num"),
    [(["--only", "mlp, update"], 2), pytest.param([], 12, marks=pytest.mark.slow)],
    ids=["one", "all"],
)
def test_compile_time_runs_and_reports(tmp_path, options, num):
    report, _ = report_of("compile_time.py", tmp_path / "compile_time.json", *options)
    names = ["mlp, update, trace and lower", "mlp, update, compile"]
    assert [row["name"] for row in report["rows"][:2]] == names
    assert len(report["rows"]) == num


def test_input_pipeline_runs_and_reports(tmp_path):
    report, _ = report_of("input_pipeline.py", tmp_path / "input_pipeline.json")
    ways = ("reading", "in turn", "at once")
    assert [row["name"] for row in report["rows"]] == [
        "training alone",
        "all on the device, one program",
        "one jit call a step, host batches",
        *(f"waiting, {way}" for way in ways),
        *(f"memory, {way}" for way in ways),
    ]
    hidden = [row["name"] for row in report["rows"] if "hidden" in row]
    assert hidden == ["waiting, at once", "memory, at once"]


def test_evaluation_runs_and_reports(tmp_path):
    report, _ = report_of("evaluation.py", tmp_path / "evaluation.json")
    peers = {"prdc": "precision, recall, density, coverage", "scipy": "Frechet distance"}
    names = ["all metrics, jaxgan"]
    for package, metric in peers.items():
        installed = [package] if importlib.util.find_spec(package) else []
        names += [f"{metric}, {name}" for name in ("jaxgan", *installed)]
    assert [row["name"] for row in report["rows"]] == names
    assert all(row["ratio_to_ours"] == 1 for row in report["rows"] if "jaxgan" in row["name"])


def test_reference_metrics_equal_jaxgan(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("evaluation")
    real, fake = np.random.default_rng(0).normal(size=(2, 60, 4))
    for package, (metric, references) in zip(("prdc", "scipy"), module.PAIRS.values(), strict=True):
        pytest.importorskip(package)
        assert metric(real, fake) == pytest.approx(references[package](real, fake))


@pytest.mark.slow
def test_start_up_runs_and_reports(tmp_path):
    report, _ = report_of("start_up.py", tmp_path / "start_up.json")
    assert [row["name"] for row in report["rows"]] == ["first start", "second start"]
    for row in report["rows"]:
        parts = ("imports", "data", "init", "lowering", "compiling", "training")
        assert all(row[part] > 0 for part in parts)
        assert sum(row[part] for part in parts) <= row["median_seconds"]
