"""Defines lookahead, which averages the parameters of both players over several steps."""

import jax
import jax.numpy as jnp

from jaxgan._internal import checks
from jaxgan.dynamics._alternating import alternating
from jaxgan.dynamics._types import Dynamics, Rules
from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Metrics, Pair, Params, PyTree


def lookahead(steps: int = 5, alpha: float = 0.5, inner: Dynamics | None = None) -> Dynamics:
    r"""Returns lookahead over both players jointly: k steps forward, one step back.

    The inner dynamics moves the fast parameters $w$. After every $k$ steps, with slow parameters
    $\tilde w$,

    $$\tilde w \leftarrow \tilde w + \alpha (w - \tilde w), \qquad w \leftarrow \tilde w.$$

    The optimizers keep their states. Nest lookahead for slower averages:
    `lookahead(5000, inner=lookahead(5))`. The cost is that of the inner dynamics. The memory is a
    copy of all parameters.

    Args:
      steps: $k$, at least 1.
      alpha: $\alpha$, in [0, 1].
      inner: the inner dynamics; by default `alternating()`.

    Returns:
      A `Dynamics`.

    Raises:
      TypeError: If an argument has the wrong type.
      ValueError: If a number is out of range.

    Example:
      >>> from jaxgan import dynamics
      >>> dynamics.lookahead(5, inner=dynamics.alternating(2)).shares
      2

    References:
      Chavdarova et al., Taming GANs with Lookahead-Minmax, 2021, https://arxiv.org/abs/2006.14567
    """
    checks.integer("steps", steps)
    checks.real("alpha", alpha, 0.0, 1.0)
    inner = alternating() if inner is None else inner
    checks.instance("inner", inner, Dynamics, "a jaxgan.dynamics.Dynamics")

    def init(params: Pair[Params]) -> PyTree:
        return {"slow": jax.tree.map(jnp.copy, params), "inner": inner.init(params)}

    def update(
        rules: Rules, state: TrainState, shares: tuple[Batch, ...], key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        memory = state.dynamics_state
        state = state.replace(dynamics_state=memory["inner"])
        state, metrics = inner.update(rules, state, shares, key)
        is_last = (state.step + 1) % steps == 0

        def average(slow: jax.Array, fast: jax.Array) -> jax.Array:
            weight = jnp.asarray(alpha, slow.dtype)
            return jnp.where(is_last, slow + weight * (fast - slow), slow)

        slow = jax.tree.map(average, memory["slow"], state.params)
        fast = jax.tree.map(lambda a, b: jnp.where(is_last, a, b), slow, state.params)
        new = {"slow": slow, "inner": state.dynamics_state}
        return state.replace(params=fast, dynamics_state=new), metrics

    return Dynamics(init, update, inner.shares)
