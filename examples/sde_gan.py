"""Trains a neural SDE as a GAN on irregular time series, as diffrax's example does.

    python examples/sde_gan.py --steps 10000 --overwrite

The generator is a stochastic differential equation with neural drift and diffusion. Its samples are
paths. The discriminator is a differential equation that a path drives. The loss and the settings
are those of https://docs.kidger.site/diffrax/examples/neural_sde. Needs Equinox and diffrax (pip
install equinox diffrax). Writes `paths.png` to `runs/sde_gan`.
"""

import functools
from typing import Any

import common
import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import jaxgan
from jaxgan import Pair, dynamics, optimizers

HIDDEN, WIDTH, NOISE, INITIAL_NOISE = 16, 16, 3, 5
TIMES = jnp.arange(64.0)  # 63 steps of size 1, also of the solver


def lipswish(x):
    return 0.909 * jax.nn.silu(x)


def mlp(num_inputs, num_outputs, key, **options):
    return eqx.nn.MLP(num_inputs, num_outputs, WIDTH, depth=1, key=key, **options)


class Field(eqx.Module):
    """Computes the right side of an equation: a vector, or a matrix that multiplies a control."""

    mlp: eqx.nn.MLP
    scale: jax.Array | float
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, key, *controls, scaled):
        mlp_key, scale_key = jax.random.split(key)
        self.shape = (HIDDEN, *controls)
        num = HIDDEN * (controls or (1,))[0]
        options = {"activation": lipswish, "final_activation": jnp.tanh}
        self.mlp = mlp(1 + HIDDEN, num, mlp_key, **options)
        self.scale = jax.random.uniform(scale_key, self.shape, minval=0.9, maxval=1.1)
        self.scale = self.scale if scaled else 1.0

    def __call__(self, t, y, args):
        return self.scale * self.mlp(jnp.append(y, t)).reshape(self.shape)


class Equation(eqx.Module):
    """Holds what both networks have: an initial value, two fields and a readout."""

    initial: eqx.nn.MLP
    drift: Field
    diffusion: Field
    readout: eqx.nn.Linear

    def __init__(self, key, num_initial, num_controls, *, scaled):
        keys = jax.random.split(key, 4)
        self.initial = mlp(num_initial, HIDDEN, keys[0])
        self.drift = Field(keys[1], scaled=scaled)
        self.diffusion = Field(keys[2], num_controls, scaled=scaled)
        self.readout = eqx.nn.Linear(HIDDEN, 1, key=keys[3])

    def solve(self, times, start, control, saveat):
        fields = diffrax.ODETerm(self.drift), diffrax.ControlTerm(self.diffusion, control)
        terms: Any = diffrax.MultiTerm(*fields)
        solver = diffrax.ReversibleHeun()
        interval = times[0], times[-1], 1.0
        solution = diffrax.diffeqsolve(terms, solver, *interval, self.initial(start), saveat=saveat)
        return jax.vmap(self.readout)(solution.ys)


class Generator(Equation):
    def __init__(self, key):
        super().__init__(key, INITIAL_NOISE, NOISE, scaled=True)

    def __call__(self, times, key):
        start_key, path_key = jax.random.split(key)
        span = {"t0": times[0], "t1": times[-1], "tol": 0.5}
        motion = diffrax.VirtualBrownianTree(**span, shape=(NOISE,), key=path_key)
        start = jax.random.normal(start_key, (INITIAL_NOISE,))
        return self.solve(times, start, motion, diffrax.SaveAt(ts=times))


class Discriminator(Equation):
    def __init__(self, key):
        super().__init__(key, num_initial=2, num_controls=1, scaled=False)

    def __call__(self, times, path):  # a path with NaN where it was not observed
        fill: Any = {"replace_nans_at_start": 0.0, "fill_forward_nans_at_end": True}
        path = diffrax.linear_interpolation(times, path, **fill)
        control = diffrax.LinearInterpolation(times, path)
        start = jnp.append(path[0], times[0])
        return self.solve(times, start, control, diffrax.SaveAt(t0=True, t1=True))


def make_networks(key):
    keys = jax.random.split(key)
    return Pair(Generator(keys[0]), Discriminator(keys[1]))


def init(key, batch):
    return eqx.filter(make_networks(key), eqx.is_inexact_array)


def losses(params, batch, key):
    """Returns the Wasserstein losses: the generator decreases the score of real minus fake."""
    _, static = eqx.partition(make_networks(jax.random.key(0)), eqx.is_inexact_array)
    generator, discriminator = eqx.combine(params, static)
    times, real = batch
    fake = jax.vmap(generator)(times, jax.random.split(key, len(times)))
    score = jax.vmap(discriminator)(times, real) - jax.vmap(discriminator)(times, fake)
    return Pair(score.mean(), -score.mean())


