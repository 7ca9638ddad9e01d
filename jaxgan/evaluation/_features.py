"""Functions that compute features and class probabilities of images.

A feature function is any `images -> [num, dims]`. jaxgan includes two: the digit classifier
"mnist-v1" and a network of random weights. An improvement in both does not depend on one network.
"""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan._internal import checks, npz
from jaxgan.networks import DigitClassifier

_MNIST_V1 = Path(__file__).parent.parent / "data" / "classifiers" / "mnist-v1.npz"
_MNIST_V1_SHA256 = "3a335a34d6256b4be0a44f7f934598e6dd2d684ccfa83f55b12d534091648ac2"


class FeatureFn(Protocol):
    """Computes features of images: `images -> features`.

    Images are float32 in [-1, 1], `[num, height, width, channels]`; features are floats
    `[num, dims]`.
    """

    def __call__(self, images: jax.Array, /) -> jax.Array: ...


class FeatureExtractor(NamedTuple):
    """Holds the two functions of a classifier. Both take float32 images in [-1, 1].

    Attributes:
      name: for reports of scores, such as "mnist-v1".
      features: images to features, `[num, dims]`.
      probabilities: images to probabilities of the classes, `[num, num_classes]`.
    """

    name: str
    features: FeatureFn
    probabilities: FeatureFn


@functools.cache
def mnist_v1() -> FeatureExtractor:
    """Loads the fixed classifier of digits, with an accuracy of 99.39 % on the MNIST test set.

    The network is `jaxgan.networks.DigitClassifier`. `examples/train_classifier.py` trained it on
    the 60,000 training digits. Its weights are fixed, so that scores can be compared. Features are
    the 128 units before the classes, after their ReLU. The weights, 2.4 MB of float16, are part
    of jaxgan, and their sha256 is checked.

    Report a Frechet distance of these features as "Frechet classifier distance, mnist-v1". Reserve
    the name FID for features of the Inception network.

    Returns:
      A `FeatureExtractor` of 28 x 28 x 1 images.

    Raises:
      ValueError: If the weights are corrupted.

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
    """Loads a classifier that `examples/train_classifier.py` wrote.

    Args:
      path: an `.npz` of the parameters of `jaxgan.networks.DigitClassifier`.
      name: for reports of scores.
      sha256: of the file, in hexadecimal; None accepts every file.

    Returns:
      A `FeatureExtractor`.

    Raises:
      FileNotFoundError: If there is no such file.
      TypeError: If `path` is not a path, or if `name` or `sha256` is not a string.
      ValueError: If the file has another digest or other arrays, or if a weight is not finite.

    Example:
      >>> import pathlib, jaxgan
      >>> from jaxgan import evaluation
      >>> folder = pathlib.Path(jaxgan.__file__).parent / "data" / "classifiers"
      >>> evaluation.load_classifier(folder / "mnist-v1.npz", name="mine").name
      'mine'
    """
    path = checks.path("path", path)
    checks.text("name", name)
    checks.text("sha256", "" if sha256 is None else sha256)
    expected = "an .npz file, as examples/train_classifier.py writes"
    checks.require(path.is_file(), f"{path}", expected, "no file", error=FileNotFoundError)
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    expected, advice = f"{sha256}", "Reinstall jaxgan or download the file again."
    checks.require(sha256 in (None, found), f"sha256 of {path}", expected, found, advice)
    net = DigitClassifier()
    params = _parameters(path, net)

    def apply(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        _check_size(images, (28, 28, 1), name)
        output = net.apply({"params": params}, images, train=False)
        return cast(tuple[jax.Array, jax.Array], output)

    return FeatureExtractor(
        name=name,
        features=lambda images: apply(images)[0],
        probabilities=lambda images: jax.nn.softmax(apply(images)[1]),
    )


def random_v1(image_shape: tuple[int, int, int] = (28, 28, 1)) -> FeatureFn:
    """Creates a feature function of fixed random weights, with 128 features, for any images.

    The network has three 4 x 4 convolutions of stride 2 with 32, 64 and 128 channels, a ReLU after
    each, and the mean over the remaining pixels. The weights are normal with the variance of He.
    They come from `numpy.random.RandomState(0)`, whose stream is the same on every machine.

    Args:
      image_shape: height, width and channels of the images. Both sides are at least 8.

    Returns:
      Images to features, float32 `[num, 128]`.

    Raises:
      TypeError: If `image_shape` is not three integers.
      ValueError: If the images are too small, or, when called, of another shape.

    Example:
      >>> import numpy as np
      >>> from jaxgan import evaluation
      >>> evaluation.embed(evaluation.random_v1(), np.zeros((3, 28, 28, 1), np.uint8)).shape
      (3, 128)

    References:
      Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, 2020,
      https://arxiv.org/abs/2002.09797 (random embeddings, for images unlike ImageNet's)
    """
    got = checks.show(image_shape)
    is_shape = isinstance(image_shape, tuple | list) and len(image_shape) == 3
    checks.require(is_shape, "image_shape", "height, width and channels", got, error=TypeError)
    for side, least in zip(image_shape, (8, 8, 1), strict=True):
        checks.integer(f"A side of image_shape={got}", side, least, 2**16)
    expected, kernels = tuple(image_shape), _random_kernels(image_shape[2])

    def features(images: jax.Array) -> jax.Array:
        _check_size(images, expected, "random-v1")
        x = images
        for kernel in kernels:
            x = jax.lax.conv_general_dilated(
                x, jnp.asarray(kernel), (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x)
        return x.mean(axis=(1, 2))

    return features


def _random_kernels(channels: int) -> list[np.ndarray]:
    draw, kernels = np.random.RandomState(0), []
    for features in (32, 64, 128):
        std = np.sqrt(2 / (16 * channels))
        kernel = std * draw.standard_normal((4, 4, channels, features))
        kernels.append(kernel.astype(np.float32))
        channels = features
    return kernels


def _check_size(images: jax.Array, expected: tuple[int, ...], name: str) -> None:
    size = images.shape[1:]
    checks.require(size == expected, f"Images for {name}", f"of shape {expected}", f"{size}")


def _parameters(path: Path, net: DigitClassifier) -> dict[str, dict[str, jax.Array]]:
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
