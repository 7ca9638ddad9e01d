"""Runs many updates in one function, inside one `jax.jit`.

`steps` and `epochs` scan `gan.update` over batches of images on the device. The batch of a step is
a pure function of (key, step), so a resumed run is bit-identical to an uninterrupted one. Use
`batch_indices`, `permute` and `channels_last` to write your own training loop. `compiler_options`
makes programs faster on a GPU.
"""

from jaxgan._internal.channels_last import channels_last
from jaxgan.training._compiler_options import compiler_options
from jaxgan.training._scan import epochs, steps
from jaxgan.training._shuffle import batch_indices, permute

__all__ = ["batch_indices", "channels_last", "compiler_options", "epochs", "permute", "steps"]