def mask(selects):
    return functools.partial(jax.tree_util.tree_map_with_path, selects)


def make_optimizer(learning_rate, *limits):
    """Returns RMSprop with larger steps of the initial value, and a projection of the weights."""
    is_initial = mask(lambda path, x: path[0].name == "initial")
    steps = [optax.rmsprop(learning_rate), optax.masked(optax.scale(10.0), is_initial)]
    for size in limits:  # each weight of a layer with this many outputs is at most 1 / size
        is_weight = mask(lambda p, x, size=size: p[-1].name == "weight" and x.shape[0] == size)
        steps.append(optax.masked(optimizers.clip_weights(1 / size), is_weight))
    return optax.chain(*steps)


def make_game(generator_rate=2e-5, discriminator_rate=1e-4):
    """Returns a game in which both players move at once. By default, they alternate."""
    optimizer = Pair(make_optimizer(generator_rate), make_optimizer(discriminator_rate, HIDDEN, 1))
    return jaxgan.game(jaxgan.objective(init, losses), optimizer, dynamics.simultaneous())


def make_paths(key, num):
    """Returns times and paths of a mean-reverting process, of which 30% are not observed."""
    keys = jax.random.split(key, 3)
    dt, per_time = 0.1, 10

    def step(y, x):
        t, noise = x
        y = y + dt * (0.02 * t - 0.1 * y) + jnp.sqrt(dt) * 0.8 * t / TIMES[-1] * noise
        return y, y

    start = jax.random.uniform(keys[0], (num,), minval=-1.0)
    fine = dt * jnp.arange(per_time * (len(TIMES) - 1))
    noise = jax.random.normal(keys[1], (len(fine), num))
    _, paths = jax.lax.scan(step, start, (fine, noise))
    paths = jnp.concatenate([start[None], paths[per_time - 1 :: per_time]]).T[..., None]
    hidden = jax.random.bernoulli(keys[2], 0.3, paths.shape)
    return jnp.broadcast_to(TIMES, (num, len(TIMES))), jnp.where(hidden, jnp.nan, paths)


def sample(params, key, num):
    """Returns paths of the generator, [num, times]."""
    _, static = eqx.partition(make_networks(jax.random.key(0)), eqx.is_inexact_array)
    generator = eqx.combine(params, static.generator)
    return jax.vmap(generator, (None, 0))(TIMES, jax.random.split(key, num))[..., 0]


def draw(path, real, fake):
    from matplotlib.figure import Figure

    figure = Figure((5, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, color, paths in (("data", "C0", real), ("samples", "C3", fake)):
        lines = axes.plot(TIMES, jnp.asarray(paths).T, color=color, alpha=0.6, linewidth=0.6)
        lines[0].set_label(name)
    axes.set(xlabel="time", ylabel="value")
    axes.legend()
    common.save_figure(path, figure)


def main():
    parser = common.make_parser(__doc__)
    add = functools.partial(parser.add_argument, metavar="")
    add("--steps", type=int, default=10_000, help="(default: 10000)")
    add("--batch-size", type=int, default=1024, help="(default: 1024)")
    add("--num-paths", type=int, default=8192, help="(default: 8192)")
    add("--learning-rate", type=float, default=2e-5, help="of the generator (default: 2e-5)")
    add("--seed", type=int, default=0, help="(default: 0)")
    common.add_workdir(parser, "runs/sde_gan")
    args = parser.parse_args()
    common.check_at_least_1(parser, args, "steps", "num_paths")
    with common.errors_in_a_line():
        keys = jax.random.split(jax.random.key(args.seed), 3)
        data = jax.jit(make_paths, static_argnums=1)(keys[0], args.num_paths)
        game = make_game(args.learning_rate, 5 * args.learning_rate)
        num = min(100, args.steps)
        options = {"num_steps": num, "batch_size": args.batch_size}
        steps = functools.partial(jaxgan.training.steps, game, **options)
        state = game.init(keys[1], data)
        train = jax.jit(steps, donate_argnums=0).lower(state, data).compile()
        common.begin(args, common.chosen(args))
    while state.step < args.steps:
        state, metrics = train(state, data)
        common.check_epoch(args, metrics, int(state.step) // num)
        common.say(f"step {int(state.step)}: score {float(metrics['generator_loss'].mean()):.4f}")
    fake = jax.jit(sample, static_argnums=2)(state.params.generator, keys[2], 50)
    real = diffrax.linear_interpolation  # fills the gaps of the paths
    real = jax.vmap(
        functools.partial(real, replace_nans_at_start=0.0, fill_forward_nans_at_end=True)
    )
    shown = real(*jax.tree.map(lambda x: x[:50], data))[..., 0]
    common.written(lambda: draw(args.workdir / "paths.png", shown, fake))
    common.say(f"Paths are in {args.workdir / 'paths.png'}")


if __name__ == "__main__":
    common.run(main)
