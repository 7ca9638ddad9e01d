"""The container that every source of images ends in."""

import dataclasses
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)  # arrays have no single ==
class Dataset:
    """Images, their labels, and where they came from. Unpacks as `images, labels`.

    Attributes:
      images: uint8 `[num, height, width, channels]`, a numpy array.
      labels: int32 `[num]`, a numpy array.
      source: one line, for people: what was read, from which folder.
    """

    images: np.ndarray
    labels: np.ndarray
    source: str

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.images, self.labels))
