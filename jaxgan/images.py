"""Images as numbers and as files: scaling, grids, animations, curves.

Pillow and matplotlib are wanted only by the functions that write files
(`pip install 'jaxgan[examples]'`).
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks

__all__ = ["animate", "curves", "grid", "normalize", "quantize", "save"]

_LARGEST = 2**30  # bytes of one picture, so that a slip of the hand does not take all memory
_LONGEST = 655_350  # milliseconds that a GIF can show one picture


def normalize(images: jax.Array | np.ndarray) -> jax.Array:
    """Scales uint8 images to floats in [-1, 1], $x / 127.5 - 1$.

    Args:
      images: uint8, any shape; a jax or numpy array.

    Returns:
      float32 in [-1, 1], of the same shape.

    Raises:
      TypeError: the images are not uint8.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> print(jaxgan.images.normalize(jnp.array([0, 255], jnp.uint8)))
      [-1.  1.]
    """
    if not isinstance(images, jax.Array | np.ndarray):
        raise TypeError(f"normalize takes uint8 images; got {checks.show(images)}, no array.")
    if images.dtype != np.uint8:
        raise TypeError(
            f"normalize takes uint8 images; got {images.dtype}. Are they scaled already?"
        )
    return jnp.asarray(images, jnp.float32) / 127.5 - 1.0


def quantize(images: ArrayLike) -> np.ndarray:
    """Scales images in [-1, 1] to uint8, the inverse of `normalize`; values outside are clipped.

    Args:
      images: float in [-1, 1], any shape.

    Returns:
      A numpy uint8 array of the same shape.

    Raises:
      TypeError: the images are not floats.
      ValueError: some are not finite.

    Example:
      >>> import jaxgan, numpy as np
      >>> print(jaxgan.images.quantize(np.array([-1.0, -0.6, 1.0, 1.2])))
      [  0  51 255 255]
    """
    images = _as_array("quantize", images)
    if not jnp.issubdtype(images.dtype, np.floating):  # numpy does not know bfloat16
        raise TypeError(
            f"quantize takes floats in [-1, 1]; got {images.dtype}. Are they bytes already?"
        )
    checks.finite("Images", images)
    return np.clip(np.rint((images.astype(np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def grid(images: ArrayLike, columns: int | None = None, *, scale: int = 1) -> np.ndarray:
    """Lays a batch of images out as one picture, row by row.

    Args:
      images: `[num, height, width, channels]`, uint8 or float in [-1, 1].
      columns: images in a row; by default as square as can be. A last row that is not full is
        filled with black.
      scale: how many pixels wide and high each pixel becomes, at least 1.

    Returns:
      uint8 `[rows * height * scale, columns * width * scale, channels]`.

    Raises:
      TypeError: the images are neither uint8 nor floats.
      ValueError: `images` is not a batch of one image or more, values are not finite, `columns` or
        `scale` is below 1, or the picture would have more than a gigabyte.

    Example:
      >>> import jaxgan, numpy as np
      >>> jaxgan.images.grid(np.zeros((64, 28, 28, 1), np.uint8)).shape
      (224, 224, 1)
    """
    images = _as_array("grid", images)
    if images.ndim != 4 or images.size == 0:
        raise ValueError(
            "grid takes images [num, height, width, channels], at least one of each; got "
            f"{images.shape}."
        )
    num, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(num))) if columns is None else columns
    checks.integer("columns", columns)
    checks.integer("scale", scale)
    rows = -(-num // columns)
    shape = (rows * height * scale, columns * width * scale, channels)
    if math.prod(shape) > _LARGEST:
        raise ValueError(
            f"A picture must have at most {_LARGEST} bytes; with {columns=} and {scale=} it would "
            f"be {shape}."
        )
    images = images if images.dtype == np.uint8 else quantize(images)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:num] = images
    picture = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = picture.reshape(rows * height, columns * width, channels)
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def save(path: str | Path, picture: np.ndarray) -> None:
    """Writes one picture to a file; the suffix says the format.

    Args:
      path: where to; its folder must exist.
      picture: uint8 `[height, width, channels]` with 1 or 3 channels, as `grid` makes.

    Raises:
      ImportError: Pillow is not installed.
      FileNotFoundError: there is no such folder.
      TypeError: `path` is no path, or the picture no array.
      ValueError: the picture has another shape or dtype, or Pillow knows no such suffix.

    Example:
      >>> import pathlib, tempfile
      >>> import jaxgan, numpy as np
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> jaxgan.images.save(folder / "black.png", np.zeros((8, 8, 1), np.uint8))
    """
    image, path = _pillow(picture), _writable(path)
    from PIL import Image

    if path.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"path must end in a suffix of pictures, such as .png; got {path}.")
    image.save(path)


def animate(
    path: str | Path, pictures: Iterable[np.ndarray | str | Path], *, seconds: float = 5.0
) -> None:
    """Writes pictures as an animated GIF that loops for ever and rests on the last one.

    Args:
      path: where to, ending in `.gif`; its folder must exist.
      pictures: one or more, all of one shape: as `save` takes them, or files it wrote.
      seconds: how long one round takes, the rest of one second excepted; positive, and at most 654
        for each picture.

    Raises:
      ImportError: Pillow is not installed.
      FileNotFoundError: there is no such folder, or no such picture.
      TypeError: `path` is no path, a picture no array, or `seconds` no number.
      ValueError: there is no picture, one has a wrong shape or dtype or is no picture's file,
        `path` does not end in `.gif`, or `seconds` is out of range.

    Example:
      >>> import pathlib, tempfile
      >>> import jaxgan, numpy as np
      >>> pictures = [np.full((8, 8, 1), grey, np.uint8) for grey in (0, 128, 255)]
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> jaxgan.images.animate(folder / "brighter.gif", pictures, seconds=1.0)
    """
    path = _writable(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"path must end in .gif; got {path}.")
    if isinstance(pictures, str | bytes) or not isinstance(pictures, Iterable):
        raise TypeError(f"pictures must be several of them; got {checks.show(pictures)}.")
    pictures = list(pictures)
    if not pictures:
        raise ValueError("animate needs at least one picture; got none.")
    checks.real("seconds", seconds, positive=True)
    if seconds * 1000 / len(pictures) + 1000 > _LONGEST:
        raise ValueError(
            f"A GIF shows a picture for at most {_LONGEST / 1000} s; got {seconds=} for "
            f"{len(pictures)}."
        )
    frames = [_opened(x) if isinstance(x, str | Path) else _pillow(x) for x in pictures]
    if len(sizes := sorted({frame.size for frame in frames})) > 1:
        raise ValueError(
            f"All pictures must be of one size; got {checks.show(sizes)}, width and height. Leave "
            "out those of another run, or make all with the same grid."
        )
    # GIF counts in hundredths of a second, and many viewers slow down anything below two of them.
    each = max(20, round(seconds * 1000 / len(frames)))
    durations = [each] * (len(frames) - 1) + [each + 1000]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def curves(
    path: str | Path, panels: Mapping[str, Mapping[str, ArrayLike]], *, xlabel: str = "epoch"
) -> None:
    """Draws curves over epochs, one panel beside the other.

    Args:
      path: where to; the suffix says the format; its folder must exist.
      panels: for each panel's title its curves, for each curve's label its values: `[points]`, or
        `[members, points]`, of which the median is drawn, and a band from the least to the most.
      xlabel: what the values are counted in, from 1.

    Raises:
      ImportError: matplotlib is not installed.
      FileNotFoundError: there is no such folder.
      TypeError: `path` is no path, `panels` no mapping of mappings, or values no numbers.
      ValueError: there is no panel, a panel has no curve or a curve no point, values are not
        `[points]` or `[members, points]`, or matplotlib knows no such suffix.

    Example:
      >>> import pathlib, tempfile
      >>> import jaxgan
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> panels = {"loss": {"generator": [2.0, 1.5], "discriminator": [1.0, 1.2]}}
      >>> jaxgan.images.curves(folder / "curves.png", panels)
    """
    path = _writable(path)
    checked = {title: _checked_lines(title, lines) for title, lines in _items("panels", panels)}
    try:
        from matplotlib.figure import Figure  # not pyplot: no display, no global state
    except ImportError as error:
        raise ImportError("Curves need matplotlib: pip install 'jaxgan[examples]'.") from error
    figure = Figure(figsize=(4.5 * len(panels), 3.2), layout="constrained")
    if path.suffix.lower().lstrip(".") not in (known := figure.canvas.get_supported_filetypes()):
        raise ValueError(f"path must end in one of {sorted(known)}; got {path}.")
    for axes, (title, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], checked.items(), strict=True
    ):
        for label, values in lines.items():
            members = np.atleast_2d(values)
            x, marker = range(1, members.shape[1] + 1), "." if members.shape[1] < 3 else None
            axes.plot(x, np.median(members, axis=0), label=label, marker=marker)
            if len(members) > 1:
                axes.fill_between(x, members.min(axis=0), members.max(axis=0), alpha=0.2)
        axes.set(title=title, xlabel=xlabel)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def _as_array(name: str, images: Any) -> np.ndarray:
    try:
        return np.asarray(images)
    except ValueError as error:  # lists of lists of several lengths
        raise TypeError(f"{name} takes images; got {checks.show(images)}.") from error


def _writable(path: str | Path) -> Path:
    path = checks.path("path", path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path} cannot be written: its folder does not exist. Make the folder first."
        )
    return path


def _items(name: str, mapping: Any) -> Any:
    if not isinstance(mapping, Mapping):
        raise TypeError(f"{name} must be a mapping, such as a dict; got {checks.show(mapping)}.")
    if not mapping:
        raise ValueError(f"{name} must hold at least one; got {mapping}.")
    return mapping.items()


def _checked_lines(title: str, lines: Any) -> dict[str, np.ndarray]:
    checked = {}
    for label, values in _items(f"panel {title!r}", lines):
        array = _as_array(f"curve {label!r}", values)
        if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, np.floating):
            raise TypeError(f"curve {label!r} must be of numbers; got {checks.show(values)}.")
        if array.ndim not in (1, 2) or not array.size:
            raise ValueError(
                f"curve {label!r} must be [points] or [members, points]; got {array.shape}."
            )
        checked[label] = array
    return checked


def _import_pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Writing pictures needs Pillow: pip install 'jaxgan[examples]'."
        ) from error
    return Image


def _opened(path: str | Path) -> Any:
    image, path = _import_pillow(), checks.path("picture", path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; it must be a picture's file, as images.save writes. Give its path "
            "as it is, or leave it out."
        )
    try:
        with image.open(path) as file:
            return file.copy()
    except (image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged, or no picture: {error}. Write it anew with images.save, or leave "
            "it out."
        ) from error


def _pillow(picture: Any) -> Any:
    image = _import_pillow()
    if not isinstance(picture, np.ndarray | jax.Array):
        raise TypeError(
            "A picture must be uint8 [height, width, 1 or 3], as grid makes; got "
            f"{checks.show(picture)}."
        )
    picture = np.asarray(picture)
    if (
        not picture.size
        or picture.ndim != 3
        or picture.shape[-1] not in (1, 3)
        or picture.dtype != np.uint8
    ):
        raise ValueError(
            "A picture must be uint8 [height, width, 1 or 3], as grid makes; "
            f"got {picture.dtype} {picture.shape}."
        )
    return image.fromarray(picture[:, :, 0] if picture.shape[-1] == 1 else picture)
