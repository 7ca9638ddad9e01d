"""Compiles for an H100 on a machine without a GPU."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
from jax.experimental import topologies

# As NVIDIA's tools report them, with CUDA 13.0 and cuDNN 9.28.
H100 = """
gpu_device_info {
  name: "NVIDIA H100 80GB HBM3"
  device_vendor: "NVIDIA Corporation"
  device_address_bits: 64
  cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  l2_cache_size: 52428800
  memory_bandwidth: 3352320000000
  device_memory_size: 84942979072
  driver_version: "13.0.0"
  runtime_version: "13.0.0"
  compile_time_toolkit_version: "13.0.0"
  dnn_version: "9.28.0"
}
platform_name: "CUDA"
runtime_version { major: 13 minor: 0 }
dnn_version_info { major: 9 minor: 28 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def describe() -> jax.Device:
    """Returns the H100 of the description."""
    jax.config.update("jax_platforms", "cpu")  # JAX would look for a GPU
    try:
        topology = topologies.get_topology_desc(
            platform="cuda", target_config=H100, topology="1x1x1"
        )
    except NotImplementedError:
        sys.exit("JAX's CUDA plugin must be installed; got none. Run: pip install 'jax[cuda13]'")
    return topology.devices[0]


def compile_for(
    device: jax.Device, function: Callable, args: tuple, options: dict
) -> tuple[jax.stages.Compiled, list[str]]:
    """Returns a compiled program, and its thunks before and after XLA makes CUDA graphs.

    Args:
      device: the device of `describe`.
      function: the function to compile. Its first argument is donated.
      args: its arguments, or their shapes and dtypes.
      options: options of XLA.
    """
    here = jax.sharding.SingleDeviceSharding(device)
    place = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here)
    lowered = jax.jit(function, donate_argnums=0).lower(*jax.tree.map(place, args))
    with tempfile.TemporaryDirectory() as folder:
        dump: dict = {"xla_dump_to": folder, "xla_dump_hlo_as_text": True}
        compiled = lowered.compile(dump | options)
        (before,) = Path(folder).glob("*.thunk_sequence.txt")
        changed = list(Path(folder).glob("*.thunk_sequence_after_thunk_passes.txt"))
        # Without a CUDA graph, XLA writes only the first.
        return compiled, [path.read_text() for path in (before, *(changed or [before]))]
