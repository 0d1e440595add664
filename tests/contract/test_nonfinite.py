"""A NaN or an infinity makes every result NaN; a finite list never gives NaN."""

import numpy as np
import pytest
from arrays import DTYPES, assert_same_norm, ragged_list, slices_of
from oracle import as_reals, norm_dtype

from numclip import clip_by_global_norm, global_norm

INF, NAN = float("inf"), float("nan")
SPOILERS = [NAN, INF, -INF]


def all_nan(entry):
    return bool(np.isnan(as_reals(entry)).all())


@pytest.mark.parametrize("clip_norm", [0.0, 1.0, 1e300, INF])
@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_entry_becomes_nan(rng, dtype, spoiler, clip_norm):
    spoiled = np.zeros(4200, dtype)
    spoiled[-1] = spoiler
    for in_place in (False, True):
        t_list = [*ragged_list(rng), None, slices_of(np.ones((2, 3), dtype)), spoiled.copy()]
        clipped, norm = clip_by_global_norm(t_list, clip_norm, out=t_list if in_place else None)
        assert not np.isfinite(norm)
        assert np.isnan(norm) == np.isnan(spoiler)
        for result, entry in zip(clipped, t_list, strict=True):
            assert (result is None) == (entry is None)
            assert result is None or all_nan(getattr(result, "values", result))


@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_norm_shows_it_in_its_dtype(dtype, spoiler):
    t_list = [np.ones(3, dtype), np.array([spoiler], dtype)]
    assert_same_norm(global_norm(t_list), norm_dtype(t_list)(abs(spoiler)))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("spoiler", [complex(1, NAN), complex(NAN, 1), complex(0, INF), complex(-INF, 0)])
def test_both_parts_of_a_complex_number_count(dtype, spoiler):
    clipped, norm = clip_by_global_norm([np.array([spoiler, 1 + 1j], dtype)], 1.0)
    assert not np.isfinite(norm)
    assert all_nan(clipped[0])


def test_nan_wins_over_infinity():
    assert np.isnan(global_norm([np.array([INF], np.float32), np.array([NAN], np.float32)]))
    assert np.isnan(global_norm([np.array([NAN]), np.array([INF])]))


def test_nan_in_one_dtype_spoils_the_others():
    clipped, norm = clip_by_global_norm([np.array([NAN], np.float16), np.array([1.0])], 1.0)
    assert type(norm) is np.float64
    assert all_nan(clipped[1])


def test_zero_size_entries_stay():
    clipped, _ = clip_by_global_norm([np.empty((0, 2)), np.array([NAN])], 1.0)
    assert clipped[0].shape == (0, 2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_largest_finite_element_has_a_finite_norm(dtype):
    largest = {"float64": 1.79e308, "complex128": 1.79e308, "float16": 65504.0}.get(dtype.name, 3.38e38)
    entry = np.array([largest], dtype)
    clipped, norm = clip_by_global_norm([entry], 1.0)
    np.testing.assert_allclose(norm, as_reals(entry)[0], rtol=1e-15 if type(norm) is np.float64 else 1e-7)
    np.testing.assert_allclose(as_reals(clipped[0])[0], 1, rtol=4e-3)


def test_a_true_norm_beyond_float64_is_infinite():
    assert_same_norm(global_norm([np.full(4, 1.7e308)]), np.float64(INF))
    assert_same_norm(global_norm([np.full(4, 1.7e308), np.ones(3, np.float32)]), np.float64(INF))
