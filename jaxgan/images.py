"""Scales images, arranges them in grids, and writes pictures, animations and plots to files.

Only the functions that write files need Pillow or matplotlib (`pip install 'jaxgan[examples]'`).
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxgan._internal import checks, whole_file
from jaxgan.types import PyTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

__all__ = ["animate", "curves", "grid", "normalize", "normalize_batch", "quantize", "save"]

_MAXIMUM_BYTES = 2**30  # of one picture, so that a large scale cannot exhaust the memory
_MAXIMUM_MILLISECONDS = 655_350  # the longest time for which a GIF can show a picture
_PICTURE = "uint8 [height, width, 1 or 3], as images.grid returns"


def normalize(images: jax.Array | np.ndarray) -> jax.Array:
    """Scales uint8 images to floats in [-1, 1], $x / 127.5 - 1$.

    Args:
      images: uint8, any shape, as a JAX or numpy array.

    Returns:
      float32 in [-1, 1], of the same shape.

    Raises:
      TypeError: If the images are not a uint8 array.

    Example:
      >>> import jax.numpy as jnp, jaxgan
      >>> print(jaxgan.images.normalize(jnp.array([0, 255], jnp.uint8)))
      [-1.  1.]
    """
    is_uint8 = isinstance(images, jax.Array | np.ndarray) and images.dtype == np.uint8
    checks.require(is_uint8, "images", "a uint8 array", checks.show(images), error=TypeError)
    return jnp.asarray(images, jnp.float32) / 127.5 - 1.0


def normalize_batch(batch: PyTree) -> PyTree:
    """Scales the uint8 images of a batch to floats in [-1, 1], and leaves other arrays unchanged.

    `jaxgan.training` applies this function to each batch by default.

    Args:
      batch: a pytree of arrays with a batch axis, such as images or `(images, labels)`. uint8
        arrays `[batch, ...]` of rank 2 or more are images; those of rank 1 are labels.

    Returns:
      The batch, with images as float32 in [-1, 1].

    Raises:
      TypeError: If a leaf of the pytree is not an array.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxgan.images import normalize_batch
      >>> images, labels = jnp.array([[0, 255]], jnp.uint8), jnp.array([7], jnp.uint8)
      >>> images, labels = normalize_batch((images, labels))
      >>> print(images, labels)
      [[-1.  1.]] [7]
    """

    def scale(x: Any) -> Any:
        is_array = hasattr(x, "dtype") and hasattr(x, "ndim")
        checks.require(is_array, "A batch", "arrays", checks.shown(x), error=TypeError)
        return normalize(x) if x.dtype == np.uint8 and x.ndim > 1 else x

    return jax.tree.map(scale, batch)


def quantize(images: ArrayLike) -> np.ndarray:
    """Scales images from [-1, 1] to uint8, as the inverse of `normalize`.

    Args:
      images: float in [-1, 1], any shape, as an array of any library or a list. Values outside
        [-1, 1] are clipped.

    Returns:
      A numpy uint8 array of the same shape.

    Raises:
      TypeError: If the images are not floats.
      ValueError: If a value is non-finite.

    Example:
      >>> import jaxgan, numpy as np
      >>> print(jaxgan.images.quantize(np.array([-1.0, -0.6, 1.0, 1.2])))
      [  0  51 255 255]
    """
    values = _as_numpy("images", images)
    is_float = jnp.issubdtype(values.dtype, jnp.floating)  # numpy's issubdtype excludes bfloat16
    checks.require(is_float, "images", "floats in [-1, 1]", checks.show(images), error=TypeError)
    checks.finite("images", values)
    return np.clip(np.rint((values.astype(np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def grid(images: ArrayLike, columns: int | None = None, *, scale: int = 1) -> np.ndarray:
    """Arranges a batch of images in one picture, row by row.

    Args:
      images: `[num, height, width, channels]`, uint8 or float in [-1, 1]. Floats without negative
        values are probably in [0, 1], and raise an error; `quantize` accepts them. Values outside
        [-1, 1] are clipped, unless none is negative.
      columns: the number of images in a row, at least 1; by default $\\lceil \\sqrt{num} \\rceil$.
        An incomplete last row is filled with 0, which is black.
      scale: an integer factor that enlarges height and width, at least 1.

    Returns:
      uint8 `[rows * height * scale, columns * width * scale, channels]`.

    Raises:
      TypeError: If the images are neither uint8 nor floats, or `columns` or `scale` is not an
        integer.
      ValueError: If the images do not have rank 4, are empty or have their channels first, a value
        is non-finite, floats have no negative value (unless all are equal), `columns` or `scale` is
        below 1, or the picture would exceed 1 GiB. If the images are split over processes.

    Example:
      >>> import jaxgan, numpy as np
      >>> jaxgan.images.grid(np.zeros((64, 28, 28, 1), np.uint8)).shape
      (224, 224, 1)
    """
    batch = _as_numpy("images", images)
    form = "[num, height, width, channels] without empty axes"
    advice = checks.channels_first(batch.shape)
    fits = batch.ndim == 4 and batch.size > 0 and not advice
    checks.require(fits, "images", form, checks.show(images), advice)
    num, height, width, channels = batch.shape
    columns = int(np.ceil(np.sqrt(num))) if columns is None else columns
    checks.integer("columns", columns)
    checks.integer("scale", scale)
    rows = -(-num // columns)
    shape = (rows * height * scale, columns * width * scale, channels)
    fits = math.prod(shape) <= _MAXIMUM_BYTES
    got = f"shape {shape} with {columns=} and {scale=}"
    checks.require(fits, "The picture", f"at most {_MAXIMUM_BYTES} bytes", got)
    if batch.dtype != np.uint8:
        quantized = quantize(batch)  # rejects other dtypes and non-finite values first
        if batch.min() >= 0:
            checks.images_in_range("images", batch)
        batch = quantized
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:num] = batch
    picture = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = picture.reshape(rows * height, columns * width, channels)
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def save(path: str | Path, picture: np.ndarray) -> None:
    """Writes one picture to a file.

    Args:
      path: the file to write; its suffix determines the format, and its folder must exist.
      picture: uint8 `[height, width, channels]` with 1 or 3 channels, as `grid` returns.

    Raises:
      ImportError: If Pillow is not installed.
      FileNotFoundError: If the folder does not exist.
      TypeError: If `path` is not a path, or the picture is not an array.
      ValueError: If the picture has the wrong shape or dtype, or Pillow does not support the
        suffix.

    Example:
      >>> import pathlib, tempfile
      >>> import jaxgan, numpy as np
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> jaxgan.images.save(folder / "black.png", np.zeros((8, 8, 1), np.uint8))
    """
    image, path = _to_pillow(picture), _output(path)
    form = _pillow().registered_extensions().get(path.suffix.lower())
    is_known = form is not None
    checks.require(is_known, "path", "a name ending in a picture suffix, such as .png", f"{path}")
    with whole_file.replace(path) as file:
        image.save(file, format=form, title=path.stem)  # the title of a PDF


def animate(
    path: str | Path, pictures: Iterable[np.ndarray | str | Path], *, seconds: float = 5.0
) -> None:
    """Writes pictures to a looping GIF that shows the last picture for one second longer.

    Args:
      path: the file to write, ending in `.gif`; its folder must exist.
      pictures: at least one picture, all of the same size. Each is an array, as in `save`, or the
        path of a picture file.
      seconds: the duration of one loop in seconds, without the additional second; positive, and at
        most 654 times the number of pictures.

    Raises:
      ImportError: If Pillow is not installed.
      FileNotFoundError: If the folder or a picture file does not exist.
      TypeError: If `path` is not a path, `pictures` is not an iterable of arrays and paths, or
        `seconds` is not a number.
      ValueError: If `pictures` is empty, a picture has the wrong shape or dtype, pictures differ in
        size, a picture file is corrupted, `path` does not end in `.gif`, or `seconds` is out of
        range.

    Example:
      >>> import pathlib, tempfile
      >>> import jaxgan, numpy as np
      >>> pictures = [np.full((8, 8, 1), gray, np.uint8) for gray in (0, 128, 255)]
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> jaxgan.images.animate(folder / "brighter.gif", pictures, seconds=1.0)
    """
    path = _output(path)
    checks.require(path.suffix.lower() == ".gif", "path", "a name ending in .gif", f"{path}")
    is_many = isinstance(pictures, Iterable) and not isinstance(pictures, str | bytes)
    form = "a list of pictures or of their paths"
    checks.require(is_many, "pictures", form, checks.show(pictures), error=TypeError)
    pictures = list(pictures)
    checks.require(len(pictures) > 0, "pictures", "a list of at least one picture", "none")
    checks.real("seconds", seconds, positive=True)
    fits = seconds * 1000 / len(pictures) + 1000 <= _MAXIMUM_MILLISECONDS
    got = f"{seconds} for {len(pictures)} pictures"
    checks.require(fits, "seconds", "at most 654 times the number of pictures", got)
    frames = [_open(x) if isinstance(x, str | Path) else _to_pillow(x) for x in pictures]
    sizes = sorted({frame.size for frame in frames})
    checks.require(len(sizes) == 1, "pictures", "all of the same size", checks.show(sizes))
    # GIF stores durations in units of 10 ms, and many viewers slow down pictures below 20 ms.
    each = max(20, round(seconds * 1000 / len(frames)))
    durations = [each] * (len(frames) - 1) + [each + 1000]
    options = {"append_images": frames[1:], "duration": durations, "loop": 0}
    with whole_file.replace(path) as file:
        frames[0].save(file, format="GIF", save_all=True, **options)


def curves(
    path: str | Path, panels: Mapping[str, Mapping[str, ArrayLike]], *, xlabel: str = "epoch"
) -> None:
    """Plots curves in panels side by side, and writes the plot to a file.

    Args:
      path: the file to write; its suffix determines the format, and its folder must exist.
      panels: a dict from titles to panels. Each panel is a dict from labels to the values of a
        curve. Values `[points]` are drawn as one line. Values `[members, points]` are drawn as the
        median over the members, with a band from the minimum to the maximum.
      xlabel: the label of the horizontal axis, which starts at 1.

    Raises:
      ImportError: If matplotlib is not installed.
      FileNotFoundError: If the folder does not exist.
      TypeError: If `path` is not a path, `panels` is not a mapping of mappings, or values are not
        real numbers.
      ValueError: If a mapping is empty, values are not `[points]` or `[members, points]`, or
        matplotlib does not support the suffix.

    Example:
      >>> import pathlib, tempfile
      >>> import jaxgan
      >>> folder = pathlib.Path(tempfile.mkdtemp())
      >>> panels = {"loss": {"generator": [2.0, 1.5], "discriminator": [1.0, 1.2]}}
      >>> jaxgan.images.curves(folder / "curves.png", panels)
    """
    path = _output(path)
    _check_mapping("panels", panels)
    values = {title: _curves(f"panels[{title!r}]", lines) for title, lines in panels.items()}
    try:
        from matplotlib.figure import Figure  # unlike pyplot, needs no display or global state
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'jaxgan[examples]'.") from error
    figure = Figure(figsize=(4.5 * len(panels), 3.2), layout="constrained")
    known, suffix = figure.canvas.get_supported_filetypes(), path.suffix.lower().lstrip(".")
    checks.require(suffix in known, "path", f"a name ending in one of {sorted(known)}", f"{path}")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, lines) in zip(all_axes, values.items(), strict=True):
        for label, members in lines.items():
            _draw(axes, label, members)
        axes.set(title=title, xlabel=xlabel)
        axes.grid(alpha=0.3)
        axes.legend()
    with whole_file.replace(path) as file:
        figure.savefig(file, format=suffix, dpi=120)


def _draw(axes: "Axes", label: str, members: np.ndarray) -> None:
    """Draws the median of `[members, points]`, with a band if there are several members."""
    x, marker = range(1, members.shape[1] + 1), "." if members.shape[1] < 3 else None
    axes.plot(x, np.median(members, axis=0), label=label, marker=marker)
    if len(members) > 1:
        axes.fill_between(x, members.min(axis=0), members.max(axis=0), alpha=0.2)


def _as_numpy(name: str, x: object) -> np.ndarray:
    """Converts an array of any library, or a list of numbers, to numpy."""
    checks.readable(name, x)
    try:
        return np.asarray(x)
    except Exception:  # lists of different lengths, or any error of another library
        raise TypeError(f"{name} must be an array; got {checks.show(x)}.") from None


def _output(path: str | Path) -> Path:
    """Checks the path of a file to write."""
    path = checks.path("path", path)
    is_there = path.parent.is_dir()
    checks.require(is_there, "path", "in an existing folder", f"{path}", error=FileNotFoundError)
    return path


def _check_mapping(name: str, value: object) -> None:
    checks.instance(name, value, Mapping, "a mapping, such as a dict")
    checks.require(bool(value), name, "a non-empty mapping", checks.show(value))


def _curves(name: str, lines: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Checks the curves of one panel, and returns each as `[members, points]`."""
    _check_mapping(name, lines)
    return {label: _members(f"{name}[{label!r}]", line) for label, line in lines.items()}


