"""How close norms and results come to the exact ones."""

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
    ordered_norm,
    ordered_root,
    rounded,
    ulp,
)

from numclip import clip_by_global_norm, global_norm

SINGLES = [np.float32, np.complex64]
DOUBLES = [np.float64, np.complex128]


def largest_error(actual, exact, dtype):
    """The largest distance of float64 values from exact ones, in ulps of `dtype`."""
    pairs = zip(as_reals(actual).tolist(), exact, strict=True)
    return max(float(abs(Fraction(value) - wanted) / ulp(wanted, dtype)) for value, wanted in pairs)


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


def random_wide_list(rng, dtype):
    """Up to 40,000 elements in up to four arrays, of one magnitude or of many, and sometimes with float32."""
    exponents = (0, 0) if rng.random() < 0.5 else (-3, 3)
    sizes = rng.integers(1, 10_000, rng.integers(1, 5)) if rng.random() < 0.3 else rng.integers(1, 60, 3)
    t_list = [random_array(rng, dtype, (size,), exponents) for size in sizes.tolist()]
    if rng.random() < 0.3:
        t_list.append(random_array(rng, np.float32, (5000,), exponents))
    return t_list


@pytest.mark.slow
@pytest.mark.cpu
@pytest.mark.parametrize("dtype", DOUBLES)
def test_norms_of_64_bits_are_correctly_rounded(rng, dtype):
    for _ in range(100):
        t_list = random_wide_list(rng, dtype)
        assert_same_norm(global_norm(t_list), np.float64(rounded(exact_norm(t_list), np.float64)))


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


@pytest.mark.slow
@pytest.mark.cpu
def test_sixteen_million_elements(rng):
    """A sum in float32 stops growing at 2**24 equal terms, and is off long before."""
    size, tenth = 16_000_000, np.float32(0.1)
    exact = exact_root(size * Fraction(float(tenth)) ** 2)
    norm = global_norm([np.full(size, tenth)])
    assert_same_norm(norm, np.float32(rounded(exact, np.float32)))


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


@pytest.mark.slow
@pytest.mark.cpu
@pytest.mark.parametrize("dtype", DOUBLES)
def test_float64_results_are_within_15_ulp_of_the_formula(rng, dtype):
    """Half an ulp for the product, and up to one for the rounding of the factor."""
    for _ in range(60):
        t_list = random_wide_list(rng, dtype)
        clip_norm = float(exact_norm(t_list)) * rng.uniform(1e-3, 0.999)
        clipped, _ = clip_by_global_norm(t_list, clip_norm)
        for result, exact in zip(clipped, exact_clipped(t_list, clip_norm), strict=True):
            assert largest_error(result, exact, result.dtype) <= (1.5 if is_wide(result) else 0.51)


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


@pytest.mark.slow
@pytest.mark.cpu
@pytest.mark.parametrize("clip_norm", [1.0, 3e-5, 517.3])
@pytest.mark.parametrize("half", HALVES, ids=lambda half: half.__name__)
def test_halves_are_the_exact_product_rounded_once(half, clip_norm):
    """For every bit pattern."""
    every = np.arange(2**16, dtype=np.uint16).view(half)
    finite = every[np.isfinite(as_reals(every))]
    use_norm = 1000.7
    by = Fraction(float(clip_norm / use_norm))
    clipped, _ = clip_by_global_norm([finite], clip_norm, use_norm)
    expected = np.array([rounded(Fraction(x) * by, half) for x in as_reals(finite).tolist()])
    np.testing.assert_array_equal(as_reals(clipped[0]), expected)


@pytest.mark.cpu
@pytest.mark.parametrize("half", HALVES, ids=lambda half: half.__name__)
def test_whole_vectors_of_halves_have_the_bits_of_single_elements(rng, half):
    """Whole vectors go by way of float32 where that is sure to round the same, the rest by way of float64."""
    every = np.arange(2**16, dtype=np.uint16).view(half)
    pieces = np.split(every, range(31, every.size, 31))
    factors = [
        0.5,
        0.75,
        2.0**-14,
        2.0**-99,
        2.0**-101,
        1e-39,
        1 - 2.0**-53,
        *rng.random(20),
        *rng.random(5) * 1e-5,
    ]
    for factor in factors:
        [whole], _ = clip_by_global_norm([every], factor, 1.0)
        parts, _ = clip_by_global_norm(pieces, factor, 1.0)
        same = whole.view(np.uint16) == np.concatenate(parts).view(np.uint16)
        assert (same | np.isnan(whole)).all()
        assert np.isnan(np.concatenate(parts)[np.isnan(whole)]).all()


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
