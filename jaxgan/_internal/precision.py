"""Casts floats to the precision that averages and sensitive layers need."""

import jax
import jax.numpy as jnp


def full_precision(x: jax.Array) -> jax.Array:
    """Casts floats narrower than float32 to float32, and returns wider ones unchanged.

    Args:
      x: floats of any shape.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan._internal.precision import full_precision
      >>> full_precision(jnp.ones(2, jnp.bfloat16)).dtype
      dtype('float32')
    """
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x
