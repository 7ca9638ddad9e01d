"""Configures all tests and doctests, and defines the small GAN that most tests use."""

import gc
import os
import sys
import tempfile
from pathlib import Path

# Removes the user's settings for tests and their subprocesses. JAX_PLATFORMS still chooses the
# device; without a default, JAX warns about a GPU that it cannot use.
KEPT = {"JAX_PLATFORMS", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "PYTHONCOERCECLOCALE"}
for name in os.environ.keys() - KEPT:
    if name.startswith(("JAX_", "PYTHON")):
        del os.environ[name]
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "0"  # tests do not share compiled programs
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["PYTHON_COLORS"] = "0"  # tests read tracebacks
os.environ["MATPLOTLIBRC"] = os.devnull  # tests count the colors of plots
# Keeps hypothesis's files out of the repository.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", tempfile.gettempdir() + "/hypothesis")

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import scipy.linalg  # noqa: F401  so that the header shows its BLAS
import shape_checks
from threadpoolctl import threadpool_info

with jaxtyping.install_import_hook(shape_checks.PACKAGES, "shape_checks.check"):
    import jaxgan

# Forbids implicit promotion of dtypes and ranks. Warnings are errors (see pyproject.toml).
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Most tests spend more time compiling than computing, so XLA compiles quickly, to slower code. With
# `-m slow`, `-m ''` or JAXGAN_TESTS_COMPILE=users, XLA compiles as for users. If XLA aborts because
# of an unknown option, remove the option here.
QUICK_FLAGS = [
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_parallel_codegen_split_count=1",
]
# XLA's defaults, as options of `jax.jit`, for tests that require bit-identical results.
AS_USERS: dict[str, bool | int] = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_parallel_codegen_split_count": 32,
}
if jax.__version_info__ < (0, 11):  # later versions do not have this option
    QUICK_FLAGS.append("--xla_cpu_use_fusion_emitters=false")
    AS_USERS["xla_cpu_use_fusion_emitters"] = True

# The environment of a script that compiles as for users.
users_flags = [x for x in os.environ.get("XLA_FLAGS", "").split() if x not in QUICK_FLAGS]
USERS = os.environ | {"XLA_FLAGS": " ".join(users_flags)}

# The environment of a script that compiles quickly and shares a compilation cache. Workers of xdist
# and scripts inherit the name of the folder.
_PROGRAMS = "JAXGAN_TESTS_PROGRAMS"
_programs = None
if _PROGRAMS not in os.environ:
    _programs = tempfile.TemporaryDirectory(prefix="jaxgan-programs-", ignore_cleanup_errors=True)
    os.environ[_PROGRAMS] = _programs.name
