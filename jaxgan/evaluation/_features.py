"""What turns images into the features and classes that metrics are computed from.

A feature function is any `images -> [num, dims]`. Two ship: the classifier "mnist-v1", which knows
digits, and a network of random weights, which was trained on nothing. A score that holds in both
was not won by pleasing one net.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan._internal import checks, npz
from jaxgan.networks import DigitClassifier

FeatureFn = Callable[[jax.Array], jax.Array]
"""Images, float32 in [-1, 1], `[num, height, width, channels]`, to features, `[num, dims]`."""

_MNIST_V1 = Path(__file__).parent.parent / "data" / "classifiers" / "mnist-v1.npz"
_MNIST_V1_SHA256 = "3a335a34d6256b4be0a44f7f934598e6dd2d684ccfa83f55b12d534091648ac2"


class FeatureExtractor(NamedTuple):
    """A classifier to evaluate with. Of images, float32 in [-1, 1], `[num, height, width, 1]`.

    Attributes:
      name: to print beside a score, such as "mnist-v1".
      features: images to features, `[num, dims]`.
      probabilities: images to probabilities of the classes, `[num, num_classes]`.
    """

    name: str
    features: FeatureFn
    probabilities: FeatureFn


@functools.cache
def mnist_v1() -> FeatureExtractor:
    """Loads the fixed classifier of digits, 99.39 % right on MNIST's test set.

    `jaxgan.networks.DigitClassifier`, trained on the 60,000 training digits by
    `examples/train_classifier.py` and then fixed, so that scores can be compared. Features are the
    128 units before the classes, after their ReLU. Its weights, 2.4 MB of float16, ship with
    jaxgan, and their sha256 is checked.

    A Frechet distance of these features is a "Frechet classifier distance, mnist-v1", and not an
    FID, which is of Inception's features.

    Returns:
      A `FeatureExtractor` of 28 x 28 x 1 images.

    Raises:
      ValueError: the weights are damaged.

    Example:
      >>> import jaxgan
      >>> from jaxgan import evaluation
      >>> digits, labels = jaxgan.datasets.load("mnist", "test", data_dir="embedded")
      >>> classifier = evaluation.mnist_v1()
      >>> print(evaluation.embed(classifier.probabilities, digits[:8]).argmax(axis=1), labels[:8])
      [7 2 1 0 4 1 4 9] [7 2 1 0 4 1 4 9]
    """
    return load_classifier(_MNIST_V1, name="mnist-v1", sha256=_MNIST_V1_SHA256)


def load_classifier(path: str | Path, *, name: str, sha256: str | None = None) -> FeatureExtractor:
    """Loads what `examples/train_classifier.py` has written.

    Args:
      path: an `.npz` of the parameters of `jaxgan.networks.DigitClassifier`.
      name: to print beside a score.
      sha256: of the file, in hexadecimal; by default not checked.

    Returns:
      A `FeatureExtractor`.

    Raises:
      FileNotFoundError: there is no such file.
      TypeError: `path` is no path, or `name` or `sha256` no text.
      ValueError: it has another digest, or other arrays than the network, or some are not finite.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan import evaluation
      >>> folder = pathlib.Path(jaxgan.__file__).parent / "data" / "classifiers"
      >>> evaluation.load_classifier(folder / "mnist-v1.npz", name="mine").name
      'mine'
    """
    path = checks.path("path", path)
    for what, text in (("name", name), ("sha256", sha256)):
        if not isinstance(text, str) and not (what == "sha256" and text is None):
            raise TypeError(f"{what} must be text; got {checks.show(text)}.")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; it must be an .npz file, as examples/train_classifier.py writes."
        )
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"{path} is damaged: its sha256 is {found}, not {sha256}. Install jaxgan again, or "
            "fetch the file anew."
        )
    net = DigitClassifier()
    params = _parameters(path, net)

    def apply(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        _check_size(images, (28, 28, 1), name)
        return net.apply({"params": params}, images, train=False)

    return FeatureExtractor(
        name=name,
        features=lambda images: apply(images)[0],
        probabilities=lambda images: jax.nn.softmax(apply(images)[1]),
    )


def random_v1(image_shape: tuple[int, int, int] = (28, 28, 1)) -> FeatureFn:
    """Makes a feature function of fixed random weights, of 128 features, for images of any kind.

    Three 4 x 4 convolutions of stride 2 with 32, 64 and 128 channels, ReLU after each, and the mean
    over the pixels that are left. Weights are normal with He's variance, drawn by numpy's
    `RandomState(0)`, whose stream is frozen, so they are the same everywhere.

    Args:
      image_shape: height, width and channels of the images; both sides at least 8.

    Returns:
      Images to features, float32 `[num, 128]`.

    Raises:
      ValueError: the images are too small; and, when called, of another shape.

    Example:
      >>> import numpy as np
      >>> from jaxgan import evaluation
      >>> evaluation.embed(evaluation.random_v1(), np.zeros((3, 28, 28, 1), np.uint8)).shape
      (3, 128)

    References:
      Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, 2020,
      https://arxiv.org/abs/2002.09797 (random embeddings, for images unlike ImageNet's)
    """
    if not isinstance(image_shape, tuple | list) or len(image_shape) != 3:
        raise TypeError(
            f"image_shape must be height, width and channels; got {checks.show(image_shape)}."
        )
    for side, least in zip(image_shape, (8, 8, 1), strict=True):
        checks.integer(f"A side of image_shape={checks.show(image_shape)}", side, least, 2**16)
    image_shape = (image_shape[0], image_shape[1], image_shape[2])
    draw, channels = np.random.RandomState(0), image_shape[2]
    kernels: list[np.ndarray] = []
    for features in (32, 64, 128):
        std = np.sqrt(2 / (16 * channels))
        kernel = std * draw.standard_normal((4, 4, channels, features))
        kernels.append(kernel.astype(np.float32))
        channels = features

    def features_of(images: jax.Array) -> jax.Array:
        _check_size(images, image_shape, "random-v1")
        x = images
        for kernel in kernels:
            x = jax.lax.conv_general_dilated(
                x, jnp.asarray(kernel), (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x)
        return x.mean(axis=(1, 2))

    return features_of


def _check_size(images: jax.Array, expected: tuple[int, ...], name: str) -> None:
    if images.shape[1:] != expected:
        raise ValueError(f"{name} sees images of {expected}; got {images.shape[1:]}.")


def _parameters(path: Path, net: DigitClassifier) -> Any:
    wanted = jax.eval_shape(
        functools.partial(net.init, train=False),
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32),
    )["params"]
    shapes = {f"{layer}/{k}": v.shape for layer, own in wanted.items() for k, v in own.items()}
    found = npz.read(path, shapes, [np.float16, np.float32])
    params: dict[str, dict[str, jax.Array]] = {layer: {} for layer in wanted}
    for name, array in found.items():
        checks.finite(f"{name} of {path}", array)
        layer, _, own = name.partition("/")
        params[layer][own] = jnp.asarray(array, jnp.float32)
    return params
