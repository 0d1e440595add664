"""clip_factor: the factor and the norm, without touching an array."""

from fractions import Fraction

import numpy as np
import oracle
import pytest
from arrays import (
    DTYPES,
    assert_same_norm,
    clip_norms,
    content,
    ragged_list,
    ragged_lists,
    starts_with,
    three_and_four,
)
from hypothesis import given
from hypothesis import strategies as st
from oracle import exact_norm, norm_dtype, ordered_root, rounded, ulp

from numclip import clip_by_global_norm, clip_factor, global_norm

INF, NAN = float("inf"), float("nan")


@pytest.mark.slow
@given(st.data(), ragged_lists())
def test_it_is_the_factor_of_the_formula(data, t_list):
    norm = global_norm(t_list)
    clip_norm = data.draw(clip_norms(float(norm)))
    before = [content(entry) for entry in t_list]
    factor, actual = clip_factor(t_list, clip_norm)
    assert_same_norm(actual, norm)
    assert type(factor) is float
    assert [content(entry) for entry in t_list] == before
    if clip_norm == 0:
        assert factor == 0
    elif float(norm) <= clip_norm:
        assert factor == 1
    else:
        root, unit = ordered_root(t_list)
        assert factor == oracle.factor(root, unit, norm, clip_norm)
        if norm_dtype(t_list) is np.float64:  # the error of other sums may be larger, which no result shows
            exact = Fraction(clip_norm) / exact_norm(t_list)
            assert abs(Fraction(factor) - exact) <= 0.51 * ulp(exact, np.float64)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_products_with_it_are_the_clipped_arrays(rng, dtype):
    t_list = ragged_list(rng, [dtype])
    clipped, _ = clip_by_global_norm(t_list, 0.7)
    factor, _ = clip_factor(t_list, 0.7)
    for result, entry in zip(clipped, t_list, strict=True):
        wide = entry.astype(np.complex128 if dtype.kind == "c" else np.float64)
        np.testing.assert_allclose(np.asarray(result, wide.dtype), wide * factor, rtol=1e-2, atol=1e-7)


@pytest.mark.parametrize("clip_norm", [5.0, 7, np.float32(1e30), INF])
def test_it_is_one_where_nothing_is_clipped(clip_norm):
    assert clip_factor(three_and_four(), clip_norm) == (1.0, 5.0)


def test_it_is_zero_for_a_threshold_of_zero():
    assert clip_factor(three_and_four(), 0) == (0.0, 5.0)
    assert clip_factor([np.zeros(3)], 0) == (0.0, 0.0)


@pytest.mark.parametrize("bad", [INF, NAN])
def test_it_is_nan_for_elements_that_are_not_finite(bad):
    factor, norm = clip_factor([np.array([1.0, bad])], 1.0)
    assert np.isnan(factor)
    assert not np.isfinite(norm)


@pytest.mark.parametrize("mixed", [False, True], ids=["one dtype", "mixed"])
@pytest.mark.parametrize("clip_norm", [1e-10, 3e-16, 4.7e-20, 1e-30])
def test_a_subnormal_factor_is_rounded(clip_norm, mixed):
    """The arrays are scaled in two steps there; the factor is their product."""
    t_list = [np.array([3e300]), np.array([4e300])] + [np.zeros(1, np.float32)] * mixed
    exact = Fraction(clip_norm) / exact_norm(t_list)
    assert exact < Fraction(2) ** -1022
    factor, _ = clip_factor(t_list, clip_norm)
    assert abs(factor - rounded(exact, np.float64)) <= 5e-324


def test_lists_without_an_element():
    for t_list in ([], [None], [np.empty(0)]):
        assert clip_factor(t_list, 1.0) == (1.0, 0.0)


def test_a_given_norm_is_used_and_returned():
    use_norm = np.float32(10)
    factor, norm = clip_factor(three_and_four(), 5.0, use_norm)
    assert factor == 0.5
    assert norm is use_norm
    assert (
        clip_factor(three_and_four(), 5.0, use_norm=INF)[0]
        != clip_factor(three_and_four(), 5.0, 1.0)[0]
        == 1.0
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ({"a": np.ones(2)}, 1.0),
            TypeError,
            "t_list should be a sequence of arrays. Received <class 'dict'>",
        ),
        (([np.ones(2), np.ones(2, int)], 1.0), TypeError, "t_list[1] has dtype int64"),
        (([], -1.0), ValueError, "clip_norm should be non-negative. Received -1.0"),
        (([], NAN), ValueError, "clip_norm should not be NaN"),
        (([], "1"), TypeError, "clip_norm should be a real number or 0-d array. Received '1'"),
        (([], 1.0, -1.0), ValueError, "use_norm should be non-negative. Received -1.0"),
    ],
    ids=str,
)
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=starts_with(message)):
        clip_factor(*arguments)
