"""Tests which arrays, labels and keys the checks accept, and the errors for the others."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan._internal import checks

BOTH = pytest.mark.parametrize("check", [checks.array, checks.numpy_array])


def traced(function, *arguments):
    """Calls a function with traced arguments."""
    return jax.eval_shape(function, *arguments)


class TestArray:
    @BOTH
    @pytest.mark.parametrize(
        "value",
        [
            [[1.0, 2.0]],
            ((1, 2),),
            np.array([[1.0, 2.0]], np.float32),
            jnp.array([[1, 2]]),
            jnp.array([[1.0, 2.0]], jnp.bfloat16),
            [[True, True]],
            [np.array([1.0, 2.0])],
            [[np.float32(1.0), np.int8(2)]],
        ],
    )
    def test_numbers_are_converted(self, check, value):
        found = check("x", value)
        assert isinstance(found, jax.Array if check is checks.array else np.ndarray)
        assert found.shape == (1, 2)
        expected = np.asarray(value, np.float64)
        np.testing.assert_array_equal(np.asarray(found, np.float64), expected)

    def test_dtypes_are_kept(self):
        for dtype in (jnp.bfloat16, np.float16, np.uint8, np.bool_, np.complex64):
            assert checks.array("x", np.ones((2, 2), dtype)).dtype == dtype
            assert checks.numpy_array("x", jnp.ones((2, 2), dtype)).dtype == dtype
        assert checks.numpy_array("x", [1.0]).dtype == np.float64

    def test_numpy_arrays_are_not_copied(self):
        x = np.ones(3)
        assert checks.numpy_array("x", x) is x

    @BOTH
    @pytest.mark.parametrize("scalar", [1, 2.5, np.float32(3), np.array(1), jnp.float32(2)])
    def test_scalars_are_rejected_with_a_form(self, check, scalar):
        assert check("x", scalar, form=None).shape == ()
        with pytest.raises(ValueError, match=r"x must be of numbers \[num\]; got shape \(\)"):
            check("x", scalar, form="[num]")

    @BOTH
    @pytest.mark.parametrize(
        "value",
        [
            None,
            "3",
            b"3",
            {},
            object(),
            [1, "x"],
            [[1.0], [2.0, 3.0]],
            [None],
            [10**30],
            np.array(["a"]),
            np.array([object()]),
        ],
    )
    def test_non_numbers_are_rejected(self, check, value):
        with pytest.raises(TypeError, match=r"^x must be numbers; got .+\.$"):
            check("x", value, form=None)

    @BOTH
    def test_lists_of_several_lengths_are_shown(self, check):
        with pytest.raises(TypeError, match=r"x must be of numbers \[n\]; got \[\[1\], \[2, 3\]\]"):
            check("x", [[1], [2, 3]], form="[n]")

    @BOTH
    @pytest.mark.parametrize(
        ("kind", "dtype", "other"),
        [
            (jnp.floating, jnp.bfloat16, np.int32),
            (jnp.floating, np.float64, np.complex64),
            (jnp.floating, np.float32, np.bool_),
            (jnp.integer, np.uint8, np.float32),
            (jnp.integer, np.int32, np.bool_),
        ],
    )
    def test_kinds(self, check, kind, dtype, other):
        check("x", np.ones(3, dtype), kind, "[n]")
        word = {jnp.floating: "float", jnp.integer: "integer"}[kind]
        message = rf"^x must be {word} \[n\]; got {np.dtype(other)} of shape \(3,\)\.$"
        with pytest.raises(TypeError, match=message):
            check("x", np.ones(3, other), kind, "[n]")
        with pytest.raises(TypeError, match=rf"^x must be {word}s; got {np.dtype(other)}"):
            check("x", np.ones(3, other), kind, None)

    @BOTH
    @pytest.mark.parametrize(
        ("form", "good", "bad"),
        [
            ("[n]", [(1,), (5,)], [(), (1, 1)]),
            ("[n, m]", [(2, 3)], [(), (2,), (1, 1, 1)]),
            ("[batch, ...]", [(1, 1), (2, 3, 4)], [(), (2,)]),
            ("[batch, height, ...]", [(1, 1, 1)], [(2,), (2, 2)]),
        ],
    )
    def test_forms(self, check, form, good, bad):
        for shape in good:
            assert check("x", np.ones(shape), None, form).shape == shape
        for shape in bad:
            with pytest.raises(ValueError, match=r"^x must be of numbers \[.*\]; got shape \(.*\)"):
                check("x", np.ones(shape), None, form)

    @BOTH
    @pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
    def test_empty_arrays_are_rejected_with_a_form(self, check, shape):
        assert check("x", np.ones(shape), form=None).shape == shape
        with pytest.raises(ValueError, match=r"\[n, m\] without empty axes; got shape \("):
            check("x", np.ones(shape), form="[n, m]")

    def test_dtype_and_shape_of_traced_arrays_are_checked(self):
        check = functools.partial(checks.array, "x", kind=jnp.floating, form="[n]")
        assert traced(check, jnp.full(3, jnp.nan)).shape == (3,)
        with pytest.raises(TypeError, match=r"x must be float \[n\]; got int32 of shape \(3,\)"):
            traced(check, jnp.zeros(3, jnp.int32))
        with pytest.raises(ValueError, match=r"x must be float \[n\]; got shape \(3, 1\)"):
            traced(check, jnp.zeros((3, 1)))

    def test_traced_arrays_are_rejected_as_numpy_arrays(self):
        with pytest.raises(TypeError, match="x must be numbers; got float32 of shape"):
            traced(lambda x: checks.numpy_array("x", x), jnp.zeros(3))


class TestFinite:
    @pytest.mark.parametrize(
        "value", [np.zeros(0), 1.5, np.ones((2, 3)), jnp.ones(3, jnp.bfloat16), np.arange(3)]
    )
    def test_accepts(self, value):
        checks.finite("x", value)

    @pytest.mark.parametrize("dtype", [np.float64, np.float16, jnp.bfloat16])
    def test_error_gives_the_first_non_finite_value_and_the_count(self, dtype):
        values = np.zeros((2, 3), dtype)
        values[1, 1], values[1, 2] = -np.inf, np.nan
        message = r"^x must be finite; 2 of 6 values are not\. The first is -inf at \[1, 1\]\.$"
        for x in (values, jnp.asarray(values)):
            with pytest.raises(ValueError, match=message):
                checks.finite("x", x)

    def test_non_finite_scalar_has_empty_indices(self):
        with pytest.raises(ValueError, match=r"1 of 1 values are not\. The first is nan at \[\]"):
            checks.finite("x", np.nan)

    def test_traced_values_are_not_checked(self):
        traced(lambda x: checks.finite("x", x), jnp.full(3, jnp.nan))


def test_is_concrete():
    found = []
    traced(lambda x: found.append(checks.is_concrete(x)), jnp.zeros(3))
    assert found == [False]
    for value in (jnp.zeros(3), np.zeros(3), 3, [1], None):
        assert checks.is_concrete(value)


class TestLabels:
    @pytest.mark.parametrize("value", [[0, 2], np.array([0, 2], np.uint8), jnp.array([2, 0])])
    def test_accepts(self, value):
        found = checks.labels(value, (2,), 3)
        assert isinstance(found, jax.Array)
        np.testing.assert_array_equal(found, np.asarray(value))

    def test_any_label_is_accepted_without_num_classes(self):
        np.testing.assert_array_equal(checks.labels([-7, 10**6], (2,), None), [-7, 10**6])

    def test_multi_axis_and_empty_batches_are_accepted(self):
        assert checks.labels(np.zeros((2, 3), np.int32), (2, 3), 1).shape == (2, 3)
        assert checks.labels(np.zeros(0, np.int32), (0,), 3).shape == (0,)

    @pytest.mark.parametrize("value", [[0.0, 1.0], ["a", "b"], None, [True, False], [[1], [1, 2]]])
    def test_other_types_are_rejected(self, value):
        with pytest.raises(TypeError, match=r"^Labels must be integers; got .+\.$"):
            checks.labels(value, (2,), 3)

    @pytest.mark.parametrize("shape", [(), (3,), (2, 1)])
    def test_other_shapes_are_rejected(self, shape):
        with pytest.raises(ValueError, match=r"one for each example, of shape \(2,\); got \("):
            checks.labels(np.zeros(shape, np.int32), (2,), 3)

    @pytest.mark.parametrize(
        ("value", "message"),
        [([0, 3], r"got 0 to 3, shape \(2,\)"), ([-1, 2], r"got -1 to 2, shape \(2,\)")],
    )
    def test_labels_out_of_range_are_rejected(self, value, message):
        with pytest.raises(ValueError, match=rf"^Labels must be in \[0, 3\); {message}\.$"):
            checks.labels(value, (2,), 3)

    def test_range_of_traced_labels_is_not_checked(self):
        check = functools.partial(checks.labels, batch=(2,), num_classes=3)
        assert traced(check, jnp.array([7, -1])).shape == (2,)
        with pytest.raises(TypeError, match="Labels must be integers"):
            traced(check, jnp.zeros(2))


class TestKey:
    @pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
    def test_typed_keys_are_accepted(self, implementation):
        key = jax.random.key(0, impl=implementation)
        checks.key(key)
        traced(checks.key, key)

    @pytest.mark.parametrize(
        ("value", "got"),
        [
            (None, r"NoneType of shape \(\) and dtype None"),
            (0, r"int of shape \(\) and dtype None"),
            (np.zeros(2, np.uint32), r"ndarray of shape \(2,\) and dtype uint32"),
            (jnp.zeros((), jnp.uint32), r"\w+ of shape \(\) and dtype uint32"),
            (jax.random.key(0)[None], r"\w+ of shape \(1,\) and dtype key<fry>"),
        ],
    )
    def test_other_values_are_rejected(self, value, got):
        with pytest.raises(TypeError, match=rf"^key must be one typed PRNG key, .*; got {got}\.$"):
            checks.key(value)


@pytest.mark.parametrize(
    "shape",
    [(2, 8, 8, 3), (2, 3, 4, 8), (2, 3, 8, 4), (2, 4, 8, 8), (3, 8), (3, 8, 8)],
)
def test_other_images_are_not_called_channels_first(shape):
    assert checks.channels_first(shape) == ""
    with pytest.raises(RuntimeError) as caught, checks.channels_first_note(shape):
        raise RuntimeError
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 1, 5, 7)])
def test_channels_first_images_are_recognized(shape):
    advice = "The shape looks channels-first; pass np.transpose(images, (0, 2, 3, 1))."
    assert checks.channels_first(shape) == advice
    with pytest.raises(RuntimeError) as caught, checks.channels_first_note(shape):
        raise RuntimeError
    assert caught.value.__notes__ == [advice]
    picture = checks.channels_first(shape[1:], ndim=3)
    assert picture == "The shape looks channels-first; pass np.transpose(picture, (1, 2, 0))."


class TestShape:
    def test_accepts(self):
        checks.shape("output", jnp.zeros((2, 3)), (2, 3), "")
        traced(lambda x: checks.shape("output", x, (2, 3), ""), jnp.zeros((2, 3)))

    @pytest.mark.parametrize(
        ("value", "got"), [(np.zeros((2, 1)), r"\(2, 1\)"), (3.0, "float"), (None, "NoneType")]
    )
    def test_other_shapes_are_rejected(self, value, got):
        message = rf"^output must be of shape \(2,\); got {got}\. Squeeze it\.$"
        with pytest.raises(checks.ShapeError, match=message):
            checks.shape("output", value, (2,), "Squeeze it.")

    def test_shape_error_is_a_value_error(self):
        assert issubclass(checks.ShapeError, ValueError)
