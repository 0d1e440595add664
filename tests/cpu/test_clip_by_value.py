"""clip_by_value: every element between two bounds."""

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from arrays import (
    LAYOUTS,
    WRITABLE_LAYOUTS,
    arrays,
    assert_same_bits,
    byte_swapped,
    content,
    field_of_records,
    in_c_order,
    in_fortran_order,
    misaligned,
    raises_unwritten,
    random_array,
    read_only,
    reversed_in_memory,
    starts_with,
    with_axes_rotated,
)
from hypothesis import given
from hypothesis import strategies as st

from numclip import IndexedSlices, clip_by_value

DTYPES = [np.dtype(t) for t in ("f4", "f8", "f2", ml_dtypes.bfloat16)]
INF, NAN = float("inf"), float("nan")
T = np.array([-10, -1, 0, 0.5, 2, 10], np.float32)


def expected(t, low, high):
    """In float64, where comparisons are exact, with the bounds rounded to the dtype of the array."""
    with np.errstate(over="ignore"):
        low, high = (
            np.asarray(bound, np.float64).astype(t.dtype).astype(np.float64) for bound in (low, high)
        )
    return np.maximum(np.minimum(np.asarray(t).astype(np.float64), high), low)


def assert_clipped(result, t, low, high):
    assert type(result) is np.ndarray
    assert result.dtype == t.dtype
    np.testing.assert_array_equal(result.astype(np.float64), expected(t, low, high))


LOW, HIGH = (0.0, -1.0, 0.1, -1e30, -INF), (0.0, 0.3, 1e30, INF)


@given(arrays(DTYPES), st.sampled_from(LOW), st.sampled_from(HIGH))
def test_any_array(t, low, high):
    before = content(t)
    assert_clipped(clip_by_value(t, low, high), t, low, high)
    assert content(t) == before


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout(rng, layout, dtype):
    for shape in [(), (33,), (5, 7), (2, 3, 4), (0, 3)]:
        t = layout(random_array(rng, dtype, shape))
        assert_clipped(clip_by_value(t, -0.25, 0.5), t, -0.25, 0.5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_in_place(rng, layout, dtype):
    t = layout(random_array(rng, dtype, (5, 7)))
    before = t.copy()
    assert clip_by_value(t, -0.25, 0.5, out=t) is t
    assert_clipped(t, before, -0.25, 0.5)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ([[-1.0], [0.0]], 1.0),
        (0, np.array([1, 2, 3])),
        (np.zeros((2, 1), np.float16), np.ones((1, 3), ml_dtypes.bfloat16)),
        (np.full((2, 3), -1e300), np.full((2, 3), INF)),
        (np.float32(0), 1),
    ],
)
def test_bounds_broadcast(low, high):
    t = T.reshape(2, 3)
    assert_clipped(clip_by_value(t, low, np.asarray(high, float)), t, low, high)


def test_where_the_bounds_cross_the_lower_one_holds():
    assert clip_by_value(T, 1.0, 0.0).tolist() == [1.0] * 6


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nan_stays_nan_and_infinity_is_clipped(dtype):
    t = np.array([NAN, INF, -INF, 1.0], dtype)
    assert_same_bits(clip_by_value(t, -2.0, 2.0), np.array([NAN, 2, -2, 1], dtype))
    assert_same_bits(clip_by_value(t, -INF, INF), t)


def test_bounds_beyond_the_dtype_clip_nothing():
    t = np.array([-65504, 65504], np.float16)
    assert_same_bits(clip_by_value(t, -1e6, 1e6), t)


@pytest.mark.parametrize("bound", [1 + 2.0**-8 + 2.0**-25, 1 + 3 * 2.0**-8 - 2.0**-26])
def test_bounds_are_rounded_once(bound):
    t = np.array([100], ml_dtypes.bfloat16)
    assert float(clip_by_value(t, 0.0, bound)[0]) == round(bound * 2**7) / 2**7


def test_slices_and_sparse_matrices_are_clipped_in_their_values():
    slices = IndexedSlices(T.copy(), np.arange(6), (9,))
    result = clip_by_value(slices, -1.0, 1.0)
    assert result.indices is slices.indices
    assert result.dense_shape is slices.dense_shape
    assert_clipped(result.values, T, -1.0, 1.0)
    assert clip_by_value(slices, -1.0, 1.0, out=slices) is slices
    assert_clipped(slices.values, T, -1.0, 1.0)
    matrix = scipy.sparse.csr_array(np.diag([3.0, -4.0]))
    assert clip_by_value(matrix, -1.0, 1.0).toarray().tolist() == [[1, 0], [0, -1]]


