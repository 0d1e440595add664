"""Compiled callers get the bits that Python's callers get, for every container and layout."""

import numba
import numpy as np
import pytest
from arrays import (
    EXPONENTS,
    assert_same_bits,
    in_fortran_order,
    random_array,
    reversed_in_memory,
    with_axes_rotated,
    with_gaps,
)
from compiled import clip, clip_given, clip_in_place, clip_to, factor_of, norm_of
from float_environment import environment
from numba.typed import List

import numclip

DTYPES = [np.dtype(name) for name in ("f4", "f8", "c8", "c16")]
SIZES = (0, 1, 31, 33, 4095, 4097, 9000)


def assert_as_from_python(t_list, container, clip_norm):
    """New results, in place, into `out`, and the norm and the factor alone."""
    expected, norm = numclip.clip_by_global_norm(t_list, clip_norm)
    same = float(norm).hex()
    assert float(norm_of(container)).hex() == same
    factor, measured = factor_of(container, clip_norm)
    assert float(measured).hex() == same
    assert factor.hex() == numclip.clip_factor(t_list, clip_norm)[0].hex()
    results, returned = clip(container, clip_norm)
    assert float(returned).hex() == same
    for result, wanted in zip(results, expected, strict=True):
        assert_same_bits(result, wanted)
    for result, wanted in zip(clip_to(container, clip_norm, results)[0], expected, strict=True):
        assert_same_bits(result, wanted)
    _, returned = clip_in_place(container, clip_norm)
    assert float(returned).hex() == same
    for array, wanted in zip(t_list, expected, strict=True):
        assert_same_bits(array, wanted)


def random_magnitude(rng, dtype):
    low, high = EXPONENTS[dtype.name]
    return [(0, 0), (low, low), (high, high), (-2, 2)][rng.choice(4, p=(0.6, 0.1, 0.1, 0.2))]


def clip_norm_near(rng, t_list):
    norm = float(numclip.global_norm(t_list))
    return rng.choice([0.0, 0.37, 1.0, 2.0]) * norm if np.isfinite(norm) else 1.0


# How many lists of each kind: 1000 of all kinds take a minute.
few_or_many = pytest.mark.parametrize("count", [25, pytest.param(125, marks=pytest.mark.long)])


@few_or_many
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_typed_lists(rng, dtype, count, figures):
    for _ in range(count):
        exponents = random_magnitude(rng, dtype)
        shapes = rng.choice(SIZES, (rng.integers(1, 7), 1))
        t_list = [random_array(rng, dtype, tuple(shape), exponents) for shape in shapes]
        assert_as_from_python(t_list, List(t_list), clip_norm_near(rng, t_list))
    figures("compiled callers", count, "random lists, bits as from Python")


# The types are drawn once: a tuple of other types compiles anew.
TUPLES = [
    (DTYPES, [np.ascontiguousarray] * 4),
    ([DTYPES[0]] * 3, [np.ascontiguousarray, in_fortran_order, np.ascontiguousarray]),
    (DTYPES[:3], [with_axes_rotated, with_gaps, reversed_in_memory]),
    ([DTYPES[1]] * 2, [with_gaps, in_fortran_order]),
]


@few_or_many
@pytest.mark.parametrize("kind", range(len(TUPLES)))
def test_tuples(rng, kind, count, figures):
    dtypes, layouts = TUPLES[kind]
    for _ in range(count):
        shapes = [tuple(rng.integers(0, 20, axes)) for axes in (2, 3, 2, 1)]
        exponents = random_magnitude(rng, dtypes[0])
        t_list = [
            layout(random_array(rng, dtype, shape, exponents))
            for dtype, layout, shape in zip(dtypes, layouts, shapes, strict=False)
        ]
        assert_as_from_python(t_list, tuple(t_list), clip_norm_near(rng, t_list))
    figures("compiled callers", count, "random lists, bits as from Python")


