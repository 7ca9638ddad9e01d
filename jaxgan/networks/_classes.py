"""Functions with which networks use class labels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgan._internal import checks


def check_labels(labels: jax.Array | None, batch: int, num_classes: int | None) -> None:
    """Checks the range of labels, which must be given if and only if `num_classes` is.

    Args:
      labels: the labels of a batch, or None.
      batch: the number of examples.
      num_classes: the number of classes of a network, or None.

    Raises:
      TypeError: If the labels are not integers.
      ValueError: If only one of labels and `num_classes` is given, or the labels have another shape
        or are out of range.
    """
    expected = "None" if num_classes is None else "integers"
    fits, got = (labels is None) == (num_classes is None), checks.show(labels)
    advice = "Set the network's num_classes." if num_classes is None else ""
    checks.require(fits, "labels", f"{expected} with num_classes={num_classes}", got, advice)
    if labels is not None:
        checks.labels(labels, (batch,), num_classes)


def append_one_hot(x: jax.Array, labels: jax.Array | None, num_classes: int | None) -> jax.Array:
    """Checks labels, and appends them to features in one-hot form.

    Args:
      x: features, `[batch, n]`.
      labels: integers `[batch]`, or None if `num_classes` is None.
      num_classes: the number of classes, or None, which returns `x` unchanged.

    Returns:
      Floats `[batch, n + num_classes]`.

    Raises:
      TypeError: If the labels are not integers.
      ValueError: As `check_labels`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan.networks._classes import append_one_hot
      >>> print(append_one_hot(jnp.array([[5.0], [7.0]]), jnp.array([1, 0]), 2))
      [[5. 0. 1.]
       [7. 1. 0.]]
    """
    check_labels(labels, len(x), num_classes)
    if num_classes is None:
        return x
    return jnp.concatenate([x, jax.nn.one_hot(labels, num_classes, dtype=x.dtype)], axis=-1)


def add_projection(
    logits: jax.Array,
    labels: jax.Array | None,
    num_classes: int | None,
    product: Callable[[int], jax.Array],
) -> jax.Array:
    r"""Adds the product of features and the embedding of each label, $l + v_c^\top h(x)$.

    Args:
      logits: $l$, `[batch]`.
      labels: $c$, integers `[batch]`, or None if `num_classes` is None.
      num_classes: the number of classes, or None, which returns the logits unchanged.
      product: returns $v_c^\top h(x)$ for all classes, `[batch, num_classes]`, such as a dense
        layer without bias. Its columns are the embeddings.

    References:
      Miyato and Koyama, cGANs with Projection Discriminator, 2018, https://arxiv.org/abs/1802.05637
    """
    if num_classes is None or labels is None:
        return logits
    by_class = product(num_classes)
    return logits + jnp.take_along_axis(by_class, labels[:, None], axis=1)[:, 0]
