"""Defines dynamics of first order: simultaneous, extragradient and optimistic steps."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgan import _players
from jaxgan._internal import checks
from jaxgan.dynamics._field import (
    Direction,
    Field,
    VectorField,
    inputs_of,
    move_both,
    moving_against,
    select,
    vector_field,
)
from jaxgan.dynamics._types import Dynamics, Rules
from jaxgan.train_state import TrainState
from jaxgan.types import Batch, Metrics, Pair, Params, PyTree


def simultaneous() -> Dynamics:
    r"""Returns simultaneous gradient steps: both players move from the same point.

    With the losses $L_G(\theta, \phi)$ and $L_D(\theta, \phi)$, the optimizers receive

    $$F = (\nabla_\theta L_G(\theta, \phi), \nabla_\phi L_D(\theta, \phi)).$$

    A step needs one gradient of each loss, and no memory.

    Returns:
      A `Dynamics`.

    Example:
      >>> from jaxgan import dynamics
      >>> dynamics.simultaneous().shares
      1

    References:
      Mescheder et al., The Numerics of GANs, 2017, https://arxiv.org/abs/1705.10461
    """

    def direction(field: VectorField, params: Pair[Params], memory: PyTree) -> Direction:
        grads, found = field(params)
        return Direction(grads, found)

    return moving_against(direction)


def extragradient() -> Dynamics:
    r"""Returns extragradient steps: both players move by the gradient at an extrapolated point.

    With the vector field $F$ of `simultaneous` and $w = (\theta, \phi)$,

    $$w' = w + \mathrm{opt}(F(w)), \qquad w \leftarrow w + \mathrm{opt}(F(w')).$$

    Both evaluations use the same batch and the same latents. With Adam, this is ExtraAdam: the
    moments move twice in each step, so schedules count two steps. A step needs two gradients of
    each loss, and no memory.

    Returns:
      A `Dynamics`. It refuses `optax.MultiSteps`, which would apply every other extrapolation.

    Example:
      >>> from jaxgan import dynamics
      >>> dynamics.extragradient().shares
      1

    References:
      Gidel et al., A Variational Inequality Perspective on Generative Adversarial Networks, 2019,
      https://arxiv.org/abs/1802.10551 (algorithm 4)

      Korpelevich, The extragradient method for finding saddle points and other problems, 1976
    """

    def update(
        rules: Rules, state: TrainState, shares: tuple[Batch, ...], key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        field = vector_field(rules, inputs_of(state, shares[0], key))
        _, found = field(state.params)
        after, metrics, _ = _step_from(rules, state, field, found)
        return after, metrics

    return Dynamics(lambda params: (), update)


def past_extragradient() -> Dynamics:
    r"""Returns extragradient steps that extrapolate with the previous gradient.

    With the vector field $F$ of `simultaneous` and $w = (\theta, \phi)$,

    $$w_t' = w_t + \mathrm{opt}(F(w_{t-1}')), \qquad w_{t+1} = w_t + \mathrm{opt}(F(w_t')).$$

    The first step extrapolates with a gradient of 0. With Adam, the moments move twice in each
    step, so schedules count two steps. A step needs one gradient of each loss. The memory is one
    gradient of each loss.

    Returns:
      A `Dynamics`. It refuses `optax.MultiSteps`, which would apply every other extrapolation.

    Example:
      >>> from jaxgan import dynamics
      >>> dynamics.past_extragradient().shares
      1

    References:
      Gidel et al., A Variational Inequality Perspective on Generative Adversarial Networks, 2019,
      https://arxiv.org/abs/1802.10551 (algorithm 3)

      Popov, A modification of the Arrow-Hurwicz method for search of saddle points, 1980
    """

    def update(
        rules: Rules, state: TrainState, shares: tuple[Batch, ...], key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        field = vector_field(rules, inputs_of(state, shares[0], key))
        past = Field(state.dynamics_state, Pair(*2 * (jnp.zeros(()),)), state.model_state, {})
        after, metrics, found = _step_from(rules, state, field, past)
        memory = select(found.finite(), found.grads, past.grads)
        return after.replace(dynamics_state=memory), metrics

    return Dynamics(lambda params: jax.tree.map(jnp.zeros_like, params), update)


def optimistic(alpha: float = 1.0, beta: float = 1.0) -> Dynamics:
    r"""Returns optimistic gradient steps: simultaneous steps that also use the previous gradient.

    With the vector field $F$ of `simultaneous`, the optimizers receive

    $$(\alpha + \beta) F(w_t) - \beta F(w_{t-1}).$$

    The first step uses $F(w_0)$ as the previous gradient. With $\alpha = \beta = 1$ and SGD, this
    is optimistic gradient descent; with Adam, optimistic Adam. The directions come from
    `optax.scale_by_optimistic_gradient`. A step needs one gradient of each loss. The memory is one
    gradient of each loss.

    Args:
      alpha: $\alpha$, the weight of the gradient.
      beta: $\beta$, the weight of its change.

    Returns:
      A `Dynamics`.

    Raises:
      TypeError: If a weight is not a number.
      ValueError: If a weight is negative or non-finite.

    Example:
      >>> from jaxgan import dynamics
      >>> dynamics.optimistic().shares
      1

    References:
      Daskalakis et al., Training GANs with Optimism, 2018, https://arxiv.org/abs/1711.00141
    """
    checks.real("alpha", alpha, 0.0)
    checks.real("beta", beta, 0.0)
    transform = optax.scale_by_optimistic_gradient(alpha, beta)

    def direction(field: VectorField, params: Pair[Params], memory: PyTree) -> Direction:
        grads, found = field(params)
        with jax.numpy_dtype_promotion("standard"):
            directions: Any
            directions, memory = transform.update(grads, memory)
        return Direction(directions, found, memory)

    return moving_against(direction, transform.init)


def _check_optimizers(state: TrainState) -> None:
    """Refuses optimizers that do not move in every call."""
    is_several = lambda x: isinstance(x, optax.MultiStepsState)
    for player, tree in state.opt_state._asdict().items():
        found = any(map(is_several, jax.tree.leaves(tree, is_leaf=is_several)))
        expected = "without optax.MultiSteps in an extragradient step, which calls it twice"
        checks.require(not found, f"The {player}'s optimizer", expected, "optax.MultiSteps")


def _step_from(
    rules: Rules, state: TrainState, field: VectorField, first: Field
) -> tuple[TrainState, Metrics, Field]:
    """Extrapolates with the gradients of `first`, and moves by those at the new point.

    If one of the fields is non-finite, both players are skipped.
    """
    _check_optimizers(state)
    moved = [_moved(rules, state, first, player) for player in Pair._fields]
    params, opt_state = zip(*moved, strict=True)
    _, second = field(Pair(*params))
    finite = first.finite() & second.finite()
    between = state.replace(opt_state=Pair(*opt_state))
    after, metrics = move_both(rules, between, second, second.grads)
    names = ("params", "opt_state", "model_state")
    new, old = ({name: getattr(x, name) for name in names} for x in (after, state))
    skipped = 1 - finite.astype(jnp.int32)
    metrics |= {f"{player}_skipped": skipped for player in Pair._fields}
    return after.replace(**select(finite, new, old)), metrics, second


def _moved(
    rules: Rules, state: TrainState, field: Field, player: str
) -> tuple[Params, optax.OptState]:
    """Applies the optimizer of one player to its gradient."""
    optimizer, grads, loss, params, opt_state = (
        getattr(x, player)
        for x in (rules.optimizer, field.grads, field.losses, state.params, state.opt_state)
    )
    evaluation = _players.Evaluation(loss, grads, lambda params: loss, (), {})
    return _players.apply_optimizer(optimizer, evaluation, params, opt_state)
