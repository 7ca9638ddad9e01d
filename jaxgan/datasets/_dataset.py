"""Defines the container of a dataset."""

import dataclasses
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no single ==
class Dataset:
    """Holds images, their labels and their source. Unpacks as `images, labels`.

    Attributes:
      images: uint8 `[num, height, width, channels]`, a numpy array.
      labels: int32 `[num]`, a numpy array.
      source: one line that names what was read, and from which folder.
    """

    images: np.ndarray
    labels: np.ndarray
    source: str

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.images, self.labels))
