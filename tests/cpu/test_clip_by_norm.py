"""clip_by_norm: one array, by the norm of all its elements or of each slice along axes."""

import itertools

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from arrays import (
    DTYPES,
    LAYOUTS,
    WRITABLE_LAYOUTS,
    arrays,
    assert_same_bits,
    clip_norms,
    content,
    raises_unwritten,
    random_array,
    read_only,
    slices_of,
    starts_with,
)
from hypothesis import given
from hypothesis import strategies as st
from oracle import as_reals, ordered_clip

from numclip import IndexedSlices, clip_by_global_norm, clip_by_norm, global_norm

INF, NAN = float("inf"), float("nan")
ROWS = np.array([[3, 4], [6, 8]], np.float32)


def slice_by_slice(t, limits, axes):
    """The expected result: each slice along the axes as a list of its own, with its limit."""
    axes = {axis % t.ndim for axis in np.atleast_1d(np.array(axes, int)).tolist()}
    sides = [[slice(None)] if axis in axes else range(side) for axis, side in enumerate(t.shape)]
    limits = np.asarray(limits, float)
    limits = np.broadcast_to(limits, [1 if axis in axes else side for axis, side in enumerate(t.shape)])
    result = np.empty(t.shape, t.dtype.newbyteorder("="))
    for index in itertools.product(*sides):
        limit = limits[tuple(0 if isinstance(i, slice) else i for i in index)]
        result[index] = ordered_clip([np.array(t[index], order="C")], limit)[0][0]
    return result


# --- all elements -------------------------------------------------------------------------------------------


@given(st.data(), arrays())
def test_it_is_the_global_norm_of_one_array(data, t):
    clip_norm = data.draw(clip_norms(float(global_norm([t]))))
    [expected], _ = ordered_clip([t], clip_norm)
    before = content(t)
    assert_same_bits(clip_by_norm(t, clip_norm), expected)
    assert content(t) == before


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS, ids=lambda layout: layout.__name__)
def test_in_place_and_into_another_array(rng, layout, dtype):
    t = layout(random_array(rng, dtype, (5, 7)))
    [expected], _ = ordered_clip([t], 0.7)
    out = np.empty_like(t)
    assert clip_by_norm(t, 0.7, out=out) is out
    assert_same_bits(out, expected)
    assert clip_by_norm(t, 0.7, out=t) is t
    assert_same_bits(t, expected)


