"""Every row of the table in docs/differences.md: TensorFlow's value and numclip's, side by side."""

import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from arrays import three_and_four
from frameworks import tensorflow

from numclip import clip_by_global_norm, clip_by_norm, clip_by_value

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
INF, NAN = float("inf"), float("nan")
shown = []


def row(case, theirs, ours):
    """Mark the test that shows this row."""

    def add(test):
        shown.append((case, theirs, ours))
        return test

    return add


def both(t_list, clip_norm, use_norm=None):
    """Return TensorFlow's first array, numclip's first array, TensorFlow's norm and numclip's norm."""
    [theirs, *_], their_norm = tensorflow(t_list, clip_norm, use_norm)
    [ours, *_], norm = clip_by_global_norm(t_list, clip_norm, use_norm)
    return theirs, ours, their_norm, norm


def test_the_page_has_these_rows_and_no_other():
    lines = re.findall(r"^\|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    header, _, *rows = [tuple(cell.strip() for cell in line.split("|")) for line in lines]
    assert header == ("case", "TensorFlow", "numclip")
    assert sorted(rows) == sorted(shown)


@row("norm at most `clip_norm`", "multiplies by 1 ± one rounding", "every bit stays as it was")
def test_norm_within(rng):
    changed = 0
    for clip_norm in rng.uniform(0.1, 10, 1000).astype(np.float32):
        entry = np.array([clip_norm / 3, -clip_norm / 7], np.float32)
        theirs, ours, *_ = both([entry], clip_norm)
        assert ours.tobytes() == entry.tobytes()
        changed += theirs.tobytes() != entry.tobytes()
        np.testing.assert_allclose(theirs, entry, rtol=np.finfo(np.float32).eps)
    assert 50 < changed < 250


@row("`clip_norm` infinite", "NaN", "nothing is clipped")
def test_infinite_threshold():
    theirs, ours, *_ = both(three_and_four(), INF)
    assert np.isnan(theirs).all()
    np.testing.assert_array_equal(ours, [3, 0])


@row("`clip_norm` 0 and norm 0", "NaN", "zeros")
@pytest.mark.parametrize(("element", "use_norm"), [(0.0, None), (1.0, np.float32(0))])
def test_zero_threshold_and_zero_norm(element, use_norm):
    theirs, ours, their_norm, norm = both([np.array([element, element], np.float32)], 0.0, use_norm)
    assert their_norm == norm == 0
    assert np.isnan(theirs).all()
    np.testing.assert_array_equal(ours, [0, 0])


@row("float16 `[300]`, float32 `[1e30]`, float64 `[1e200]`", "norm infinite, NaN", "the true norm")
@pytest.mark.parametrize(("dtype", "element"), [("f2", 300), ("f4", 1e30), ("f8", 1e200)])
def test_squares_that_overflow(dtype, element):
    theirs, ours, their_norm, norm = both([np.array([element], dtype)], 1.0)
    assert their_norm == INF
    assert np.isnan(theirs).all()
    assert norm == np.array(element, dtype)
    np.testing.assert_array_equal(ours, [1])


@row("float16 `[1e-4]`, float32 `[1e-30]`, float64 `[1e-200]`", "norm 0", "the true norm")
@pytest.mark.parametrize(("dtype", "element"), [("f2", 1e-4), ("f4", 1e-30), ("f8", 1e-200)])
def test_squares_that_underflow(dtype, element):
    entry = np.array([element], dtype)
    _, ours, their_norm, norm = both([entry], element / 2)
    assert their_norm == 0
    assert norm == entry[0]
    np.testing.assert_array_max_ulp(ours, entry / 2, 1)


@row("float32 `clip_norm` 1e38, 1e39", "zeros, NaN", "compared as a float64")
@pytest.mark.parametrize(("clip_norm", "expected"), [(1e38, 0.0), (1e39, NAN)])
def test_large_threshold(clip_norm, expected):
    theirs, ours, *_ = both(three_and_four(), clip_norm)
    np.testing.assert_array_equal(theirs, [expected, expected if np.isnan(expected) else 0])
    np.testing.assert_array_equal(ours, [3, 0])


@row("mixed dtypes", "an error", "each keeps its own; the norm is float64 if one has 64 bits")
def test_mixed_dtypes():
    t_list = [*three_and_four(np.float32), np.array([12.0])]
    with pytest.raises(tf.errors.InvalidArgumentError, match="Pack"):
        tensorflow(t_list, 1.0)
    ours, norm = clip_by_global_norm(t_list, 6.5)
    assert (type(norm), norm) == (np.float64, 13)
    assert [result.dtype for result in ours] == [np.float32, np.float32, np.float64]
    np.testing.assert_array_equal(ours[2], [6])


@row("complex dtypes", "an error", "both parts count, both are scaled")
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex(dtype):
    t_list = [np.array([3 + 4j], dtype)]
    with pytest.raises(tf.errors.InvalidArgumentError, match="L2Loss"):
        tensorflow(t_list, 1.0)
    [ours], norm = clip_by_global_norm(t_list, 2.5)
    assert norm == 5
    np.testing.assert_array_equal(ours, [1.5 + 2j])


@row("float16, bfloat16", "the norm is of that dtype", "the norm is a float32")
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_norm_of_halves(dtype):
    _, _, their_norm, norm = both([np.full(3, 1.0, dtype)], 10.0)
    assert np.asarray(their_norm).dtype == dtype
    assert their_norm == np.sqrt(3).astype(dtype)
    assert type(norm) is np.float32
    assert norm == np.float32(np.sqrt(3))


@row("negative or NaN `clip_norm`, negative `use_norm`", "no error", "`ValueError`")
@pytest.mark.parametrize(
    ("clip_norm", "use_norm", "theirs"),
    [(-1.0, None, [3, 0]), (NAN, None, [NAN, NAN]), (1.0, np.float32(-10), [-0.3, 0])],
)
def test_negative_and_nan(clip_norm, use_norm, theirs):
    [first, _], _ = tensorflow(three_and_four(), clip_norm, use_norm)
    np.testing.assert_allclose(first, theirs, rtol=1e-6)
    with pytest.raises(ValueError, match=r"should (be non-negative|not be NaN)"):
        clip_by_global_norm(three_and_four(), clip_norm, use_norm)


@row("`clip_norm` an array of several elements", "broadcast against each array", "`TypeError`")
def test_threshold_of_several_elements():
    clip_norm = np.array([1.0, 2.0], np.float32)
    [theirs], _ = tensorflow([np.array([3.0, 4.0], np.float32)], clip_norm)
    np.testing.assert_allclose(theirs, [0.6, 1.6], rtol=1e-6)
    with pytest.raises(TypeError, match="clip_norm should be a real number or 0-d array"):
        clip_by_global_norm(three_and_four(), clip_norm)


@row("`use_norm` a Python number or an integer", "an error", "used, and returned as it is")
@pytest.mark.parametrize("use_norm", [10.0, 10, np.int32(10)], ids=type)
def test_norm_given_as_another_number(use_norm):
    with pytest.raises((AttributeError, TypeError), match=r"no attribute 'dtype'|Cannot convert"):
        tf.clip_by_global_norm(three_and_four(), 5.0, use_norm)
    [ours, _], norm = clip_by_global_norm(three_and_four(), 5.0, use_norm)
    assert norm is use_norm
    np.testing.assert_array_equal(ours, [1.5, 0])


@row("`clip_by_global_norm` of integers", "an error", "`TypeError` that names the entry")
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.bool_])
def test_integers(dtype):
    t_list = [np.ones(2, np.float32), np.ones(2, dtype)]
    with pytest.raises(tf.errors.InvalidArgumentError, match="L2Loss"):
        tensorflow(t_list, 1.0)
    with pytest.raises(TypeError, match=r"t_list\[1\] has dtype"):
        clip_by_global_norm(t_list, 1.0)


