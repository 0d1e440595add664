"""The errors of norms and results, against the exact ones."""

from fractions import Fraction

import numpy as np
import pytest
from arrays import DTYPES, EXPONENTS, assert_same_norm, random_array, slices_of
from oracle import (
    HALVES,
    as_reals,
    exact_clipped,
    exact_norm,
    exact_root,
    exact_sum_of_squares,
    is_wide,
    largest_error,
    ordered_norm,
    ordered_root,
    rounded,
    ulp,
)

from numclip import clip_by_global_norm, global_norm

SINGLES = [np.float32, np.complex64]
DOUBLES = [np.float64, np.complex128]


def random_list(rng, dtype):
    exponents = (0, 0) if rng.random() < 0.5 else (-3, 3)
    return [random_array(rng, dtype, shape, exponents) for shape in [(1,), (40,), (), (3, 50)]]


# --- the oracle itself --------------------------------------------------------------------------------------


def test_the_exact_sum_is_that_of_plain_fractions(rng):
    for dtype in DTYPES:
        reals = as_reals(random_array(rng, dtype, (200,), EXPONENTS[dtype.name]))
        total = sum((Fraction(x) ** 2 for x in reals.tolist()), Fraction(0))
        assert exact_sum_of_squares(reals) == total
        assert abs(exact_root(total) ** 2 / total - 1) < Fraction(1, 2**190)


def test_the_ordered_norm_is_close_to_the_exact_one(rng):
    for dtype in DTYPES:
        t_list = [random_array(rng, dtype, (70, 70)), None, random_array(rng, dtype, (9,))]
        root, unit = ordered_root(t_list)
        assert abs(Fraction(root) / Fraction(unit) / exact_norm(t_list) - 1) < Fraction(1, 2**50)


# --- norms --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [d for d in DTYPES if not is_wide(np.empty(0, d))], ids=str)
def test_norms_of_32_bits_or_fewer_are_correctly_rounded(rng, dtype):
    for _ in range(50):
        t_list = random_list(rng, dtype)
        assert_same_norm(global_norm(t_list), np.float32(rounded(exact_norm(t_list), np.float32)))


TINY_AND_HUGE = {
    "float16": [300, 1e-7, 65504],
    "bfloat16": [1e30, 1e-30, 1e-40, 3e38],
    "float32": [1e30, 1e-30, 1e-45, 3e38],
    "complex64": [1e30, 1e-30, 1e-45, 3e38],
    "float64": [1e200, 1e-200, 5e-324, 1e-310, 1e-146, 1e154, 1.7e308],
    "complex128": [1e200, 1e-200, 5e-324, 1e-310, 1e-146, 1e154, 1.7e308],
}