@pytest.mark.slow
@pytest.mark.parametrize("axes", [None, 1])
@pytest.mark.parametrize("clip_norm", [20.0, INF, np.float32(1e38), 1e300])
def test_a_norm_within_the_limit_changes_nothing(axes, clip_norm):
    assert_same_bits(clip_by_norm(ROWS, clip_norm, axes), ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("axes", [None, 0, 1, (0, 1), ()], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_limit_of_zero_gives_zeros(dtype, axes):
    for t in (ROWS, np.zeros((2, 2))):
        assert not as_reals(clip_by_norm(t.astype(dtype), 0, axes)).any()


def test_scalars_and_lists():
    assert_same_bits(clip_by_norm(-3.0, 1.0), np.array(-1.0))
    assert_same_bits(clip_by_norm([3.0, 4.0], 1.0), np.array([3.0, 4.0]) * 0.2)
    assert_same_bits(clip_by_norm(np.float32(4), 1.0, axes=()), np.array(1, np.float32))


@pytest.mark.parametrize("axes", [None, 0, -1])
def test_the_values_of_slices_and_sparse_matrices_are_clipped(axes):
    slices = slices_of(ROWS.copy(), rows=9)
    expected = clip_by_norm(ROWS, 1.0, axes)
    result = clip_by_norm(slices, 1.0, axes)
    assert result.indices is slices.indices
    assert result.dense_shape is slices.dense_shape
    assert_same_bits(result.values, expected)
    assert clip_by_norm(slices, 1.0, axes, out=slices) is slices
    assert_same_bits(slices.values, expected)


def test_the_data_of_a_sparse_matrix_are_clipped():
    matrix = scipy.sparse.csc_matrix(np.diag([3.0, 4.0]))
    result = clip_by_norm(matrix, 2.5)
    assert type(result) is scipy.sparse.csc_matrix
    assert result.data.tolist() == [1.5, 2.0]
    assert clip_by_norm(matrix, 2.5, out=matrix) is matrix
    assert matrix.toarray().tolist() == [[1.5, 0.0], [0.0, 2.0]]


@pytest.mark.parametrize("limit", [[2.5], [[2.5]], np.array([2.5], np.float32), np.array([[2.5]])], ids=repr)
def test_one_norm_takes_a_limit_of_its_shape(limit):
    assert_same_bits(clip_by_norm(ROWS, limit), clip_by_norm(ROWS, 2.5))
    assert_same_bits(clip_by_norm(ROWS, limit, axes=(0, 1)), clip_by_norm(ROWS, 2.5))
    with pytest.raises(
        TypeError, match=starts_with("clip_norm should be a real number or 0-d array. Received")
    ):
        clip_by_norm(np.float32(3), limit)


def test_name_is_accepted():
    assert_same_bits(clip_by_norm(ROWS, 1.0, None, "clip"), clip_by_norm(ROWS, 1.0, axes=None, name="other"))


# --- along axes ---------------------------------------------------------------------------------------------

AXES = [0, 1, 2, -1, (0,), [0, 2], (2, 0), range(1, 3), (0, 1, 2), ()]


@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_slice_has_the_bits_of_its_own_clipping(rng, dtype, axes):
    for shape in [(4, 3, 5), (1, 1, 1), (0, 2, 3), (1, 1, 4200)]:
        t = random_array(rng, dtype, shape)
        t = t if t.size < 100 or axes in (2, -1) else t[..., :7]
        before = content(t)
        assert_same_bits(clip_by_norm(t, 0.7, axes), slice_by_slice(t, 0.7, axes))
        assert content(t) == before


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_slices_of_every_layout(rng, layout, dtype):
    t = layout(random_array(rng, dtype, (5, 7)))
    for axes in (0, 1):
        result = clip_by_norm(t, 0.7, axes)
        assert_same_bits(result, slice_by_slice(t, 0.7, axes))
        assert result.dtype == t.dtype
        assert result.strides == np.empty_like(t).strides


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS, ids=lambda layout: layout.__name__)
def test_slices_of_every_layout_in_place(rng, layout, dtype):
    for axes in (0, 1):
        t = layout(random_array(rng, dtype, (5, 7)))
        expected = slice_by_slice(t, 0.7, axes)
        out = np.empty_like(t)
        assert clip_by_norm(t, 0.7, axes, out=out) is out
        assert_same_bits(out, expected)
        assert clip_by_norm(t, 0.7, axes, out=t) is t
        assert_same_bits(t, expected)


def test_axes_may_be_an_array():
    assert_same_bits(clip_by_norm(ROWS, 2.0, np.array([1, 0])), clip_by_norm(ROWS, 2.0))


@given(st.data(), arrays())
def test_any_axes(data, t):
    axes = data.draw(st.sets(st.sampled_from(range(t.ndim))).map(sorted) if t.ndim else st.just([]))
    if t.size > 500:
        axes = list(range(t.ndim))  # the oracle clips slice by slice
    limit = data.draw(st.sampled_from([0.0, 0.3, 1e300, INF]))
    assert_same_bits(clip_by_norm(t, limit, axes), slice_by_slice(t, limit, axes))


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_neither_overflow_nor_underflow(dtype):
    t = np.array([[3e200, 4e200], [3e-200, 4e-200], [1.5e308, 1.5e308]], dtype)
    limits = np.array([[1.0], [1e-200], [1.0]])
    result = clip_by_norm(t, limits, axes=1)
    expected = np.array([[0.6, 0.8], [6e-201, 8e-201], [0.5**0.5] * 2])
    np.testing.assert_allclose(result, expected, rtol=1e-15)
    assert_same_bits(result[:2], slice_by_slice(t[:2], limits[:2], 1))


@pytest.mark.parametrize(
    ("axes", "limits"),
    [
        (1, [[1.0], [5.0]]),
        (1, np.array([[1], [20]])),
        (0, [1.0, 5.0]),
        (0, np.array([[INF, 0]], ml_dtypes.bfloat16)),
        ((), np.full((2, 2), 3.5)),
        ((), np.array([5.0, 0.0], np.float16)),
        ((0, 1), [[2.0]]),
        (1, np.float32(2)),
    ],
    ids=str,
)
def test_each_norm_may_have_a_limit_of_its_own(axes, limits):
    assert_same_bits(clip_by_norm(ROWS, limits, axes), slice_by_slice(ROWS, limits, axes))


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_an_element_that_is_not_finite_makes_its_slice_nan(bad):
    t = np.array([[3.0, bad], [6.0, 8.0]])
    assert np.isnan(clip_by_norm(t, 5.0)).all()
    result = clip_by_norm(t, 5.0, axes=1)
    assert np.isnan(result[0]).all()
    assert result[1].tolist() == [3.0, 4.0]


def test_the_memory_between_strided_elements_stays():
    base = np.ones((6, 8))
    view = base[::2, ::3]
    clip_by_norm(view, 0.5, axes=0, out=view)
    assert np.count_nonzero(base != 1) == view.size


# --- what is refused ----------------------------------------------------------------------------------------

BASE = np.arange(8, dtype=np.float32)
INTEGERS = np.ones((2, 2), int)
BAD = {
    "None": ((None, 1.0), TypeError, "t should be an array. Received None"),
    "None along axes": ((None, 1.0, 0), TypeError, "t should be an array. Received None"),
    "int": ((INTEGERS, 1.0), TypeError, "t has dtype int64, expected a floating or complex dtype"),
    "int along axes": (
        (INTEGERS, 1.0, 0),
        TypeError,
        "t has dtype int64, expected a floating or complex dtype",
    ),
    "masked": ((np.ma.masked_array(ROWS), 1.0), TypeError, "t is a masked array"),
    "slices": ((slices_of(INTEGERS), 1.0), TypeError, "t.values has dtype int64, expected a floating"),
    "negative": ((ROWS, -1.0), ValueError, "clip_norm should be non-negative. Received -1.0"),
    "NaN": ((ROWS, NAN), ValueError, "clip_norm should not be NaN"),
    "str": ((ROWS, "1"), TypeError, "clip_norm should be a real number or 0-d array. Received '1'"),
    "array": ((ROWS, np.ones(2)), TypeError, "clip_norm should be a real number or 0-d array. Received <"),
    "a negative": ((ROWS, [1.0, -2.0], 0), ValueError, "clip_norm should be non-negative. Received -2.0"),
    "a NaN": ((ROWS, [1.0, NAN], 0), ValueError, "clip_norm should not be NaN"),
    "a str": ((ROWS, "1", 0), TypeError, "clip_norm is a <class 'str'>, expected a real number or an array"),
    "complex": ((ROWS, 1j, 0), TypeError, "clip_norm should be real. Received an array of dtype complex128"),
    "sides": ((ROWS, [1, 2], 1), ValueError, "clip_norm has shape (2,), which does not broadcast to (2, 1)"),
    "axis": ((ROWS, 1.0, 2), ValueError, "axes: axis 2 is out of bounds for array of dimension 2"),
    "negative axis": ((ROWS, 1.0, (0, -3)), ValueError, "axes: axis -3 is out of bounds for array"),
    "axis twice": ((ROWS, 1.0, (1, -1)), ValueError, "repeated axis in `axes` argument"),
    "float axis": ((ROWS, 1.0, 1.0), TypeError, "axes should be an int or a sequence of ints. Received 1.0"),
    "str axis": ((ROWS, 1.0, "0"), TypeError, "axes should be an int or a sequence of ints. Received '0'"),
}
BAD_TARGETS = {
    "shape": (ROWS, np.ones(2, np.float32), ValueError, "out has shape (2,), t has shape (2, 2)"),
    "dtype": (ROWS, np.ones((2, 2)), TypeError, "out has dtype float64, t has dtype float32"),
    "read-only": (ROWS, read_only(ROWS), ValueError, "out is read-only"),
    "no array": (ROWS, [1.0], TypeError, "out should be an array, received <class 'list'>"),
    "overlap": (BASE[:6], BASE[2:], ValueError, "out overlaps t in memory"),
    "no slices": (slices_of(ROWS), ROWS, TypeError, "out should be an IndexedSlices, as t is"),
    "slices": (
        slices_of(ROWS),
        slices_of(BASE),
        ValueError,
        "out.values has shape (8,), t.values has shape ",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case):
    arguments, error, message = BAD[case]
    out = ROWS.copy()
    with raises_unwritten(error, message, out):
        clip_by_norm(*arguments)
    with raises_unwritten(error, message, out):
        clip_by_norm(*arguments, out=out if isinstance(arguments[0], np.ndarray) else None)


@pytest.mark.parametrize("axes", [None, 0])
@pytest.mark.parametrize("case", BAD_TARGETS)
def test_a_target_that_does_not_fit_is_refused(case, axes):
    t, out, error, message = BAD_TARGETS[case]
    with raises_unwritten(error, message, *(entry for entry in (t, out) if not isinstance(entry, list))):
        clip_by_norm(t, 1.0, axes, out=out)


def test_out_is_keyword_only():
    with pytest.raises(TypeError, match=starts_with("clip_by_norm() takes")):
        clip_by_norm(ROWS, 1.0, None, None, ROWS)


def test_the_same_result_as_a_list_of_one(rng):
    t = random_array(rng, np.float32, (300, 100)).T
    assert_same_bits(clip_by_norm(t, 0.5), clip_by_global_norm([t], 0.5)[0][0])
    slices = IndexedSlices(t, np.arange(100))
    assert_same_bits(clip_by_norm(slices, 0.5).values, clip_by_global_norm([t], 0.5)[0][0])
