"""Computes eigenvalues of the Jacobian of a game's vector field, or of its update."""

from collections.abc import Callable
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from jaxgan._internal import checks
from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Pair, Params, PyTree

_TARGETS = {"field": "the vector field", "update": "the update"}
_ORDERS: dict[str, Any] = {"LM": np.abs, "LR": np.real}
_MOVING = ("params", "opt_state", "dynamics_state")


def spectrum(
    gan: Any,
    state: TrainState,
    batch: Batch = (),
    k: int = 20,
    *,
    of: str = "field",
    which: str = "LM",
    tolerance: float = 0.0,
) -> np.ndarray:
    r"""Computes the leading eigenvalues of a game's Jacobian, without the matrix.

    The Jacobian is that of the vector field $F = (\nabla_\theta L_G, \nabla_\phi L_D)$ with respect
    to both players' parameters, or that of one `update` with respect to the floats of parameters,
    optimizer states and dynamics. A game is locally stable if all eigenvalues of the field's
    Jacobian have a positive real part, or if those of the update are below 1 in magnitude.
    Imaginary parts show rotation. ARPACK's Arnoldi iteration (`scipy.sparse.linalg.eigs`) needs
    only products with the Jacobian, which `jax.jvp` computes.

    Args:
      gan: a `jaxgan.GAN` or a `jaxgan.Game`.
      state: the state at which to differentiate. Its dtypes limit the accuracy: create it in
        float64 (`jax.enable_x64`) for more than about three digits.
      batch: the batch, as for `gan.update`. The random draws are those of the state's next step.
      k: the number of eigenvalues, at least 1. With fewer dimensions, all are returned.
      of: "field" or "update".
      which: "LM" for the largest magnitudes, "LR" for the largest real parts.
      tolerance: the relative accuracy at which the iteration stops; 0 for that of the dtype.

    Returns:
      Complex numpy array `[k]`, ordered by `which`, the largest first.

    Raises:
      TypeError: If an argument has the wrong type.
      ValueError: If `k`, `of` or `which` is out of range.

    Example:
      The bilinear game rotates:

      >>> import jax, jax.numpy as jnp, jaxgan, optax
      >>> def losses(params, batch, key):
      ...     product = params.generator * params.discriminator
      ...     return jaxgan.Pair(product, -product)
      >>> init = lambda key, batch: jaxgan.Pair(jnp.ones(()), jnp.zeros(()))
      >>> sgd = jaxgan.Pair(optax.sgd(0.1), optax.sgd(0.1))
      >>> game = jaxgan.game(jaxgan.objective(init, losses), sgd)
      >>> values = jaxgan.diagnostics.spectrum(game, game.init(jax.random.key(0)))
      >>> print(sorted(values.imag.tolist()))
      [-1.0, 1.0]

    References:
      Mescheder et al., The Numerics of GANs, 2017, https://arxiv.org/abs/1705.10461

      Berard et al., A Closer Look at the Optimization Landscapes of GANs, 2020,
      https://arxiv.org/abs/1906.04848
    """
    checks.integer("k", k)
    checks.require(of in _TARGETS, "of", f"one of {sorted(_TARGETS)}", repr(of))
    checks.require(which in _ORDERS, "which", f"one of {sorted(_ORDERS)}", repr(which))
    checks.real("tolerance", tolerance, 0.0)
    checks.instance("state", state, TrainState, "a jaxgan.TrainState")
    is_game = all(callable(getattr(gan, name, None)) for name in ("losses", "update"))
    expected, got = "a jaxgan.GAN or a jaxgan.Game", checks.shown(gan)
    checks.require(is_game, "gan", expected, got, error=TypeError)
    batch = jax.tree.map(jnp.asarray, batch)
    run, start = _field(gan, state, batch) if of == "field" else _update(gan, state, batch)
    found = _eigenvalues(run, start, k, which, tolerance)
    return found[np.argsort(-_ORDERS[which](found), kind="stable")][:k]


def _field(gan: Any, state: TrainState, batch: Batch) -> tuple[Callable, jax.Array]:
    key = jax.random.fold_in(state.key, state.step)

    def gradient(params: Pair[Params], player: str) -> Params:
        def loss(own: Params) -> jax.Array:
            both = params._replace(**{player: own})
            return getattr(gan.losses(both, state, batch, key)[0], player)

        return jax.grad(loss)(getattr(params, player))

    flat, unravel = jax.flatten_util.ravel_pytree(state.params)

    def field(x: jax.Array) -> jax.Array:
        grads = Pair(*(gradient(unravel(x), player) for player in Pair._fields))
        return jax.flatten_util.ravel_pytree(grads)[0]

    return field, flat


def _update(gan: Any, state: TrainState, batch: Batch) -> tuple[Callable, jax.Array]:
    def floats(state: TrainState) -> list[jax.Array]:
        leaves = jax.tree.leaves([getattr(state, name) for name in _MOVING])
        return [x for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]

    flat, unravel = jax.flatten_util.ravel_pytree(floats(state))

    def run(x: jax.Array) -> jax.Array:
        new = iter(unravel(x))

        def replace(x: jax.Array) -> jax.Array:
            return next(new) if jnp.issubdtype(x.dtype, jnp.floating) else x

        changes: dict[str, PyTree] = {
            name: jax.tree.map(replace, getattr(state, name)) for name in _MOVING
        }
        after, _ = gan.update(state.replace(**changes), batch)
        return jax.flatten_util.ravel_pytree(floats(after))[0]

    return run, flat


def _eigenvalues(
    run: Callable, start: jax.Array, k: int, which: str, tolerance: float
) -> np.ndarray:
    num = start.size
    if num <= max(k + 1, 32):  # ARPACK finds at most num - 2 eigenvalues
        return np.linalg.eigvals(np.asarray(jax.jit(jax.jacfwd(run))(start), np.float64))
    from scipy.sparse.linalg import LinearOperator, eigs  # type: ignore[import-untyped]

    product = jax.jit(lambda v: jax.jvp(run, (start,), (v,))[1])
    multiply = lambda v: np.asarray(product(jnp.asarray(v.ravel(), start.dtype)))
    operator = LinearOperator((num, num), matvec=multiply, dtype=np.dtype(start.dtype))
    first = np.random.default_rng(0).standard_normal(num).astype(start.dtype)
    basis = min(num - 1, max(4 * k, 40))
    return eigs(
        operator, k, which=which, v0=first, ncv=basis, tol=tolerance, return_eigenvectors=False
    )
