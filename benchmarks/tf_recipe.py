"""Trains the MNIST GAN in TensorFlow with XLA, plain tensors and data on the device, without Keras.

Three alternatives were slower. A loop over variables took 1.3 times as long as the loop that
carries tensors. Steps that take and return tensors took 1.4 times as long as the step over
variables. The third alternative kept all parameters of a network in one vector.
"""

import functools
import itertools
import os
from collections.abc import Callable
from typing import Any

import harness
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides start-up messages
try:
    import tensorflow as tf
except ImportError:
    tf = None

Step = Callable[[list, Any], tuple[list, tuple]]


def arms(images: np.ndarray, batch_size: int, latent_dim: int, width: int) -> list[harness.Arm]:
    """Returns arms with one call per step and one call per epoch; empty without TensorFlow.

    Args:
      images: uint8 `[num, height, width, channels]`.
      batch_size: images per step.
      latent_dim: dimension of a latent.
      width: units of a hidden layer.
    """
    if tf is None:
        return []
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)  # other frameworks share the memory
    on_device = tf.constant(images.reshape(len(images), -1))
    steps = len(images) // batch_size

    def order():
        # Outside of XLA, whose sort is slower than this shuffle.
        shuffled = tf.random.shuffle(tf.range(len(images)))[: steps * batch_size]
        return tf.reshape(shuffled, [steps, batch_size])

    step = functools.partial(train_step, on_device, latent_dim)
    arms = []
    for name, make in {"one call a step": by_step, "one loop an epoch": by_epoch}.items():
        run = make(step, start(latent_dim, width, on_device.shape[1]), order)
        seconds = harness.timed(run)[1] - harness.timed(run)[1]  # the first run compiles
        arms.append(harness.Arm(f"tensorflow, XLA, {name}", run, steps, seconds))
    return arms


def start(latent_dim: int, width: int, pixels: int) -> list:
    """Returns the step count, then parameters and Adam's two moments of each network."""

    def perceptron(*sizes: int) -> list:
        pairs = itertools.pairwise(sizes)
        layers = [(tf.random.normal([m, n], stddev=m**-0.5), tf.zeros([n])) for m, n in pairs]
        return list(itertools.chain(*layers))

    networks = [perceptron(latent_dim, width, width, pixels), perceptron(pixels, width, width, 1)]
    states = [[p, list(map(tf.zeros_like, p)), list(map(tf.zeros_like, p))] for p in networks]
    return [tf.constant(0), *states]


def by_step(step: Step, state: list, order: Callable) -> Callable[[], None]:
    variables = tf.nest.map_structure(tf.Variable, state)

    @tf.function(jit_compile=True)
    def update(indices):
        values = tf.nest.map_structure(tf.convert_to_tensor, variables)
        new, _ = step(values, indices)
        tf.nest.map_structure(lambda variable, value: variable.assign(value), variables, new)

    def run() -> None:
        for indices in tf.unstack(order()):
            update(indices)
        variables[0].numpy()  # waits for the last step

    return run


def by_epoch(step: Step, state: list, order: Callable) -> Callable[[], None]:
    @tf.function(jit_compile=True)
    def epoch(state, order):
        steps = order.shape[0]

        def body(i, *state):
            return [i + 1, *step(list(state), order[i])[0]]

        start = [tf.constant(0), *state]
        return tf.while_loop(lambda i, *_: i < steps, body, start, maximum_iterations=steps)[1:]

    def run() -> None:
        nonlocal state
        state = epoch(state, order())
        state[0].numpy()  # waits for the last step

    return run


def train_step(images, latent_dim: int, state: list, indices) -> tuple[list, tuple]:
    """Returns the next state, and the losses of discriminator and generator."""
    count, generator, discriminator = state
    count += 1
    real = tf.cast(tf.gather(images, indices), tf.float32) / 127.5 - 1.0
    latents = tf.random.stateless_normal([real.shape[0], latent_dim], tf.stack([0, count]))
    with tf.GradientTape() as generator_tape:
        generator_tape.watch(generator[0])
        fake = tf.tanh(forward(generator[0], latents))
    with tf.GradientTape() as tape:
        tape.watch(discriminator[0])
        value = cross_entropy(forward(discriminator[0], real), 0.9)
        value += cross_entropy(forward(discriminator[0], fake), 0.0)
    grads = tape.gradient(value, discriminator[0])
    discriminator = adam(count, discriminator, grads)
    with tf.GradientTape() as tape:
        tape.watch(fake)
        generator_value = cross_entropy(forward(discriminator[0], fake), 1.0)
    grads = generator_tape.gradient(fake, generator[0], tape.gradient(generator_value, fake))
    generator = adam(count, generator, grads)
    return [count, generator, discriminator], (value, generator_value)


def forward(parameters: list, x):
    *hidden, (kernel, bias) = zip(parameters[::2], parameters[1::2], strict=True)
    for hidden_kernel, hidden_bias in hidden:
        x = tf.nn.leaky_relu(x @ hidden_kernel + hidden_bias, 0.2)
    return x @ kernel + bias


def cross_entropy(logits, target: float):
    targets = tf.fill(logits.shape, target)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))


def adam(count, network: list, grads: list) -> list:
    parameters, means, squares = network
    steps = tf.cast(count, tf.float32)
    means = [0.9 * m + 0.1 * g for m, g in zip(means, grads, strict=True)]
    squares = [0.999 * v + 0.001 * g * g for v, g in zip(squares, grads, strict=True)]
    rate, scale = 1e-3 / (1.0 - 0.9**steps), tf.math.rsqrt(1.0 - 0.999**steps)
    moves = [rate * m / (tf.sqrt(v) * scale + 1e-8) for m, v in zip(means, squares, strict=True)]
    return [[p - move for p, move in zip(parameters, moves, strict=True)], means, squares]
