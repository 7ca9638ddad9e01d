"""Tests the classifier that ships with jaxgan, and the network of random weights."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from scripts import run_here

import jaxgan
from jaxgan import evaluation


@pytest.fixture(scope="module")
def digits():
    return jaxgan.datasets.load("mnist", "test", data_dir="embedded")


def test_classifier_is_accurate_on_some_test_digits(digits):
    """The accuracy is at least 98% on 1,000 of the harder digits. The slow test uses all."""
    found = evaluation.embed(evaluation.mnist_v1().probabilities, digits.images[2000:3000])
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found.argmax(1) == digits.labels[2000:3000]).mean() >= 0.98


@pytest.mark.slow
def test_classifier_accuracy_is_as_documented(digits):
    found = evaluation.embed(evaluation.mnist_v1().probabilities, digits.images)
    assert (found.argmax(1) == digits.labels).mean() == pytest.approx(0.9939, abs=2e-4)


def test_random_features_are_reproducible_and_distinguish_sets(digits):
    features = evaluation.embed(evaluation.random_v1(), digits.images[:600])
    # A second implementation in float64, with weights from numpy's fixed random stream.
    x = digits.images[0].astype(np.float64) / 127.5 - 1
    draw, channels = np.random.RandomState(0), 1
    for width in (32, 64, 128):
        kernel = draw.standard_normal((4, 4, channels, width)) * math.sqrt(2 / (16 * channels))
        size = -(-len(x) // 2)
        before = ((size - 1) * 2 + 4 - len(x)) // 2
        padded = np.zeros((2 * size + 4, 2 * size + 4, channels))
        padded[before : before + len(x), before : before + len(x)] = x
        cut = lambda i, j: padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4]  # noqa: B023
        x = np.array(
            [[np.tensordot(cut(i, j), kernel, 3) for j in range(size)] for i in range(size)]
        )
        x, channels = np.maximum(x, 0), width
    np.testing.assert_allclose(features[0], x.mean((0, 1)), rtol=1e-4, atol=1e-5)
    noisy = np.clip(digits.images[300:600].astype(int) + 40, 0, 255).astype(np.uint8)
    noisy = evaluation.embed(evaluation.random_v1(), noisy)
    near = evaluation.frechet(features[:300], features[300:])
    assert evaluation.frechet(features[:300], noisy) > 5 * near


def test_corrupted_weights_are_rejected(tmp_path):
    shipped = Path(jaxgan.__file__).parent / "data" / "classifiers" / "mnist-v1.npz"
    data = bytearray(shipped.read_bytes())
    assert len(data) < 5e6
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.npz").write_bytes(data)
    digest = hashlib.sha256(shipped.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=f"sha256 of .*flipped.npz must be {digest}; got"):
        evaluation.load_classifier(tmp_path / "flipped.npz", name="x", sha256=digest)
    with np.load(shipped, allow_pickle=False) as weights:
        convolutions, dense = 9 * 32 + 32 + 9 * 32 * 64 + 64, 12 * 12 * 64 * 128 + 128
        sizes = [weights[name].size for name in weights.files]
    assert sum(sizes) == convolutions + dense + 128 * 10 + 10 == 1_199_882
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz is corrupted or not the expected"):
        evaluation.load_classifier(tmp_path / "other.npz", name="x")
    assert evaluation.load_classifier(shipped, name="x", sha256=digest).name == "x"


def test_training_script_of_the_classifier_runs(tmp_path, load_few):
    load_few(500)
    script = Path(__file__).parents[2] / "examples" / "train_classifier.py"
    options = ["--data-dir", "embedded", "--steps", "2", "--batch-size", "20"]
    done = run_here(script, *options, "--output", str(tmp_path / "c.npz"))
    assert done.returncode == 0, done.stderr
    assert "accuracy on" in done.stdout
    assert evaluation.load_classifier(tmp_path / "c.npz", name="c").name == "c"


def test_missing_classifier_file_is_rejected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.npz must be an \.npz file.*; got no file"):
        evaluation.load_classifier(tmp_path / "a.npz", name="x")


@pytest.mark.parametrize("shape", [(32, 32, 1), (28, 28, 3)])
@pytest.mark.parametrize("function", [evaluation.mnist_v1().features, evaluation.random_v1()])
def test_images_of_wrong_shape_are_rejected(function, shape):
    with pytest.raises(ValueError, match=r"must be of shape \(28, 28, 1\); got"):
        function(np.zeros((2, *shape), np.float32))
