"""The errors of norms and results, for lists that take too long on a simulated device."""

from fractions import Fraction

import numpy as np
import pytest
from arrays import assert_same_norm, random_array
from oracle import HALVES, as_reals, exact_clipped, exact_norm, exact_root, is_wide, largest_error, rounded

from numclip import clip_by_global_norm, global_norm

DOUBLES = [np.float64, np.complex128]


def random_wide_list(rng, dtype):
    """Up to 40,000 elements in up to four arrays, of one magnitude or of many, and sometimes with float32."""
    exponents = (0, 0) if rng.random() < 0.5 else (-3, 3)
    sizes = rng.integers(1, 10_000, rng.integers(1, 5)) if rng.random() < 0.3 else rng.integers(1, 60, 3)
    t_list = [random_array(rng, dtype, (size,), exponents) for size in sizes.tolist()]
    if rng.random() < 0.3:
        t_list.append(random_array(rng, np.float32, (5000,), exponents))
    return t_list


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DOUBLES)
def test_norms_of_64_bits_are_correctly_rounded(rng, dtype):
    for _ in range(100):
        t_list = random_wide_list(rng, dtype)
        assert_same_norm(global_norm(t_list), np.float64(rounded(exact_norm(t_list), np.float64)))


@pytest.mark.slow
def test_sixteen_million_elements(rng):
    """A sum in float32 stops growing at 2**24 equal terms, and is wrong long before."""
    size, tenth = 16_000_000, np.float32(0.1)
    exact = exact_root(size * Fraction(float(tenth)) ** 2)
    norm = global_norm([np.full(size, tenth)])
    assert_same_norm(norm, np.float32(rounded(exact, np.float32)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DOUBLES)
def test_float64_results_are_within_15_ulp_of_the_formula(rng, dtype):
    """The error is half an ulp for the product, and up to one for the rounding of the factor."""
    for _ in range(60):
        t_list = random_wide_list(rng, dtype)
        clip_norm = float(exact_norm(t_list)) * rng.uniform(1e-3, 0.999)
        clipped, _ = clip_by_global_norm(t_list, clip_norm)
        for result, exact in zip(clipped, exact_clipped(t_list, clip_norm), strict=True):
            assert largest_error(result, exact, result.dtype) <= (1.5 if is_wide(result) else 0.51)


@pytest.mark.slow
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