CACHE = {
    "jax_enable_compilation_cache": True,
    "jax_compilation_cache_dir": os.environ[_PROGRAMS],
    "jax_persistent_cache_min_compile_time_secs": 0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
QUICKLY = os.environ | {
    "XLA_FLAGS": " ".join([*users_flags, *QUICK_FLAGS]),
    **{name.upper(): str(value) for name, value in CACHE.items()},
}

# Runs a script. Warnings are errors, except deprecated calls of one library by another.
PYTHON = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning"]
PYTHON += ["-W", "error::DeprecationWarning:__main__"]

SHAPE, LATENT_DIM, BATCH = (4, 4, 1), 3, 5


def pytest_configure(config):
    """Selects quick compilation, and makes deprecated calls in this repository errors."""
    root = Path(__file__).parent.parent
    folders = ("tests", "examples", "benchmarks")
    names = {path.stem for folder in folders for path in (root / folder).rglob("*.py")}
    ours = rf"(jaxgan\b|<string>$|__main__$|({'|'.join(sorted(names))})$)"
    config.addinivalue_line("filterwarnings", f"error::DeprecationWarning:{ours}")
    for_users = os.environ.get("JAXGAN_TESTS_COMPILE") == "users"
    quick = config.option.markexpr == "not slow" and not for_users
    if quick and os.environ["JAX_PLATFORMS"] == "cpu":
        os.environ["XLA_FLAGS"] = QUICKLY["XLA_FLAGS"]  # XLA reads it before its first compilation
        for name, value in CACHE.items():  # because each new GAN compiles its `init` again
            jax.config.update(name, value)


def pytest_unconfigure():
    """Deletes the compilation cache, in the process that made its folder."""
    if _programs:
        _programs.cleanup()


def pytest_collection_finish():
    """Excludes all loaded modules from garbage collection, which slows tracing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000)


def pytest_report_header() -> list[str]:
    """Returns what rounding depends on: versions, processor, number of cores, BLAS kernels."""
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    kernels = {blas.get("architecture", blas["internal_api"]) for blas in libraries}
    about = jaxgan.environment()
    return [
        ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
        f"{about['processor']}, cores: {about['cpus']}, BLAS kernels: {' '.join(sorted(kernels))}",
    ]


def pytest_terminal_summary(terminalreporter):
    """Prints the number of bad inputs, in a run with one process (`-n 0`)."""
    bad = sys.modules.get("bad")  # of tests/torture
    if bad and bad.TRIED:
        terminalreporter.write_line(bad.summary())


def make_gan(**changes) -> jaxgan.GAN:
    """Returns a small MLP GAN; `changes` replace arguments of `jaxgan.gan`."""
    arguments = {
        "generator": jaxgan.networks.MLPGenerator(SHAPE, features=(8, 8)),
        "discriminator": jaxgan.networks.MLPDiscriminator(features=(8, 8)),
        "loss": jaxgan.losses.non_saturating(real_label=0.9),
        "optimizer": jaxgan.Pair(optax.adam(1e-2), optax.adam(1e-2)),
        "latents": LATENT_DIM,
    }
    return jaxgan.gan(**{**arguments, **changes})


@pytest.fixture(scope="session")
def gan() -> jaxgan.GAN:
    """Returns one GAN for all tests, so that `init` compiles once."""
    return make_gan()


@pytest.fixture
def uint8_images() -> np.ndarray:
    """Returns 23 images: four batches of five, and three that no batch uses."""
    return np.random.default_rng(0).integers(0, 256, (23, *SHAPE), dtype=np.uint8)


@pytest.fixture
def batch(uint8_images) -> jax.Array:
    return jaxgan.images.normalize(uint8_images[:BATCH])


@pytest.fixture
def torch_tensor():
    """Returns an object like a tensor of PyTorch on a GPU, which numpy cannot read."""

    class Tensor:
        shape, dtype = (BATCH, *SHAPE), "torch.float32"

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("numpy cannot read this tensor")

    Tensor.__module__ = "torch"
    return Tensor()


@pytest.fixture(scope="session")
def first_state() -> jaxgan.TrainState:
    """Returns the state of `gan` for seed 0. Tests must not donate this state."""
    return make_gan().init(jax.random.key(0), jnp.zeros((1, *SHAPE)))


@pytest.fixture
def state(first_state) -> jaxgan.TrainState:
    """Returns a copy of `first_state`, which a test may donate."""
    return jax.tree.map(lambda leaf: leaf.copy(), first_state)


@pytest.fixture
def load_few(monkeypatch):
    """Returns a function that limits `datasets.load` to the first `num` images."""
    load = jaxgan.datasets.load

    def set_number(num: int) -> None:
        def load_first(*args, **kwargs):
            data = load(*args, **kwargs)
            return jaxgan.datasets.Dataset(data.images[:num], data.labels[:num], data.source)

        monkeypatch.setattr(jaxgan.datasets, "load", load_first)

    return set_number


def assert_trees_equal(a, b) -> None:
    """Checks that two pytrees have the same structure and dtypes and bit-identical values."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(
        jax.tree_util.tree_flatten_with_path(a)[0], jax.tree.leaves(b), strict=True
    ):
        assert x.dtype == y.dtype, path
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y, err_msg=jax.tree_util.keystr(path))


def tree_differs(a, b) -> bool:
    """Returns whether any leaf differs between two pytrees."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return any(bool((x != y).any()) for x, y in pairs)
