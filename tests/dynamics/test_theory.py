"""Compares dynamics on small games with closed forms, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgan
from jaxgan import Pair, dynamics

RATE = 0.1


@pytest.fixture(autouse=True)
def _in_float64():
    with jax.enable_x64(True):
        yield


def bilinear(params, batch, key):
    """The game x y, in which both players have one number."""
    product = params.generator * params.discriminator
    return Pair(product, -product)


def dirac(params, batch, key):
    """Dirac-GAN with R1: one real point at 0, one fake point, a linear discriminator."""
    f = lambda x: -jnp.log(2 * jax.nn.sigmoid(-x))  # f(0) = 0, f'(0) = 1 / 2
    fake = f(params.generator * params.discriminator)
    return Pair(-fake, fake + 0.5 * batch[0] * params.discriminator**2)


def game_of(losses, moves, optimizer=None):
    init = lambda key, batch: Pair(jnp.array(1.0), jnp.array(0.5))
    optimizer = optax.sgd(RATE) if optimizer is None else optimizer
    return jaxgan.game(jaxgan.objective(init, losses), Pair(optimizer, optimizer), moves)


def update_map(game, batch=(), steps=1, at=None):
    """Returns an update as a function of all floats of the state, and their values."""
    state = game.init(jax.random.key(0), batch)
    at = at or state.params
    state = state.replace(params=at)
    leaves, structure = jax.tree.flatten(state)
    places = [i for i, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.floating)]

    def run(floats):
        new = dict(zip(places, floats, strict=True))
        # After the first step, optimistic gradients have a previous gradient.
        rest = [jnp.zeros((), bool) if x.dtype == bool else x for x in leaves]
        moved = jax.tree.unflatten(structure, [new.get(i, x) for i, x in enumerate(rest)])
        for _ in range(steps):
            moved, _ = game.update(moved, batch)
        return jnp.stack([jax.tree.leaves(moved)[i] for i in places])

    return run, jnp.stack([leaves[i] for i in places])


def spectral_radius(game, **options):
    run, floats = update_map(game, **options)
    return np.abs(np.linalg.eigvals(np.asarray(jax.jacobian(run)(floats)))).max()


def optimistic_radius(h):
    """The largest root of z^2 - (1 + 2 i h) z + i h, the optimistic recursion."""
    return np.abs(np.roots([1, -(1 + 2j * h), 1j * h])).max()


def lookahead_radius(h, steps, alpha):
    return np.abs(1 - alpha + alpha * (1 + 1j * h) ** steps)


RADII = {
    "simultaneous": (dynamics.simultaneous(), np.sqrt(1 + RATE**2)),
    "alternating": (dynamics.alternating(), 1.0),
    "extragradient": (dynamics.extragradient(), np.sqrt((1 - RATE**2) ** 2 + RATE**2)),
    "past_extragradient": (dynamics.past_extragradient(), optimistic_radius(RATE)),
    "optimistic": (dynamics.optimistic(), optimistic_radius(RATE)),
    "consensus": (dynamics.consensus(1.0), np.sqrt((1 - RATE) ** 2 + RATE**2)),
    "adjusted": (
        dynamics.symplectic_adjustment(1.0, align=False),
        np.sqrt((1 - RATE) ** 2 + RATE**2),
    ),
    "aligned": (dynamics.symplectic_adjustment(1.0), np.sqrt((1 - RATE) ** 2 + RATE**2)),
    "competitive": (
        dynamics.competitive_gradient_descent(RATE, zero_sum=True, tolerance=1e-14),
        1 / np.sqrt(1 + RATE**2),
    ),
    "competitive, bicgstab": (
        dynamics.competitive_gradient_descent(RATE, tolerance=1e-14),
        1 / np.sqrt(1 + RATE**2),
    ),
    "lead": (dynamics.lead(1.0), optimistic_radius(RATE)),
}


@pytest.mark.parametrize("name", RADII)
def test_spectral_radius_of_the_bilinear_game(name):
    """At a singular value times step size of 0.1; figures in docs/dynamics.md."""
    moves, expected = RADII[name]
    np.testing.assert_allclose(spectral_radius(game_of(bilinear, moves)), expected, atol=1e-10)


def test_figures_of_the_bilinear_game():
    """The closed forms above are the figures of the papers, to five digits."""
    found = {name: round(float(expected), 5) for name, (_, expected) in RADII.items()}
    assert found["simultaneous"] == 1.00499
    assert found["extragradient"] == 0.99504
    assert found["optimistic"] == 0.99494
    assert found["consensus"] == found["adjusted"] == 0.90554
    assert found["competitive"] == 0.99504
    assert round(lookahead_radius(RATE, 10, 0.5), 4) == 0.9009


def test_lookahead_on_the_bilinear_game():
    game = game_of(bilinear, dynamics.lookahead(10, 0.5, dynamics.simultaneous()))
    found = spectral_radius(game, steps=10)
    np.testing.assert_allclose(found, lookahead_radius(RATE, 10, 0.5), atol=1e-10)


def test_nested_lookahead_equals_the_algorithm():
    """Two levels of averages, written out for twelve steps."""
    inner = dynamics.lookahead(3, 0.5, dynamics.simultaneous())
    game = game_of(bilinear, dynamics.lookahead(6, 0.25, inner))
    state, fast = game.init(jax.random.key(0)), np.array([1.0, 0.5])
    slow = {3: fast, 6: fast}
    for step in range(1, 13):
        state, _ = game.update(state)
        fast = fast + RATE * np.array([-fast[1], fast[0]])
        for period, alpha in ((3, 0.5), (6, 0.25)):
            if step % period == 0:
                fast = slow[period] = slow[period] + alpha * (fast - slow[period])
    np.testing.assert_allclose([float(x) for x in state.params], fast, atol=1e-12)


def test_negative_momentum_is_an_optax_recipe():
    """Alternating steps with momentum -1/2 converge; the characteristic polynomial by hand."""
    momentum, h = -0.5, 0.5
    optimizer = optax.sgd(h, momentum=momentum)
    found = spectral_radius(game_of(bilinear, dynamics.alternating(), optimizer))
    # y' = y + v', v' = m v + h x;  x' = x - w', w' = m w + h y'.
    matrix = np.array(
        [
            [1 - h * h, -h, -momentum, -h * momentum],
            [h, 1, 0, momentum],
            [h * h, h, momentum, h * momentum],
            [h, 0, 0, momentum],
        ]
    )
    expected = np.abs(np.linalg.eigvals(matrix)).max()
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert found < 1


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_eigenvalues_of_the_dirac_gan(gamma):
    """-gamma/2 +- sqrt(gamma^2/4 - f'(0)^2), of simultaneous steps at the solution."""
    game = game_of(dirac, dynamics.simultaneous())
    zero = Pair(jnp.array(0.0), jnp.array(0.0))
    run, floats = update_map(game, batch=jnp.array([gamma]), at=zero)
    jacobian = np.asarray(jax.jacobian(run)(floats))
    found = (np.linalg.eigvals(jacobian) - 1) / RATE
    root = np.sqrt(complex(gamma**2 / 4 - 0.25))
    expected = np.array([-gamma / 2 + root, -gamma / 2 - root])
    # The eigenvalues are equal at gamma = 1, where rounding changes them by its square root.
    atol = 1e-7 if gamma == 1.0 else 1e-10
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), atol=atol)


