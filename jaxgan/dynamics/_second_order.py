"""Defines dynamics that use the Jacobian of the vector field."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgan._internal import checks
from jaxgan.dynamics._field import Direction, VectorField, moving_against
from jaxgan.dynamics._types import Dynamics
from jaxgan.types import Pair, Params, PyTree


def consensus(gamma: float = 1.0) -> Dynamics:
    r"""Returns consensus optimization, which also descends the squared norm of the gradients.

    With the vector field $F$ of `simultaneous` and its Jacobian $J$, the optimizers receive

    $$F + \gamma\,\nabla \tfrac{1}{2} \|F\|^2 = F + \gamma J^T F.$$

    A step needs one gradient of each loss and one product with $J^T$, and no memory.

    Args:
      gamma: $\gamma$, at least 0. It can be traced.

    Returns:
      A `Dynamics`.

    Raises:
      TypeError: If `gamma` is not a number.
      ValueError: If `gamma` is negative or non-finite.

    Example:
      >>> from jaxgan import dynamics
      >>> dynamics.consensus(0.1).shares
      1

    References:
      Mescheder et al., The Numerics of GANs, 2017, https://arxiv.org/abs/1705.10461
    """
    checks.real("gamma", gamma, 0.0)

    def direction(field: VectorField, params: Pair[Params], memory: PyTree) -> Direction:
        grads, pullback, found = jax.vjp(field, params, has_aux=True)
        (descent,) = pullback(grads)
        return Direction(_plus(grads, gamma, descent), found)

    return moving_against(direction)


def symplectic_adjustment(
    weight: float = 1.0, *, align: bool = True, epsilon: float = 0.1
) -> Dynamics:
    r"""Returns symplectic gradient adjustment (SGA), which corrects for the rotation of the game.

    With the vector field $F$ of `simultaneous`, its Jacobian $J$ and $A = \tfrac12 (J - J^T)$, the
    optimizers receive

    $$F + \lambda A^T F.$$

    $\lambda$ is the weight. With `align`, its sign is that of $\langle F, \nabla H \rangle \langle
    A^T F, \nabla H \rangle / d + \epsilon$, with $\nabla H = J^T F$ and $d$ parameters. A step
    needs one gradient of each loss and one product each with $J$ and $J^T$, and no memory.

    Args:
      weight: the absolute value of $\lambda$, at least 0.
      align: whether the sign of $\lambda$ depends on the game.
      epsilon: $\epsilon$, at least 0.

    Returns:
      A `Dynamics`.

    Raises:
      TypeError: If a number is not a number, or `align` is not a bool.
      ValueError: If a number is negative or non-finite.

    Example:
      >>> from jaxgan import dynamics
      >>> dynamics.symplectic_adjustment(align=False).shares
      1

    References:
      Balduzzi et al., The Mechanics of n-Player Differentiable Games, 2018,
      https://arxiv.org/abs/1802.05642
    """
    checks.real("weight", weight, 0.0)
    checks.real("epsilon", epsilon, 0.0)
    checks.boolean("align", align)

    def direction(field: VectorField, params: Pair[Params], memory: PyTree) -> Direction:
        grads, push, found = jax.linearize(field, params, has_aux=True)
        pull = jax.linear_transpose(push, params)
        (transposed,) = pull(grads)
        adjustment = jax.tree.map(lambda a, b: (a - b) / 2, transposed, push(grads))
        sign: Any = 1.0
        if align:
            num = sum(x.size for x in jax.tree.leaves(grads))
            products = (_dot(grads, transposed), _dot(adjustment, transposed))
            sign = jnp.where(products[0] * products[1] / num + epsilon >= 0, 1.0, -1.0)
        return Direction(_plus(grads, weight * sign, adjustment), found)

    return moving_against(direction)


def competitive_gradient_descent(
    step_size: float, *, zero_sum: bool = False, tolerance: float = 1e-6, max_steps: int = 100
) -> Dynamics:
    r"""Returns competitive gradient descent (CGD): the equilibrium of a local bilinear game.

    With $g_\theta = \nabla_\theta L_G$, $g_\phi = \nabla_\phi L_D$ and step size $\eta$, the
    players move by $-\eta x$ and $-\eta y$, with

    $$(I - \eta^2 D^2_{\theta\phi} L_G\, D^2_{\phi\theta} L_D)\,x = g_\theta - \eta D^2_{\theta\phi}
    L_G\, g_\phi, \qquad y = g_\phi - \eta D^2_{\phi\theta} L_D\, x.$$

    The optimizers receive $x$ and $y$, so use `optax.sgd(step_size)` for both. An iterative solver
    of JAX finds $x$ with products of $J$, which is linearized once: conjugate gradients for a
    zero-sum game, and BiCGSTAB otherwise. A step needs one gradient of each loss, and two products
    for each iteration. There is no memory.

    Args:
      step_size: $\eta$, above 0.
      zero_sum: whether $L_G = -L_D$, so that the matrix is symmetric.
      tolerance: the relative residual at which the solver stops, above 0.
      max_steps: the largest number of iterations, at least 1.

    Returns:
      A `Dynamics`.

    Raises:
      TypeError: If an argument has the wrong type.
      ValueError: If a number is out of range.

    Example:
      >>> import optax
      >>> from jaxgan import Pair, dynamics
      >>> optimizer = Pair(optax.sgd(0.1), optax.sgd(0.1))
      >>> cgd = dynamics.competitive_gradient_descent(step_size=0.1)

    References:
      Schaefer and Anandkumar, Competitive Gradient Descent, 2019,
      https://arxiv.org/abs/1905.12103

      Schaefer et al., Implicit competitive regularization in GANs, 2020,
      https://arxiv.org/abs/1910.05852
    """
    checks.real("step_size", step_size, 0.0, positive=True)
    checks.real("tolerance", tolerance, 0.0, positive=True)
    checks.integer("max_steps", max_steps)
    checks.boolean("zero_sum", zero_sum)
    sparse = jax.scipy.sparse.linalg
    solve = sparse.cg if zero_sum else sparse.bicgstab

    def direction(field: VectorField, params: Pair[Params], memory: PyTree) -> Direction:
        grads, push, found = jax.linearize(field, params, has_aux=True)
        mixed = _mixed_products(push, params)

        def matrix(x: Params) -> Params:
            return _plus(x, -(step_size**2), mixed.generator(mixed.discriminator(x)))

        target = _plus(grads.generator, -step_size, mixed.generator(grads.discriminator))
        x, _ = solve(matrix, target, tol=tolerance, maxiter=max_steps)
        y = _plus(grads.discriminator, -step_size, mixed.discriminator(x))
        return Direction(Pair(x, y), found)

    return moving_against(direction)


def lead(coupling: float) -> Dynamics:
    r"""Returns LEAD, which adds a force from the other player's last move.

    With the vector field $(F_\theta, F_\phi)$ of `simultaneous`, the optimizers receive

    $$F_\theta + c\, D_\phi F_\theta (\phi_t - \phi_{t-1}), \qquad
    F_\phi + c\, D_\theta F_\phi (\theta_t - \theta_{t-1}).$$

    With `optax.sgd(eta, momentum=beta)` for both, this is the paper's method with $\alpha = \eta
    c$. A step needs one gradient of each loss and one product with the Jacobian. The memory is a
    copy of all parameters.

    Args:
      coupling: $c$, the weight of the coupling.

    Returns:
      A `Dynamics`.

    Raises:
      TypeError: If `coupling` is not a number.
      ValueError: If `coupling` is non-finite.

    Example:
      >>> from jaxgan import dynamics
      >>> dynamics.lead(0.3).shares
      1

    References:
      Hemmat et al., LEAD: Min-Max Optimization from a Physical Perspective, 2023,
      https://arxiv.org/abs/2010.13846
    """
    checks.real("coupling", coupling)

    def direction(field: VectorField, params: Pair[Params], memory: PyTree) -> Direction:
        moved = jax.tree.map(jnp.subtract, params, memory)
        grads, push, found = jax.linearize(field, params, has_aux=True)
        mixed = _mixed_products(push, params)
        force = Pair(mixed.generator(moved.discriminator), mixed.discriminator(moved.generator))
        return Direction(_plus(grads, coupling, force), found, params)

    return moving_against(direction, lambda params: jax.tree.map(jnp.copy, params))


def _mixed_products(
    push: Callable[[Pair[Params]], Pair[Params]], params: Pair[Params]
) -> Pair[Callable[[Params], Params]]:
    """Returns products with the mixed derivatives of each player's loss."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    of_generator = lambda v: push(zeros._replace(discriminator=v)).generator
    of_discriminator = lambda v: push(zeros._replace(generator=v)).discriminator
    return Pair(of_generator, of_discriminator)


def _plus(a: PyTree, weight: Any, b: PyTree) -> PyTree:
    return jax.tree.map(lambda x, y: x + jnp.asarray(weight, x.dtype) * y, a, b)


def _dot(a: PyTree, b: PyTree) -> Any:
    return optax.tree.vdot(a, b)
