"""Tests scaling and grids against numpy, and files by reading them with Pillow."""

import os
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import images


def test_quantize_inverts_normalize_for_every_value():
    values = np.arange(256, dtype=np.uint8)
    scaled = images.normalize(jnp.asarray(values))
    np.testing.assert_allclose(scaled, values / 127.5 - 1, atol=1e-6)
    assert scaled.dtype == jnp.float32
    np.testing.assert_array_equal(images.quantize(scaled), values)


def test_normalize_rejects_scaled_images():
    with pytest.raises(
        TypeError, match=r"images must be a uint8 array; got float32 of shape \(3,\)"
    ):
        images.normalize(jnp.zeros(3))


def test_quantize_rejects_integers_and_nan():
    with pytest.raises(TypeError, match=r"images must be floats in \[-1, 1\]; got int32"):
        images.quantize(np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="finite"):
        images.quantize(np.array([0.0, np.nan]))


def test_grid_places_images_in_rows():
    batch = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)
    picture = images.grid(batch, 3)
    assert picture.shape == (4, 9, 1)
    np.testing.assert_array_equal(picture[::2, ::3, 0], [[0, 1, 2], [3, 4, 5]])


def test_grid_rejects_unscaled_floats_and_quantize_accepts_them():
    unit = np.linspace(0, 1, 32, dtype=np.float32).reshape(2, 4, 4, 1)
    with pytest.raises(ValueError, match=r"images must be in \[-1, 1\], some below 0; got 0 to 1"):
        images.grid(unit)
    with pytest.raises(ValueError, match=r"images must be in \[-1, 1\]; got 0 to 255"):
        images.grid(255 * unit)
    assert images.grid(2 * unit - 0.5).max() == 255  # clips, as a generator may be unbounded
    assert images.grid(images.quantize(unit)).min() == 128
    images.grid(unit / 500 - 1)  # a generator may make almost black images


def test_grid_keeps_each_image_upright():
    batch = np.random.default_rng(0).integers(0, 256, (4, 3, 2, 3), dtype=np.uint8)
    picture = images.grid(batch, 2)
    np.testing.assert_array_equal(picture[3:, 2:], batch[3])


def test_grid_pads_scales_and_quantizes():
    picture = images.grid(np.ones((5, 2, 2, 1), np.float32), scale=2)
    assert picture.shape == (8, 12, 1)
    np.testing.assert_array_equal(picture[4:, 8:], 0)
    np.testing.assert_array_equal(picture[:4], 255)


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((28, 28, 1), {}, r"images must be \[num, height.* got uint8 of shape \(28, 28, 1\)"),
        ((0, 2, 2, 1), {}, "images must be .* without empty axes"),
        ((2, 3, 8, 8), {}, r"got uint8 of shape \(2, 3, 8, 8\)\. The shape looks channels-first"),
        ((4, 2, 2, 1), {"columns": 0}, "columns must be at least 1; got 0"),
        (
            (4, 2, 2, 1),
            {"scale": 20_000},
            r"at most 1073741824 bytes; got shape \(80000, 80000, 1\)",
        ),
        ((4, 2, 2, 1), {"scale": 0}, "scale must be at least 1; got 0"),
    ],
)
def test_grid_rejects_invalid_arguments(shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        images.grid(np.zeros(shape, np.uint8), **arguments)


@pytest.mark.parametrize("channels", [1, 3])
def test_saved_picture_is_read_back_by_pillow(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (4, 6, channels), dtype=np.uint8)
    images.save(tmp_path / "a.png", picture)
    read = np.asarray(Image.open(tmp_path / "a.png")).reshape(4, 6, channels)
    np.testing.assert_array_equal(read, picture)


def test_animate_shows_every_frame_and_the_last_one_longest(tmp_path):
    pictures = [np.full((4, 6, 1), 100 * i, np.uint8) for i in range(3)]
    images.save(tmp_path / "last.png", pictures[2])
    images.animate(tmp_path / "a.gif", [*pictures[:2], tmp_path / "last.png"], seconds=0.6)
    with Image.open(tmp_path / "a.gif") as gif:
        durations, values = [], []
        for i in range(gif.n_frames):
            gif.seek(i)
            durations.append(gif.info["duration"])
            values.append(int(np.asarray(gif.convert("L"))[0, 0]))
    assert durations == [200, 200, 1200]
    np.testing.assert_allclose(values, [0, 100, 200], atol=2)


@pytest.mark.parametrize(
    ("function", "name", "argument"),
    [
        (images.save, "a.png", np.zeros((4, 4, 1), np.uint8)),
        (images.animate, "a.gif", [np.zeros((4, 4, 1), np.uint8)]),
        (images.curves, "a.png", {"a": {"b": [1.0]}}),
    ],
)
def test_failed_write_keeps_the_previous_picture(tmp_path, monkeypatch, function, name, argument):
    function(tmp_path / name, argument)
    before = (tmp_path / name).read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        function(tmp_path / name, argument)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, before)]


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".webp", ".pdf", ".tiff"])
def test_suffix_determines_the_format(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    images.save(path, pixels)
    ours = path.read_bytes()
    Image.fromarray(pixels).save(path)
    pillow = path.read_bytes()
    assert len(ours) == len(pillow)
    assert ours[:4] == pillow[:4]


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (3, TypeError, "path must be the path of a file or folder; got 3"),
        ("a.nothing", ValueError, r"path must be a name ending in .*a\.nothing"),
        (
            "nowhere/a.png",
            FileNotFoundError,
            "path must be in an existing folder; got nowhere/a.png",
        ),
    ],
)
@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (images.save, np.zeros((4, 4, 1), np.uint8)),
        (images.animate, [np.zeros((4, 4, 1), np.uint8)]),
        (images.curves, {"a": {"b": [1.0]}}),
    ],
)
def test_output_paths_are_checked(tmp_path, monkeypatch, function, argument, path, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        function(path, argument)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["a.png", "a.PNG.txt"])
def test_animation_path_must_end_in_gif(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"path must be a name ending in \.gif; got a\."):
        images.animate(path, [np.zeros((4, 4, 1), np.uint8)])


