"""Scaling, grids, and files that another program can read."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import images


def test_normalize_and_quantize_are_inverse_on_every_value():
    values = np.arange(256, dtype=np.uint8)
    scaled = images.normalize(jnp.asarray(values))
    np.testing.assert_allclose(scaled, values / 127.5 - 1, atol=1e-6)
    assert scaled.dtype == jnp.float32
    np.testing.assert_array_equal(images.quantize(scaled), values)


def test_normalize_refuses_scaled_images():
    with pytest.raises(TypeError, match="takes uint8 images; got float32"):
        images.normalize(jnp.zeros(3))


def test_quantize_refuses_integers_and_nan():
    with pytest.raises(TypeError, match="takes floats"):
        images.quantize(np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="finite"):
        images.quantize(np.array([0.0, np.nan]))


def test_grid_puts_images_in_rows():
    batch = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)
    picture = images.grid(batch, 3)
    assert picture.shape == (4, 9, 1)
    np.testing.assert_array_equal(picture[::2, ::3, 0], [[0, 1, 2], [3, 4, 5]])


def test_grid_keeps_each_image_upright():
    batch = np.random.default_rng(0).integers(0, 256, (4, 3, 2, 3), dtype=np.uint8)
    picture = images.grid(batch, 2)
    np.testing.assert_array_equal(picture[3:, 2:], batch[3])


def test_grid_fills_up_scales_and_quantizes():
    picture = images.grid(np.ones((5, 2, 2, 1), np.float32), scale=2)
    assert picture.shape == (8, 12, 1)
    np.testing.assert_array_equal(picture[4:, 8:], 0)
    np.testing.assert_array_equal(picture[:4], 255)


@pytest.mark.parametrize(
    ("shape", "arguments", "said"),
    [
        ((28, 28, 1), {}, "grid takes images"),
        ((0, 2, 2, 1), {}, "grid takes images"),
        ((4, 2, 2, 1), {"columns": 0}, "at least 1"),
        ((4, 2, 2, 1), {"scale": 0}, "at least 1"),
    ],
)
def test_grid_refuses_what_is_no_batch(shape, arguments, said):
    with pytest.raises(ValueError, match=said):
        images.grid(np.zeros(shape, np.uint8), **arguments)


@pytest.mark.parametrize("channels", [1, 3])
def test_save_writes_what_pillow_reads(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (4, 6, channels), dtype=np.uint8)
    images.save(tmp_path / "a.png", picture)
    read = np.asarray(Image.open(tmp_path / "a.png")).reshape(4, 6, channels)
    np.testing.assert_array_equal(read, picture)


def test_animate_shows_every_frame_and_rests_on_the_last(tmp_path):
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


def test_files_refuse_what_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match="at least one picture"):
        images.animate(tmp_path / "a.gif", [])
    two_sizes = [np.zeros(size, np.uint8) for size in ((4, 4, 1), (8, 6, 1))]
    with pytest.raises(ValueError, match=r"of one size; got \[\(4, 4\), \(6, 8\)\]"):
        images.animate(tmp_path / "a.gif", two_sizes)
    with pytest.raises(FileNotFoundError, match=r"b\.png is missing; it must be a picture's file"):
        images.animate(tmp_path / "a.gif", [tmp_path / "b.png"])
    (tmp_path / "b.png").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"b\.png is damaged.*Write it anew with images\.save"):
        images.animate(tmp_path / "a.gif", [tmp_path / "b.png"])
    with pytest.raises(TypeError, match=r"A picture must be uint8 .* got 'b.png'"):
        images.save(tmp_path / "a.png", "b.png")
    with pytest.raises(FileNotFoundError, match=r"does not exist. Make the folder first"):
        images.save(tmp_path / "nowhere" / "a.png", np.zeros((4, 4, 1), np.uint8))
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 1))):
        with pytest.raises(ValueError, match="A picture must be uint8"):
            images.save(tmp_path / "a.png", wrong)


def test_curves_are_drawn(tmp_path):
    """More of the first line's blue than the legend alone would show."""

    def blue(values):
        images.curves(tmp_path / "curves.png", {"loss": {"generator": values}, "b": {"x": [1.0]}})
        with Image.open(tmp_path / "curves.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        return int((pixels[:, : pixels.shape[1] // 2] == (31, 119, 180)).all(-1).sum())

    assert blue([3.0, 2.0, 4.0, 1.0]) > 2 * blue([np.nan] * 4) > 0


def test_of_several_members_the_median_and_the_spread_are_drawn(tmp_path):
    def coloured(values):
        images.curves(tmp_path / "curves.png", {"loss": {"generator": values}})
        with Image.open(tmp_path / "curves.png") as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        return int((pixels[..., 2] - pixels[..., 0] > 20).sum())

    # One member far out widens the band and leaves the median where it is.
    narrow = [[1.0, 2.0], [1.1, 2.1], [0.9, 1.9]]
    wide = [[1.0, 2.0], [5.0, 9.0], [0.9, 1.9]]
    assert coloured(wide) > 3 * coloured(narrow) > coloured([1.0, 2.0]) > 0


@pytest.mark.parametrize(("missing", "call"), [("PIL", "save"), ("matplotlib.figure", "curves")])
def test_a_missing_library_is_named_with_its_remedy(tmp_path, monkeypatch, missing, call):
    monkeypatch.setitem(sys.modules, missing, None)
    argument = np.zeros((2, 2, 1), np.uint8) if call == "save" else {"a": {"b": [1.0]}}
    with pytest.raises(ImportError, match=r"pip install 'jaxgan\[examples\]'"):
        getattr(images, call)(tmp_path / "a.png", argument)
