"""A norm given by the caller, in place of the computed one."""

import ml_dtypes
import numpy as np
import pytest
from arrays import (
    DTYPES,
    assert_result,
    assert_same_bits,
    ragged_list,
    raises_unwritten,
    starts_with,
    three_and_four,
)
from oracle import as_reals, ordered_clip

from numclip import clip_by_global_norm

INF, NAN = float("inf"), float("nan")
TYPES = [float, int, np.float16, np.float32, np.float64, np.int32, ml_dtypes.bfloat16]


@pytest.mark.parametrize("clip_norm", [0.3, 7.0])
@pytest.mark.parametrize("use_norm", [7.1, 1e10, 1e300])
def test_it_is_used_in_place_of_the_norm(rng, clip_norm, use_norm):
    t_list = ragged_list(rng)
    expected, _ = ordered_clip(t_list, clip_norm, use_norm)
    clipped, norm = clip_by_global_norm(t_list, clip_norm, use_norm)
    assert norm is use_norm
    assert_result(clipped, expected, t_list)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_the_very_object_is_returned(kind):
    for use_norm in (kind(10), np.array(10, kind)):
        clipped, norm = clip_by_global_norm(three_and_four(np.float64), 5.0, use_norm)
        assert norm is use_norm
        assert_same_bits(clipped[0], np.array([1.5, 0.0]))
        assert_same_bits(clipped[1], np.array([[2.0]]))


def test_by_keyword_and_in_place():
    t_list, use_norm = three_and_four(), np.float32(10)
    _, norm = clip_by_global_norm(t_list, 5.0, use_norm=use_norm, out=t_list)
    assert norm is use_norm
    assert_same_bits(t_list[0], np.array([1.5, 0.0], np.float32))


@pytest.mark.parametrize("use_norm", [0, 0.0, 1e-300, 4.9, 5.0])
def test_within_the_threshold_nothing_changes(use_norm):
    t_list = [array * 100 for array in three_and_four()]
    clipped, norm = clip_by_global_norm(t_list, 5.0, use_norm)
    assert norm is use_norm
    for result, entry in zip(clipped, t_list, strict=True):
        assert_same_bits(result, entry)


@pytest.mark.parametrize(("use_norm", "clip_norm"), [(1 + 4e-8, 1.0), (1e-50, 1e-60), (1e300, 1e299)])
def test_it_is_compared_as_it_is_and_not_as_a_float32(use_norm, clip_norm):
    t_list = [np.array([1.9999999, -1.0], np.float32)]
    expected, _ = ordered_clip(t_list, clip_norm, use_norm)
    assert expected[0][0] < t_list[0][0]
    assert_result(clip_by_global_norm(t_list, clip_norm, use_norm)[0], expected, t_list)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("use_norm", [0.0, 1e-300, 5.0])
def test_a_threshold_of_zero_gives_zeros(dtype, use_norm):
    for in_place in (False, True):
        t_list = three_and_four(dtype)
        clipped, norm = clip_by_global_norm(t_list, 0, use_norm, out=t_list if in_place else None)
        assert norm is use_norm
        assert not any(as_reals(result).any() for result in clipped)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("clip_norm", [0.0, 1.0, INF])
@pytest.mark.parametrize("use_norm", [INF, NAN, np.float32(NAN), np.array(INF)], ids=repr)
def test_infinity_and_nan_give_nan(dtype, clip_norm, use_norm):
    for in_place in (False, True):
        t_list = three_and_four(dtype)
        clipped, norm = clip_by_global_norm(t_list, clip_norm, use_norm, out=t_list if in_place else None)
        assert norm is use_norm
        assert all(np.isnan(as_reals(result)).all() for result in clipped)


def test_the_elements_are_not_looked_at():
    t_list = [np.array([NAN, INF, -INF, 4.0], np.float32)]
    clipped, _ = clip_by_global_norm(t_list, 1.0, 2.0)
    assert_same_bits(clipped[0], np.array([NAN, INF, -INF, 2.0], np.float32))


@pytest.mark.parametrize("t_list", [[], [None], [np.empty(0)]], ids=["empty", "None", "zero-size"])
def test_lists_without_an_element_return_it_too(t_list):
    use_norm = 3.0
    clipped, norm = clip_by_global_norm(t_list, 1.0, use_norm)
    assert norm is use_norm
    assert len(clipped) == len(t_list)


NOT_NUMBERS = ["1.0", 1j, True, np.array(True), np.array(1j), np.array([1.0]), np.ones(2), [1.0], ()]


@pytest.mark.parametrize("use_norm", NOT_NUMBERS, ids=repr)
def test_what_is_not_a_real_number_is_refused(use_norm):
    t_list = three_and_four()
    with raises_unwritten(TypeError, "use_norm should be a real number or 0-d array. Received ", *t_list):
        clip_by_global_norm(t_list, 1.0, use_norm, out=t_list)


@pytest.mark.parametrize("use_norm", [-1, -INF, -5e-324, np.float32(-1), np.array(-1.0)], ids=repr)
def test_negative_norms_are_refused(use_norm):
    t_list = three_and_four()
    with raises_unwritten(ValueError, "use_norm should be non-negative. Received ", *t_list):
        clip_by_global_norm(t_list, 1.0, use_norm, out=t_list)


def test_a_negative_norm_is_shown():
    with pytest.raises(ValueError, match=starts_with("use_norm should be non-negative. Received -1.0")):
        clip_by_global_norm([], 1.0, -1.0)


def test_the_entries_are_checked_all_the_same():
    with pytest.raises(TypeError, match=starts_with("t_list[1] has dtype int64")):
        clip_by_global_norm([np.ones(2), np.array([1])], 1.0, 2.0)