@pytest.mark.parametrize(("dtype", "value"), [(d, value) for d in DTYPES for value in TINY_AND_HUGE[d.name]])
def test_tiny_and_huge_elements_have_their_true_norm(dtype, value):
    t_list = [np.array([value], dtype)]
    norm = global_norm(t_list)
    if is_wide(t_list[0]):
        assert abs(Fraction(float(norm)) / exact_norm(t_list) - 1) < Fraction(1, 10**14)
    else:
        assert_same_norm(norm, np.float32(rounded(exact_norm(t_list), np.float32)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DOUBLES)
@pytest.mark.parametrize("size", [3, 5000])
@pytest.mark.parametrize(
    "exponent", [-323, -310, -200, -155, -146, -145, -144, -140, 140, 152, 154, 200, 305]
)
def test_float64_sums_neither_overflow_nor_underflow(rng, dtype, exponent, size):
    t_list = [random_array(rng, dtype, (size,), (exponent, exponent)), np.ones(2, np.float32)]
    for entries in (t_list[:1], [t_list[0], None, slices_of(t_list[0])], t_list):
        exact, norm = exact_norm(entries), Fraction(float(global_norm(entries)))
        assert abs(norm - exact) <= max(exact / 10**14, ulp(exact, np.float64))
        assert_same_norm(global_norm(entries), ordered_norm(entries))


def test_a_norm_beyond_float32_is_infinite_and_still_clips():
    t_list = [np.full(4, 3e38, np.float32)]
    clipped, norm = clip_by_global_norm(t_list, 1.0)
    assert_same_norm(norm, np.float32("inf"))
    assert largest_error(clipped[0], exact_clipped(t_list, 1.0)[0], np.float32) <= 0.51


# --- results ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", SINGLES)
def test_float32_results_are_within_051_ulp_of_the_formula(rng, dtype):
    for _ in range(30):
        t_list = random_list(rng, dtype)
        clip_norm = float(exact_norm(t_list)) * rng.uniform(1e-3, 0.999)
        clipped, _ = clip_by_global_norm(t_list, clip_norm)
        for result, exact in zip(clipped, exact_clipped(t_list, clip_norm), strict=True):
            assert largest_error(result, exact, np.float32) <= 0.51


@pytest.mark.parametrize("dtype", SINGLES)
@pytest.mark.parametrize("clip_norm", [1e-44, 1e-38, 1e-20, 1e20])
def test_float32_results_of_any_magnitude_are_within_051_ulp(rng, dtype, clip_norm):
    t_list = [random_array(rng, dtype, (300,), EXPONENTS["float32"])]
    clipped, _ = clip_by_global_norm(t_list, clip_norm)
    assert largest_error(clipped[0], exact_clipped(t_list, clip_norm)[0], np.float32) <= 0.51


@pytest.mark.parametrize("clip_norm", [1e-300, 1e-100, 1e-10, 0.1])
@pytest.mark.parametrize("use_norm", [1e200, 1e300, 1.7e308])
def test_a_factor_may_be_smaller_than_a_normal_float64(rng, use_norm, clip_norm):
    t_list = [np.array([use_norm, -use_norm / 3, use_norm * 1e-9, 1e-20, 0.0])]
    clipped, _ = clip_by_global_norm(t_list, clip_norm, use_norm)
    assert largest_error(clipped[0], exact_clipped(t_list, clip_norm, use_norm)[0], np.float64) <= 1.5


def test_a_norm_beyond_float64_is_infinite_and_still_clips():
    """A finite list gives NaN nowhere."""
    t_list = [np.full(4, 1.7e308), np.full(3, -1.0)]
    clipped, norm = clip_by_global_norm(t_list, 1e307)
    assert_same_norm(norm, np.float64("inf"))
    for result, exact in zip(clipped, exact_clipped(t_list, 1e307), strict=True):
        assert largest_error(result, exact, np.float64) <= 1.5


@pytest.mark.parametrize("clip_norm", [5e-324, 1.5e-323, 1e-320, 1e-310])
@pytest.mark.parametrize("use_norm", [1e-309, 1.0, 1e300])
def test_a_subnormal_threshold_loses_no_bits(use_norm, clip_norm):
    t_list = [np.array([use_norm, -use_norm / 3, 1.7e308, -1e200])]
    clipped, _ = clip_by_global_norm(t_list, clip_norm, use_norm)
    assert largest_error(clipped[0], exact_clipped(t_list, clip_norm, use_norm)[0], np.float64) <= 1.5


@pytest.mark.parametrize("clip_norm", [4000 / 3, 33.3, 1e-5, 1e300])
@pytest.mark.parametrize("size", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_small_elements_beside_a_norm_beyond_float64(size, clip_norm):
    huge = np.broadcast_to(1.7e308, (size,))
    t_list = [huge, np.array([0.7, -1e5, 3e-300, 1e300])]
    clipped, _ = clip_by_global_norm(t_list, clip_norm)
    exact = [Fraction(x) * Fraction(clip_norm) / exact_norm(t_list) for x in t_list[1].tolist()]
    assert largest_error(clipped[1], exact, np.float64) <= 1.5


@pytest.mark.parametrize("value", [1e200, 1e-200, 5e-324, 1.5e308])
def test_float64_lists_of_any_magnitude_are_clipped(value):
    t_list = [np.array([value, -value / 2])]
    clip_norm = value / 2
    clipped, norm = clip_by_global_norm(t_list, clip_norm)
    assert largest_error(clipped[0], exact_clipped(t_list, clip_norm, use_norm=norm)[0], np.float64) <= 1.5


@pytest.mark.parametrize("half", HALVES, ids=lambda half: half.__name__)
def test_every_nan_among_the_halves_stays_one(half):
    every = np.arange(2**16, dtype=np.uint16).view(half)
    clipped, _ = clip_by_global_norm([every], 1.0, 2.0)
    np.testing.assert_array_equal(np.isnan(as_reals(clipped[0])), np.isnan(as_reals(every)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_norm_of_what_was_clipped_is_the_threshold(rng, dtype):
    t_list = [random_array(rng, dtype, (200,))]
    clipped, _ = clip_by_global_norm(t_list, 0.75)
    tolerance = {"float16": 1e-3, "bfloat16": 1e-2, "float32": 1e-7, "complex64": 1e-7}.get(dtype.name, 1e-15)
    np.testing.assert_allclose(float(exact_norm(clipped)), 0.75, rtol=tolerance)
