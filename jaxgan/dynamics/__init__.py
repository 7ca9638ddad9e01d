"""Dynamics: how the two players of a game move in a training step.

A dynamics is a pair of pure functions, like an optax transformation. Its memory is in the state, so
it is saved, mapped and resumed with the rest of a run. A dynamics uses both losses as functions of
both players' parameters, so it works with `jaxgan.gan` and `jaxgan.game`.

Dynamics that move both players at once skip both if a loss or gradient is non-finite. `alternating`
and `unrolled` skip one player. Line searches need `alternating`: other dynamics of first and second
order give the optimizers no loss at other parameters.
"""

from jaxgan.dynamics._alternating import alternating
from jaxgan.dynamics._first_order import (
    extragradient,
    optimistic,
    past_extragradient,
    simultaneous,
)
from jaxgan.dynamics._lookahead import lookahead
from jaxgan.dynamics._second_order import (
    competitive_gradient_descent,
    consensus,
    lead,
    symplectic_adjustment,
)
from jaxgan.dynamics._types import Dynamics, DynamicsUpdate, Rules
from jaxgan.dynamics._unrolled import unrolled

__all__ = [
    "Dynamics",
    "DynamicsUpdate",
    "Rules",
    "alternating",
    "competitive_gradient_descent",
    "consensus",
    "extragradient",
    "lead",
    "lookahead",
    "optimistic",
    "past_extragradient",
    "simultaneous",
    "symplectic_adjustment",
    "unrolled",
]
