"""Defines the options of XLA that make a training step faster on a GPU."""

from jaxgan._internal import checks
from jaxgan._internal.environment import default_platform

# XLA's default, which an option replaces as a whole.
_GRAPHS = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,CONDITIONAL,DYNAMIC_SLICE_FUSION"


def compiler_options(platform: str | None = None, *, convolutions: bool = False) -> dict[str, str]:
    """Returns options of XLA's compiler for a training program, for `jax.jit` or `compile`.

    On CUDA GPUs, XLA launches the kernels of a program as CUDA graphs, whose kernels run one after
    the other by default. With the options, independent kernels run at the same time. This saved
    15 % of a step of the MNIST GAN on an H100 (docs/performance.md). Values do not change.

    Args:
      platform: "cuda" or "gpu" for CUDA GPUs. All other platforms have no options. If None, the
        platform of `jax.default_device`, by default JAX's first one.
      convolutions: whether CUDA graphs also include convolutions. A step of DCGAN then needs 1
        launch from the host instead of 71, and takes 4 % less time on an H100.

    Returns:
      Values by option name; empty for other platforms.

    Raises:
      TypeError: If `platform` is not a string, or `convolutions` is not a bool.

    Example:
      >>> import jax
      >>> from jaxgan import training
      >>> train = jax.jit(lambda state: state, compiler_options=training.compiler_options())
      >>> training.compiler_options("cuda")
      {'xla_gpu_command_buffer_scheduling_mode': 'CONCURRENT'}
    """
    if platform is None:
        platform = default_platform()
    checks.instance("platform", platform, str, "the name of a platform, such as 'cuda'")
    checks.boolean("convolutions", convolutions)
    if platform not in ("cuda", "gpu"):
        return {}
    options = {"xla_gpu_command_buffer_scheduling_mode": "CONCURRENT"}
    if convolutions:
        options["xla_gpu_enable_command_buffer"] = f"{_GRAPHS},CONVOLUTION"
    return options