def _members(name: str, line: ArrayLike) -> np.ndarray:
    values = _as_numpy(name, line)
    is_real = values.dtype.kind in "biuf" or jnp.issubdtype(values.dtype, jnp.floating)
    checks.require(is_real, name, "real numbers", checks.show(line), error=TypeError)
    fits = values.ndim in (1, 2) and values.size > 0
    checks.require(fits, name, "[points] or [members, points]", f"shape {values.shape}")
    return np.atleast_2d(values)


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Pictures need Pillow: pip install 'jaxgan[examples]'.") from error
    return Image


def _open(path: str | Path) -> "Image":
    """Reads a picture file."""
    pillow, path = _pillow(), checks.file("picture", path)
    try:
        with pillow.open(path) as file:
            return file.copy()
    except (pillow.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} must be a picture; got a corrupted file: {error}.") from error


def _to_pillow(picture: np.ndarray | jax.Array) -> "Image":
    """Checks a picture, and converts it to a Pillow image."""
    pillow, is_array = _pillow(), isinstance(picture, np.ndarray | jax.Array)
    checks.require(is_array, "picture", _PICTURE, checks.show(picture), error=TypeError)
    pixels = np.asarray(picture)
    fits = pixels.ndim == 3 and pixels.size > 0 and pixels.shape[-1] in (1, 3)
    got = f"{pixels.dtype} of shape {pixels.shape}"
    advice = checks.channels_first(pixels.shape, ndim=3)
    checks.require(fits and pixels.dtype == np.uint8, "picture", _PICTURE, got, advice)
    return pillow.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels)
