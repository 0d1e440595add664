"""IndexedSlices.coalesce: each row number once, the values of equal ones added up."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from arrays import DTYPES, assert_same_bits, random_array, read_only, starts_with
from hypothesis import given
from hypothesis import strategies as st
from oracle import as_reals, rounded

from numclip import IndexedSlices, clip_by_global_norm, global_norm

NARROW = [dtype for dtype in DTYPES if dtype not in (np.float64, np.complex128)]
INF, NAN = float("inf"), float("nan")


def assert_coalesced(slices, exact=True):
    """Compare with a sum per row: exact, rounded once, or for 64 bits in float64 within rounding."""
    result = slices.coalesce()
    values, indices = np.asarray(slices.values), np.asarray(slices.indices)
    expected = sorted(set(indices.tolist()))
    assert type(result) is IndexedSlices
    assert result.dense_shape is slices.dense_shape
    assert result.values.dtype == values.dtype
    assert result.values.shape == (len(expected), *values.shape[1:])
    assert result.indices.dtype == indices.dtype
    assert result.indices.tolist() == expected
    real = np.empty(0, values.dtype).real.dtype if values.dtype.kind == "c" else values.dtype
    for index, row in zip(expected, result.values, strict=True):
        columns = np.reshape(
            [as_reals(part) for part in values[indices == index]], (np.sum(indices == index), -1)
        )
        for column, actual in zip(columns.T, as_reals(row), strict=True):
            terms = [Fraction(term) for term in column.tolist()]
            if exact:
                assert actual == rounded(sum(terms), real)
            else:
                bound = len(terms) * 2.0**-53 * float(sum(abs(term) for term in terms))
                assert abs(actual - float(sum(terms))) <= bound
    return result


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("shape", [(9,), (9, 3), (9, 2, 2), (1, 4), (9, 0)], ids=str)
def test_sums_are_rounded_once(rng, dtype, shape):
    values = random_array(rng, dtype, shape, (-2, 2))
    assert_coalesced(IndexedSlices(values, rng.integers(0, 5, shape[0]), (5, *shape[1:])))


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_float64_sums(rng, dtype):
    values = random_array(rng, dtype, (200, 3), (-2, 2))
    assert_coalesced(IndexedSlices(values, rng.integers(0, 7, 200)), exact=False)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(-1e3, 1e3, width=16)), max_size=30),
    st.sampled_from(NARROW),
)
def test_any_rows(rows, dtype):
    values = np.array([value for _, value in rows]).astype(dtype)
    assert_coalesced(IndexedSlices(values, np.array([index for index, _ in rows], np.int64)))


@pytest.mark.parametrize(
    "terms",
    [
        [1.0, 2.0**-8, 2.0**-25],  # a tie for bfloat16 but for the last term, which float32 loses
        [1.0, -(2.0**-9), -(2.0**-26)],
        [2.0**-126, 2.0**-134, 2.0**-130],
        [3e38, 3e38],
        [-3e38, -3e38],
    ],
    ids=str,
)
def test_bfloat16_is_not_rounded_by_way_of_float32(terms):
    values = np.array(terms, ml_dtypes.bfloat16)
    assert values.astype(float).tolist() == pytest.approx(terms, rel=1e-2)
    [result] = IndexedSlices(values, np.zeros(len(terms), int)).coalesce().values
    exact = sum(Fraction(float(value)) for value in values)
    assert float(result) == rounded(exact, ml_dtypes.bfloat16)


def test_float32_sums_are_taken_in_float64():
    values = np.array([2**24, 1, 1, -(2**24)], np.float32)
    assert IndexedSlices(values, [0, 0, 0, 0]).coalesce().values.tolist() == [2.0]
    many = np.full(100_000, 0.1, np.float32)
    [total] = IndexedSlices(many, np.zeros(100_000, int)).coalesce().values
    assert total == np.float32(100_000 * float(np.float32(0.1)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_infinity_and_nan(dtype):
    values = np.array([INF, 1, -INF, INF, NAN, 2]).astype(dtype)
    sums = as_reals(IndexedSlices(values, [0, 0, 1, 1, 2, 3]).coalesce().values.real)
    assert sums[0] == INF
    assert np.isnan(sums[1])
    assert np.isnan(sums[2])
    assert sums[3] == 2


def test_overflow_beyond_the_dtype_is_infinite():
    assert IndexedSlices(np.full(2, 3e38, np.float32), [1, 1]).coalesce().values.tolist() == [INF]
    assert IndexedSlices(np.full(2, 1.7e308), [1, 1]).coalesce().values.tolist() == [INF]


def test_the_norm_is_that_of_the_dense_array(rng):
    indices = rng.integers(0, 6, 40)
    slices = IndexedSlices(random_array(rng, np.float32, (40, 5)), indices, (6, 5))
    dense = np.zeros((6, 5))
    np.add.at(dense, indices, slices.values.astype(float))
    assert math.isclose(global_norm([slices.coalesce()]), np.linalg.norm(dense), rel_tol=1e-6)
    clipped, _ = clip_by_global_norm([slices.coalesce()], 1.0)
    assert clipped[0].dense_shape is slices.dense_shape


def test_the_slices_stay_as_they_were_and_share_no_memory():
    values, indices = np.array([3.0, 4.0]), np.array([0, 1])
    result = IndexedSlices(values, indices).coalesce()
    result.values[...] = 7
    result.indices[...] = 7
    assert values.tolist() == [3.0, 4.0]
    assert indices.tolist() == [0, 1]


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.uint64, ">i4"])
def test_the_dtype_of_the_indices_is_kept(kind):
    indices = np.array([200, 0, 200], kind)
    result = assert_coalesced(IndexedSlices(np.array([1, 2, 3], np.float32), indices, (201,)))
    assert result.values.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("dense_shape", [None, (3, 2), [3, 2], np.array([3, 2], np.int32)], ids=repr)
def test_no_rows(dense_shape):
    for indices in (np.empty(0, int), []):
        result = IndexedSlices(np.empty((0, 2), np.float32), indices, dense_shape).coalesce()
        assert_same_bits(result.values, np.empty((0, 2), np.float32))
        assert result.indices.shape == (0,)
        assert result.dense_shape is dense_shape


def test_lists_and_odd_layouts():
    values = np.array([[1, 2], [3, 4]], ">f4").T[::-1]
    result = IndexedSlices(read_only(values), (1, 1), [9, 2]).coalesce()
    assert result.values.tolist() == [[3.0, 7.0]]
    assert IndexedSlices([1.0, 2.0], [4, 4]).coalesce().values.tolist() == [3.0]


# --- what is refused ----------------------------------------------------------------------------------------

TWO = np.ones((2, 3), np.float32)
REFUSED = {
    "negative": (TWO, [0, -1], None, ValueError, "indices has a negative element: -1"),
    "out of range": (
        TWO,
        [0, 5],
        (5, 3),
        ValueError,
        "indices has 5, which is out of range for dense_shape (5, 3)",
    ),
    "too few": (TWO, [0], None, ValueError, "indices has shape (1,), values has shape (2, 3)"),
    "too many": (TWO, [0, 1, 2], None, ValueError, "indices has shape (3,), values has shape (2, 3)"),
    "none": (TWO, [], None, ValueError, "indices has shape (0,), values has shape (2, 3)"),
    "more axes": (TWO, [[0], [1]], None, ValueError, "indices has shape (2, 1), values has shape (2, 3)"),
    "0-d": (TWO, 1, None, ValueError, "indices has shape (), values has shape (2, 3)"),
    "float": (TWO, [0.0, 1.0], None, TypeError, "indices has dtype float64, expected integers"),
    "bool": (TWO, [True, False], None, TypeError, "indices has dtype bool, expected integers"),
    "None": (TWO, None, None, TypeError, "indices is a <class 'NoneType'>, expected an array"),
    "ragged": (TWO, [[0], [1, 2]], None, TypeError, "indices cannot be read as an array: "),
    "0-d values": (
        np.float32(1),
        [0],
        None,
        ValueError,
        "values has shape (), expected a row for each of indices",
    ),
    "int values": (
        np.ones(2, int),
        [0, 1],
        None,
        TypeError,
        "values has dtype int64, expected a floating or complex",
    ),
    "fewer axes": (TWO, [0, 1], (5,), ValueError, "dense_shape is (5,), values has shape (2, 3)"),
    "other sides": (TWO, [0, 1], (5, 2), ValueError, "dense_shape is (5, 2), values has shape (2, 3)"),
    "float shape": (
        TWO,
        [0, 1],
        (5.0, 3),
        TypeError,
        "dense_shape should be a sequence of integers. Received (5.0",
    ),
    "shape no sequence": (
        TWO,
        [0, 1],
        5,
        TypeError,
        "dense_shape should be a sequence of integers. Received 5",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case):
    values, indices, dense_shape, error, message = REFUSED[case]
    slices = IndexedSlices(values, indices, dense_shape)
    with pytest.raises(error, match=starts_with(message)):
        slices.coalesce()
