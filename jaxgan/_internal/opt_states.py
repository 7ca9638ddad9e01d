"""Initializes the optimizer states of both networks."""

from typing import Any

import jax
import optax

from jaxgan._internal import checks
from jaxgan.types import Pair, Params


def init(
    optimizer: Pair[optax.GradientTransformation], params: Pair[Params]
) -> Pair[optax.OptState]:
    """Returns the initial optimizer states of both networks.

    Args:
      optimizer: one optax transformation for each network.
      params: the parameters of both networks.

    Raises:
      ValueError: If an optimizer is `optax.lookahead`.
    """
    opt_state = Pair(*(opt.init(p) for opt, p in zip(optimizer, params, strict=True)))
    for player, state in opt_state._asdict().items():
        is_lookahead = lambda node: isinstance(node, optax.LookaheadState)
        found = any(map(is_lookahead, jax.tree.leaves(state, is_leaf=is_lookahead)))
        expected = "an optimizer of the network's parameters"
        got = "optax.lookahead, which replaces them with two copies, optax.LookaheadParams"
        advice = "Pass its fast optimizer."
        checks.require(not found, f"The {player}'s optimizer", expected, got, advice)
    # JAX cannot donate two arrays that share a buffer, and some states contain the parameters.
    return jax.tree.map(_copy, opt_state)


def outline(opt_state: optax.OptState) -> str:
    """Returns the types of the states of chained transformations.

    Args:
      opt_state: the optimizer state of one network.
    """
    if isinstance(opt_state, tuple) and not hasattr(opt_state, "_fields"):
        return f"({', '.join(map(outline, opt_state))})"
    return type(opt_state).__name__


def _copy(leaf: Any) -> Any:
    return leaf.copy() if isinstance(leaf, jax.Array) else leaf