def test_best_weight_of_r1_on_the_dirac_gan_is_twice_the_slope():
    """The slowest eigenvalue is fastest at gamma = 2 |f'(0)| = 1."""
    gammas = np.linspace(0.2, 2.0, 181)
    slowest = [
        max((-g / 2 + s * np.sqrt(complex(g * g / 4 - 0.25))).real for s in (1, -1)) for g in gammas
    ]
    np.testing.assert_allclose(gammas[np.argmin(slowest)], 1.0, atol=1e-6)


def test_alternating_dirac_gan_is_stable_where_simultaneous_is_not():
    zero = Pair(jnp.array(0.0), jnp.array(0.0))
    radii = [
        spectral_radius(game_of(dirac, moves), batch=jnp.array([0.0]), at=zero)
        for moves in (dynamics.simultaneous(), dynamics.alternating())
    ]
    np.testing.assert_allclose(radii, [np.sqrt(1 + (RATE / 2) ** 2), 1.0], atol=1e-10)


def test_unrolled_generator_descends_through_the_discriminator():
    """On x y, five ascent steps of the discriminator add 5 h x to y, so the slope is y + 10 h x."""
    game = game_of(bilinear, dynamics.unrolled(5))
    state = game.init(jax.random.key(0))
    after, metrics = game.update(state)
    x, y = 1.0, 0.5
    np.testing.assert_allclose(after.params.generator, x - RATE * (y + 10 * RATE * x), atol=1e-12)
    np.testing.assert_allclose(after.params.discriminator, y + RATE * x, atol=1e-12)
    np.testing.assert_allclose(metrics["generator_loss"], x * (y + 5 * RATE * x), atol=1e-12)


def test_extra_adam_equals_the_algorithm():
    """Algorithm 4 of Gidel et al., written out for two steps."""
    game = game_of(bilinear, dynamics.extragradient(), optax.adam(RATE, b1=0.5))
    state = game.init(jax.random.key(0))
    w, m, v, count = np.array([1.0, 0.5]), np.zeros(2), np.zeros(2), 0
    field = lambda w: np.array([w[1], -w[0]])
    for _ in range(2):
        state, _ = game.update(state)
        point = w
        for _ in range(2):
            g, count = field(point), count + 1
            m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g * g
            step = m / (1 - 0.5**count) / (np.sqrt(v / (1 - 0.999**count)) + 1e-8)
            point = w - RATE * step
        w = point
    np.testing.assert_allclose([float(x) for x in state.params], w, atol=1e-12)