@pytest.mark.parametrize(
    ("pictures", "error", "message"),
    [
        ([], ValueError, "pictures must be a list of at least one picture; got none"),
        ("a.png", TypeError, "pictures must be a list of pictures .*; got 'a.png'"),
        ([None], TypeError, "picture must be uint8 .*; got None"),
        (
            [np.zeros(size, np.uint8) for size in ((4, 4, 1), (8, 6, 1))],
            ValueError,
            r"pictures must be all of the same size; got \[\(4, 4\), \(6, 8\)\]",
        ),
        (["missing.png"], FileNotFoundError, r"picture must be an existing file; got missing\.png"),
        (["corrupted.png"], ValueError, r"corrupted\.png must be a picture; got a corrupted file"),
    ],
)
def test_animate_rejects_invalid_pictures(tmp_path, monkeypatch, pictures, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corrupted.png").write_bytes(b"GIF89a")
    with pytest.raises(error, match=message):
        images.animate("a.gif", pictures)


def test_animate_limits_seconds(tmp_path):
    pictures = [np.full((4, 4, 1), gray, np.uint8) for gray in (0, 255)]
    images.animate(tmp_path / "a.gif", pictures, seconds=2 * 654)
    with pytest.raises(ValueError, match=r"seconds must be at most 654 .*; got 1309 for 2 "):
        images.animate(tmp_path / "a.gif", pictures, seconds=1309)
    with pytest.raises(ValueError, match="seconds must be positive and finite; got 0"):
        images.animate(tmp_path / "a.gif", pictures, seconds=0)


@pytest.mark.parametrize(
    ("picture", "error"),
    [
        ("b.png", TypeError),
        (np.zeros((4, 4), np.uint8), ValueError),
        (np.zeros((4, 4, 2), np.uint8), ValueError),
        (np.zeros((4, 0, 1), np.uint8), ValueError),
        (np.zeros((4, 4, 1)), ValueError),
    ],
)
def test_save_rejects_invalid_pictures(tmp_path, picture, error):
    with pytest.raises(error, match=r"picture must be uint8 \[height, width, 1 or 3\].*; got"):
        images.save(tmp_path / "a.png", picture)


def test_save_names_a_channels_first_picture(tmp_path):
    message = r"got uint8 of shape \(3, 8, 8\)\. The shape looks channels-first; pass np.transp"
    with pytest.raises(ValueError, match=message):
        images.save(tmp_path / "a.png", np.zeros((3, 8, 8), np.uint8))


@pytest.mark.parametrize(
    ("panels", "error", "message"),
    [
        (3, TypeError, "panels must be a mapping, such as a dict; got 3"),
        ({}, ValueError, r"panels must be a non-empty mapping; got \{\}"),
        ({"a": {}}, ValueError, r"panels\['a'\] must be a non-empty mapping"),
        ({"a": {"b": ["x"]}}, TypeError, r"panels\['a'\]\['b'\] must be real numbers; got \['x'\]"),
        ({"a": {"b": [1j]}}, TypeError, r"\['b'\] must be real numbers; got \[1j\]"),
        (
            {"a": {"b": [[1], [1, 2]]}},
            TypeError,
            r"\['b'\] must be an array; got \[\[1\], \[1, 2\]\]",
        ),
        ({"a": {"b": [[[1.0]]]}}, ValueError, r"must be \[points\] or .* got shape \(1, 1, 1\)"),
        ({"a": {"b": []}}, ValueError, r"must be \[points\] or .* got shape \(0,\)"),
    ],
)
def test_curves_rejects_invalid_panels(tmp_path, panels, error, message):
    with pytest.raises(error, match=message):
        images.curves(tmp_path / "a.png", panels)


class Wrapped:
    """Imitates an array of another library, such as a tensor."""

    def __array__(self, dtype=None, copy=None):
        return np.array([[-1.0, 1.0]], np.float32)


@pytest.mark.parametrize(
    "values", [Wrapped(), jnp.array([[-1.0, 1.0]], jnp.bfloat16), [[-1.0, 1.0]]]
)
def test_arrays_of_other_libraries_are_accepted(tmp_path, values):
    np.testing.assert_array_equal(images.quantize(values), [[0, 255]])
    images.curves(tmp_path / "a.png", {"a": {"b": values}})
    assert (tmp_path / "a.png").exists()


def test_unreadable_torch_tensors_are_rejected(tmp_path, torch_tensor):
    for call in (
        lambda: images.normalize(torch_tensor),
        lambda: images.quantize(torch_tensor),
        lambda: images.grid(torch_tensor),
        lambda: images.save(tmp_path / "a.png", torch_tensor),
    ):
        with pytest.raises(TypeError, match=r"must be .*; got a torch tensor of"):
            call()


def test_curves_are_drawn(tmp_path):
    """The first line is drawn: more pixels are blue than with the legend alone."""

    def blue(values):
        images.curves(tmp_path / "curves.png", {"loss": {"generator": values}, "b": {"x": [1.0]}})
        with Image.open(tmp_path / "curves.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        return int((pixels[:, : pixels.shape[1] // 2] == (31, 119, 180)).all(-1).sum())

    assert blue([3.0, 2.0, 4.0, 1.0]) > 2 * blue([np.nan] * 4) > 0


def test_curves_of_several_members_show_median_and_spread(tmp_path):
    def colored(values):
        images.curves(tmp_path / "curves.png", {"loss": {"generator": values}})
        with Image.open(tmp_path / "curves.png") as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        return int((pixels[..., 2] - pixels[..., 0] > 20).sum())

    # An outlier widens the band and does not move the median.
    narrow = [[1.0, 2.0], [1.1, 2.1], [0.9, 1.9]]
    wide = [[1.0, 2.0], [5.0, 9.0], [0.9, 1.9]]
    assert colored(wide) > 3 * colored(narrow) > colored([1.0, 2.0]) > 0


@pytest.mark.parametrize(("missing", "call"), [("PIL", "save"), ("matplotlib.figure", "curves")])
def test_missing_library_error_names_the_install_command(tmp_path, monkeypatch, missing, call):
    monkeypatch.setitem(sys.modules, missing, None)
    argument = np.zeros((2, 2, 1), np.uint8) if call == "save" else {"a": {"b": [1.0]}}
    with pytest.raises(ImportError, match=r"pip install 'jaxgan\[examples\]'"):
        getattr(images, call)(tmp_path / "a.png", argument)