@row("masked arrays", "the mask is lost", "`TypeError`")
def test_masked_arrays():
    masked = np.ma.array([3.0, 4.0], mask=[False, True])
    [theirs], norm = tf.clip_by_global_norm([masked], 1.0)
    assert norm == 5
    np.testing.assert_allclose(theirs.numpy(), [0.6, 0.8], rtol=1e-15)
    with pytest.raises(TypeError, match=r"t_list\[0\] is a masked array"):
        clip_by_global_norm([masked], 1.0)


@row("`out=`, in place", "no", "yes")
def test_in_place():
    t_list = three_and_four()
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        tf.clip_by_global_norm(t_list, 2.5, out=t_list)
    before = t_list[0]
    clipped, _ = clip_by_global_norm(t_list, 2.5, out=t_list)
    assert clipped[0] is before
    np.testing.assert_array_equal(before, [1.5, 0])


@row("`clip_by_norm` of complex arrays", "an error", "the norm of the absolute values")
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_clip_by_norm_of_complex_arrays(dtype):
    t = np.array([3 + 4j], dtype)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not in the list of allowed values"):
        tf.clip_by_norm(t, 2.5)
    np.testing.assert_array_equal(clip_by_norm(t, 2.5), [1.5 + 2j])


@row("`clip_by_norm`, an infinite element", "NaN, and 0 for the others", "NaN for all of that norm")
@pytest.mark.parametrize("axes", [None, 0])
def test_clip_by_norm_of_an_infinite_element(axes):
    t = np.array([3, INF], np.float32)
    np.testing.assert_array_equal(tf.clip_by_norm(t, 1.0, axes), [0, NAN])
    np.testing.assert_array_equal(clip_by_norm(t, 1.0, axes), [NAN, NAN])


@row(
    "`clip_by_norm`, a `clip_norm` that varies along `axes`",
    "each element has its own",
    "`ValueError`: one for each norm",
)
def test_clip_by_norm_with_a_threshold_for_each_element():
    t, clip_norm = np.array([[3, 4], [6, 8]], np.float32), np.array([1, 5], np.float32)
    theirs = tf.clip_by_norm(t, clip_norm, axes=1)
    np.testing.assert_allclose(theirs, [[0.6, 4], [0.6, 4]], rtol=1e-6)
    with pytest.raises(ValueError, match=r"clip_norm has shape \(2,\), which does not broadcast to \(2, 1\)"):
        clip_by_norm(t, clip_norm, axes=1)
    one_each = clip_norm[:, np.newaxis]
    np.testing.assert_allclose(clip_by_norm(t, one_each, 1), tf.clip_by_norm(t, one_each, 1), rtol=1e-6)


@row("`clip_by_value`, NaN as a bound", "NaN", "`ValueError`")
@pytest.mark.parametrize("bounds", [(NAN, 1.0), (0.0, NAN)])
def test_clip_by_value_with_nan_as_a_bound(bounds):
    t = np.array([-1, 2], np.float32)
    assert np.isnan(tf.clip_by_value(t, *bounds).numpy()).all()
    with pytest.raises(ValueError, match="should not be NaN"):
        clip_by_value(t, *bounds)


@pytest.mark.parametrize("dtype", [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)])
def test_clip_by_value_of_integers_is_no_difference(dtype):
    t = np.array([1, 5, 9], dtype)
    clipped = clip_by_value(t, 2, 7)
    assert clipped.dtype == dtype
    np.testing.assert_array_equal(tf.clip_by_value(t, 2, 7).numpy(), clipped)
