"""Tests features of images in batches, and the errors for invalid images."""

import numpy as np
import pytest

import jaxgan
from jaxgan import evaluation


@pytest.fixture(scope="module")
def digits():
    return jaxgan.datasets.load("mnist", "test", data_dir="embedded")


def test_features_do_not_depend_on_batch_size_or_image_dtype(digits):
    features = evaluation.mnist_v1().features
    whole = evaluation.embed(features, digits.images[:11])
    assert whole.shape == (11, 128)
    assert (whole >= 0).all()  # after a ReLU
    parts = evaluation.embed(features, digits.images[:11], batch_size=4)
    np.testing.assert_allclose(parts, whole, atol=1e-4)
    scaled = np.asarray(jaxgan.images.normalize(digits.images[:11]))
    np.testing.assert_array_equal(evaluation.embed(features, scaled), whole)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 28, 28, 1), np.int32), TypeError, "must be uint8, or floats .* got int32"),
        (np.full((2, 28, 28, 1), 200.0), ValueError, r"must be in \[-1, 1\]; got 200 to 200"),
        (np.full((2, 28, 28, 1), np.nan), ValueError, "must be finite"),
        (np.eye(28).reshape(1, 28, 28, 1), ValueError, r"some below 0; got 0 to 1\..* 2 \* x - 1"),
        (np.zeros((0, 28, 28, 1), np.uint8), ValueError, "without empty axes"),
        (
            np.zeros((28, 28, 1), np.uint8),
            ValueError,
            r"\[num, height, width, channels\]; got shape \(28, 28, 1\)",
        ),
        (np.zeros((2, 32, 32, 1), np.uint8), ValueError, r"must be of shape \(28, 28, 1\); got"),
        (np.zeros((2, 28, 28, 3), np.uint8), ValueError, r"must be of shape \(28, 28, 1\); got"),
        ([[1.0], [2.0, 3.0]], TypeError, "must be of numbers"),
    ],
)
def test_invalid_images_are_rejected(images, error, message):
    with pytest.raises(error, match=message):
        evaluation.embed(evaluation.mnist_v1().features, images)


def test_blank_and_correctly_scaled_images_are_accepted(digits):
    flat = lambda images: images.reshape(images.shape[0], -1)
    for blank in (0.0, 0.5, 1.0):
        seen = evaluation.embed(flat, np.full((3, 2, 2, 1), blank))
        np.testing.assert_array_equal(seen, np.full((3, 4), blank))
    halves = digits.images[:9] / np.float32(255)  # in [0, 1]
    with pytest.raises(ValueError, match="some below 0; got 0 to 1"):
        evaluation.embed(flat, halves)
    seen = evaluation.embed(flat, 2 * halves - 1)
    np.testing.assert_allclose(seen, evaluation.embed(flat, digits.images[:9]), atol=1e-6)


def test_progress_is_called_after_each_batch(digits):
    flat, calls = lambda images: images.reshape(images.shape[0], -1), []
    evaluation.embed(flat, digits.images[:11], batch_size=4, progress=calls.append)
    assert calls == [4, 8, 11]


def test_failure_with_channels_first_images_is_explained():
    dense = lambda images: images.reshape(len(images), 64, 3)[:, :, 0] @ np.ones((60, 1))
    with pytest.raises(TypeError, match=r"\nThe shape looks channels-first; pass np.transpose"):
        evaluation.embed(dense, np.zeros((2, 3, 8, 8), np.uint8))
    flat = lambda images: images.reshape(len(images), -1)
    assert evaluation.embed(flat, np.zeros((2, 3, 8, 8), np.uint8)).shape == (2, 192)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x, ValueError, r"must be float \[num, dims\]; got shape \(2, 4, 4, 1\)"),
        (lambda x: x[:1, 0, :, 0], ValueError, r"here \(2, dims\); got shape \(1, 4\)"),
        (lambda x: x[:, 0, :, 0] > 0, TypeError, r"must be float \[num, dims\]; got bool"),
        (lambda x: {"a": x}, TypeError, r"must be float \[num, dims\]; got {'a'"),
    ],
)
def test_invalid_results_of_a_feature_function_are_rejected(function, error, message):
    with pytest.raises(error, match=message):
        evaluation.embed(function, np.zeros((2, 4, 4, 1), np.uint8))