@numba.njit
def clip_as_list(a, b, c, clip_norm):
    results, norm = numclip.clip_by_global_norm([a, b, c], clip_norm)
    return results[0], results[1], results[2], norm


@few_or_many
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_lists_made_in_compiled_code(rng, dtype, count, figures):
    for _ in range(count):
        t_list = [random_array(rng, dtype, (int(rng.choice(SIZES)),)) for _ in range(3)]
        *results, norm = clip_as_list(*t_list, 0.5)
        expected, wanted = numclip.clip_by_global_norm(t_list, 0.5)
        assert float(norm).hex() == float(wanted).hex()
        for result, array in zip(results, expected, strict=True):
            assert_same_bits(result, array)
    figures("compiled callers", count, "random lists, bits as from Python")


def test_none_in_a_tuple_stays():
    array = np.array([3.0, 4.0])
    (none, clipped), norm = clip((None, array), 1.0)
    assert none is None
    assert norm == 5.0
    assert_same_bits(clipped, numclip.clip_by_global_norm([array], 1.0)[0][0])


def test_a_given_norm_is_used_and_returned():
    t_list = (np.array([3.0], np.float32), np.array([[4.0]]))
    results, norm = clip_given(t_list, 1.0, 10.0)
    assert norm == 10.0
    for result, wanted in zip(results, numclip.clip_by_global_norm(list(t_list), 1.0, 10.0)[0], strict=True):
        assert_same_bits(result, wanted)


def test_columns_of_one_matrix_in_place():
    matrix = np.arange(12.0).reshape(3, 4)
    expected = matrix / np.linalg.norm(matrix)
    clip_in_place((matrix[:, ::2], matrix[:, 1::2]), 1.0)
    np.testing.assert_allclose(matrix, expected, rtol=1e-15)


def test_the_same_array_twice_is_scaled_once():
    for array in (np.array([3.0, 4.0]), np.array([3.0, 0.0, 4.0])[::2]):
        _, norm = clip_in_place((array, array), 1.0)
        assert norm == np.sqrt(50.0)
        np.testing.assert_allclose(array, np.array([3.0, 4.0]) / norm, rtol=1e-15)


@numba.njit(fastmath=True)
def clip_with_fast_math(t_list, clip_norm):
    return numclip.clip_by_global_norm(t_list, clip_norm)


def test_fast_math_of_the_caller_changes_nothing(rng):
    t_list = [random_array(rng, np.float64, (5000, 2)), random_array(rng, np.float32, (77,))]
    expected, norm = numclip.clip_by_global_norm(t_list, 0.3)
    results, returned = clip_with_fast_math(tuple(t_list), 0.3)
    assert returned.hex() == float(norm).hex()
    for result, wanted in zip(results, expected, strict=True):
        assert_same_bits(result, wanted)


@numba.njit
def clip_and_store(t_list, clip_norm, norms):
    results, norms[0] = numclip.clip_by_global_norm(t_list, clip_norm)
    return results


@pytest.mark.parametrize("changes", [{"flush": True}, {"rounding": "up"}], ids=["flush", "rounding"])
def test_the_floating_point_environment_changes_nothing(changes):
    array, norms = np.full(3, 1e-42, np.float32), np.zeros(1, np.float32)
    (expected,), norm = numclip.clip_by_global_norm([array], 1.1e-42)
    clip_and_store((array,), 1.1e-42, norms)
    norms[0] = 0.0
    with environment(**changes):
        (result,) = clip_and_store((array,), 1.1e-42, norms)
    assert_same_bits(result, expected)
    assert norms[0] == norm > 0.0


def test_not_finite():
    for value in (np.inf, np.nan):
        array = np.array([1.0, value], np.float32)
        (clipped,), norm = clip((array,), 1.0)
        np.testing.assert_equal(norm, value)
        assert np.isnan(clipped).all()
        assert norm_of((array,)) == value or np.isnan(value)
        np.testing.assert_array_equal(array, np.array([1.0, value], np.float32))