def test_scalars_and_lists():
    assert_same_bits(clip_by_value(3.0, 0, 1), np.array(1.0))
    assert_same_bits(clip_by_value([3.0, -1.0], 0, 1), np.array([1.0, 0.0]))


def test_name_is_accepted():
    assert clip_by_value(T, 0.0, 1.0, "clip").tolist() == clip_by_value(T, 0.0, 1.0, name=None).tolist()


def test_a_bound_may_be_the_target():
    low, high = np.zeros(6, np.float32), np.arange(6, dtype=np.float32)
    wanted = expected(T, low, high)
    assert clip_by_value(T, low, high, out=high) is high
    assert high.tolist() == wanted.tolist()


def test_out_receives_the_result():
    out = np.empty_like(T)
    assert clip_by_value(T, 0.0, 1.0, out=out) is out
    assert_clipped(out, T, 0.0, 1.0)


# --- one bound, and integers --------------------------------------------------------------------------------

INTEGER_DTYPES = [np.dtype(code) for code in "bBhHiIlLqQ"]
# The other layouts put NaN between the elements.
INTEGER_LAYOUTS = [
    in_c_order,
    in_fortran_order,
    with_axes_rotated,
    reversed_in_memory,
    misaligned,
    field_of_records,
    byte_swapped,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_none_is_no_bound(layout, dtype):
    t = layout(np.array([[-3, 0, 5], [7, -8, 2]], dtype))
    assert_clipped(clip_by_value(t, None, 2), t, -INF, 2)
    assert_clipped(clip_by_value(t, -2, None), t, -2, INF)
    assert_clipped(clip_by_value(t, None, np.array([1, 2, 3])), t, -INF, np.array([1, 2, 3]))


@pytest.mark.parametrize("layout", INTEGER_LAYOUTS, ids=lambda layout: layout.__name__)
@pytest.mark.parametrize("dtype", INTEGER_DTYPES, ids=lambda dtype: dtype.char)
def test_integers_of_every_size_and_layout(layout, dtype):
    limits = np.iinfo(dtype)
    t = layout(np.array([[limits.min, 0, 1], [5, 100, limits.max]], dtype))
    for low, high in [(1, 100), (2, 50.0), (limits.min, limits.max), (7, 3), (np.int8(3), np.float16(4))]:
        wanted = np.maximum(np.minimum(t.astype(object), int(high)), int(low))
        result = clip_by_value(t, low, high)
        assert result.dtype.type is t.dtype.type
        assert result.tolist() == wanted.tolist()
    wanted = np.maximum(np.minimum(t.astype(object), 4), np.array([[1], [2]], object)).tolist()
    assert clip_by_value(t, [[1], [2]], [4.0, 4.0, 4.0], out=t) is t
    assert t.tolist() == wanted
    assert clip_by_value(t, None, 1).tolist() == np.minimum(t, 1).tolist()
    assert clip_by_value(t, np.array([3]), None).tolist() == np.maximum(t, 3).tolist()


def test_the_largest_integers_are_exact_bounds():
    for dtype in (np.int64, np.uint64):
        most = np.iinfo(dtype).max
        t = np.array([most, most - 1, 0], dtype)
        assert clip_by_value(t, 0, most - 1).tolist() == [most - 1, most - 1, 0]
        assert clip_by_value(t, np.array(most - 1, dtype), None).tolist() == [most, most - 1, most - 1]
        with pytest.raises(ValueError, match=r"clip_value_max should be representable in u?int64\. Received"):
            clip_by_value(t, 0, float(most))


def test_values_of_integers_are_clipped_in_their_containers():
    slices = IndexedSlices(np.arange(4), np.arange(4))
    assert clip_by_value(slices, 1, 2).values.tolist() == [1, 1, 2, 2]
    assert clip_by_value(scipy.sparse.csr_array(np.diag([3, -4])), -1, 1).data.tolist() == [1, -1]
    assert_same_bits(clip_by_value([3, -1], 0, 1), np.array([1, 0]))


def test_bounds_may_be_scalars_of_any_kind():
    for bound in (1, 1.0, np.float32(1), np.int8(1), np.array(1.0), [1.0], np.array([1], ml_dtypes.bfloat16)):
        assert_clipped(clip_by_value(T, -1, bound), T, -1, 1)


# --- what is refused ----------------------------------------------------------------------------------------

BASE = np.arange(8, dtype=np.float32)
INTEGERS = np.arange(3, dtype=np.uint8)
BAD = {
    "None": ((None, 0, 1), {}, TypeError, "t should be an array. Received None"),
    "bools": ((np.ones(2, bool), 0, 1), {}, TypeError, "t has dtype bool, expected a floating or integer"),
    "times": ((np.ones(2, "m8[s]"), 0, 1), {}, TypeError, "t has dtype timedelta64[s], expected a floating"),
    "complex": (
        (np.ones(2, complex), 0, 1),
        {},
        TypeError,
        "t has dtype complex128, expected a floating or integer dtype",
    ),
    "masked": ((np.ma.masked_array(T), 0, 1), {}, TypeError, "t is a masked array"),
    "NaN": ((T, NAN, 1), {}, ValueError, "clip_value_min should not be NaN"),
    "a NaN": ((T, 0, [1.0] * 5 + [NAN]), {}, ValueError, "clip_value_max should not be NaN"),
    "str": (
        (T, "0", 1),
        {},
        TypeError,
        "clip_value_min is a <class 'str'>, expected a real number",
    ),
    "bool": ((T, 0, True), {}, TypeError, "clip_value_max should be real. Received an array of dtype bool"),
    "no bounds": (
        (T, None, None),
        {},
        TypeError,
        "clip_value_min and clip_value_max should not both be",
    ),
    "masked bound": ((T, np.ma.masked_array([0.0]), 1), {}, TypeError, "clip_value_min is a masked array"),
    "no integer": (
        (INTEGERS, 0.5, 1),
        {},
        ValueError,
        "clip_value_min should be representable in uint8. Received np.float64(0.5)",
    ),
    "too small": ((INTEGERS, -1, 1), {}, ValueError, "clip_value_min should be representable in uint8. Rec"),
    "too large": (
        (INTEGERS, 0, [1, 256, 3]),
        {},
        ValueError,
        "clip_value_max should be representable in u",
    ),
    "far too large": ((INTEGERS, 0, 10**30), {}, ValueError, "clip_value_max should be representable in u"),
    "infinite": (
        (INTEGERS, 0, INF),
        {},
        ValueError,
        "clip_value_max should be representable in u",
    ),
    "NaN of integers": (
        (INTEGERS, NAN, 1),
        {},
        ValueError,
        "clip_value_min should be representable in uint8",
    ),
    "bool bound": (
        (INTEGERS, True, 1),
        {},
        TypeError,
        "clip_value_min should be real. Received an array of dt",
    ),
    "broadcast of integers": (
        (INTEGERS, 0, [1, 2]),
        {},
        ValueError,
        "clip_value_max has shape (2,), which",
    ),
    "complex bound": (
        (T, 0, 1j),
        {},
        TypeError,
        "clip_value_max should be real. Received an array of dtype complex",
    ),
    "broadcast": (
        (T, [0.0, 1.0], 1),
        {},
        ValueError,
        "clip_value_min has shape (2,), which does not broadcast to (6,)",
    ),
    "larger": (
        (T, 0, np.ones((2, 6))),
        {},
        ValueError,
        "clip_value_max has shape (2, 6), which does not broadcast to (6,)",
    ),
    "shape": ((T, 0, 1), {"out": np.ones(5, np.float32)}, ValueError, "out has shape (5,), t has shape (6,)"),
    "dtype": ((T, 0, 1), {"out": np.ones(6)}, TypeError, "out has dtype float64, t has dtype float32"),
    "read-only": ((T, 0, 1), {"out": read_only(T)}, ValueError, "out is read-only"),
    "no array": ((T, 0, 1), {"out": [0.0] * 6}, TypeError, "out should be an array, received <class 'list'>"),
    "overlap": ((BASE[:6], 0, 1), {"out": BASE[2:]}, ValueError, "out overlaps t in memory"),
    "no slices": (
        (IndexedSlices(T, np.arange(6)), 0, 1),
        {"out": np.ones(6, np.float32)},
        TypeError,
        "out should be an IndexedSlices, as t is",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case):
    arguments, keywords, error, message = BAD[case]
    out = keywords.get("out")
    with raises_unwritten(error, message, *([out] if isinstance(out, np.ndarray) else [])):
        clip_by_value(*arguments, **keywords)


@pytest.mark.parametrize("bounds", [(NAN, 1), (0, [1.0, 2.0])])
def test_an_error_writes_nothing(bounds):
    t = T.copy()
    with raises_unwritten(ValueError, "clip_value_", t):
        clip_by_value(t, *bounds, out=t)


def test_out_is_keyword_only():
    with pytest.raises(TypeError, match=starts_with("clip_by_value() takes")):
        clip_by_value(T, 0, 1, None, T)
