"""The same memory more than once: one array twice, arrays that overlap, targets that overlap inputs."""

import numpy as np
import pytest
from arrays import (
    DTYPES,
    assert_result,
    assert_same_norm,
    raises_unwritten,
    ramp,
    random_array,
    slices_of,
)
from oracle import ordered_clip

from numclip import clip_by_global_norm

FLOAT32 = np.float32
as_strided = np.lib.stride_tricks.as_strided


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_same_array_twice_is_counted_twice_and_scaled_once(rng, dtype):
    array, other = random_array(rng, dtype, (50,)), random_array(rng, dtype, (7,))
    expected, norm = ordered_clip([array, other, array], 1.0)
    t_list = [array, other, array[:]]
    clipped, actual = clip_by_global_norm(t_list, 1.0, out=[array[:], other, array])
    assert_same_norm(actual, norm)
    assert_result(clipped, expected, t_list)


@pytest.mark.parametrize("other_view", [np.transpose, np.ravel], ids=["transposed", "reshaped"])
def test_the_same_elements_in_another_shape_are_scaled_once(rng, other_view):
    """As the gradients of tied weights may come."""
    square = random_array(rng, FLOAT32, (6, 6))
    t_list = [square, other_view(square)]
    expected, norm = ordered_clip(t_list, 1.0)
    clipped, actual = clip_by_global_norm(t_list, 1.0, out=t_list)
    assert_same_norm(actual, norm)
    assert_result(clipped, expected, t_list)


def test_the_same_slices_twice_are_scaled_once():
    slices = slices_of(np.array([3.0, 4.0]))
    t_list = [slices, slices]
    expected, norm = ordered_clip(t_list, 1.0)
    clipped, actual = clip_by_global_norm(t_list, 1.0, out=t_list)
    assert_same_norm(actual, norm)
    assert_result(clipped, expected, t_list)


def overlapping_pairs():
    base, z = ramp(36), ramp(12, np.complex64)
    square = base.reshape(6, 6)
    return {
        "shifted": (base[:20], base[19:]),
        "inside": (base, base[5:6]),
        "0-d inside": (base, base[5:6].reshape(())),
        "crossing strides": (base[::2], base[::3]),
        "crossing blocks": (square[:4, :4], square[3:, 3:]),
        "reversed": (base, base[::-1]),
        "other dtype": (base, base.view(np.float64)[3:5]),
        "real part": (z, z.real),
        "slices": (slices_of(square), slices_of(square[2:])),
    }


@pytest.mark.parametrize("case", overlapping_pairs())
def test_entries_that_overlap_in_place_are_refused(case):
    first, second = overlapping_pairs()[case]
    t_list = [first, ramp(3), second]
    with raises_unwritten(ValueError, "out[0] and out[2] overlap in memory", *t_list):
        clip_by_global_norm(t_list, 1.0, out=t_list)


def test_two_results_cannot_go_to_one_target():
    t_list, target = [ramp(3), ramp(4), ramp(3)], ramp(3)
    with raises_unwritten(ValueError, "out[0] and out[2] overlap in memory", *t_list, target):
        clip_by_global_norm(t_list, 1.0, out=[target, ramp(4), target])


def test_an_overlap_is_refused_even_where_nothing_is_clipped():
    base = ramp()
    t_list = [base[:7], base[6:]]
    with raises_unwritten(ValueError, "out[0] and out[1] overlap in memory", base):
        clip_by_global_norm(t_list, 1e6, out=t_list)


def test_an_overlap_is_found_among_many():
    base = ramp(4000)
    t_list = [base[i : i + 2] for i in range(0, 4000, 2)]
    t_list[1500] = base[2999:3001]
    with raises_unwritten(ValueError, "out[1499] and out[1500] overlap in memory", base):
        clip_by_global_norm(t_list, 1.0, out=t_list)


def disjoint_views():
    base, z = ramp(36), ramp(12, np.complex64)
    square = base.reshape(6, 6)
    return {
        "neighbours": [base[:20], base[20:]],
        "interleaved": [base[::2], base[1::2]],
        "interleaved by three": [base[2::3], base[::-3][::-1][:0], base[1::3], base[::3]],
        "columns": [square[:, :2], square[:, 2:]],
        "blocks": [square[:3, :3], square[3:, 3:], square[:3, 3:], square[3:, :3]],
        "opposite directions": [base[17::-1], base[:17:-1]],
        "real and imaginary part": [z.real, z.imag],
        "empty inside": [base, base[3:3], square[2:2]],
    }


@pytest.mark.parametrize("case", disjoint_views())
def test_views_that_share_no_element_are_clipped_in_place(case):
    t_list = disjoint_views()[case]
    expected, norm = ordered_clip(t_list, 1.0)
    clipped, actual = clip_by_global_norm(t_list, 1.0, out=t_list)
    assert_result(clipped, expected, t_list)
    assert_same_norm(actual, norm)


@pytest.mark.parametrize("clip_norm", [1.0, 1e6], ids=["clipped", "kept"])
def test_a_target_that_overlaps_another_input_is_refused(clip_norm):
    base = ramp()
    t_list = [ramp(4), ramp(4), base[:4]]
    with raises_unwritten(ValueError, "out[0] overlaps t_list[2] in memory", base):
        clip_by_global_norm(t_list, clip_norm, out=[base[2:6], ramp(4), ramp(4)])


@pytest.mark.parametrize("step", [1, -1], ids=["ascending", "descending"])
def test_swapped_targets_are_refused(step):
    """Both overlap; the first is named, wherever the arrays lie in memory."""
    base = ramp(8)
    first, second = [base[:4], base[4:]][::step]
    with raises_unwritten(ValueError, "out[0] overlaps t_list[1] in memory", base):
        clip_by_global_norm([first, second], 1.0, out=[second, first])


@pytest.mark.parametrize("clip_norm", [1.0, 1e6], ids=["clipped", "kept"])
def test_a_target_that_overlaps_its_own_input_otherwise_than_exactly_is_refused(clip_norm):
    base = ramp(36)
    square = base.reshape(6, 6)
    pairs = [(base[:4], base[1:5]), (base, base[::-1]), (square, square.T), (square, square[::-1, ::-1])]
    for source, target in pairs:
        with raises_unwritten(ValueError, "out[1] overlaps t_list[1] in memory", base):
            clip_by_global_norm([ramp(2), source], clip_norm, out=[ramp(2), target])


@pytest.mark.parametrize("strides", [(0, 4), (4, 0), (4, 4), (8, 4)], ids=str)
def test_a_target_whose_own_elements_share_memory_is_refused(strides):
    base = ramp()
    view = as_strided(base, (3, 4), strides, writeable=True)
    t_list = [ramp(2), view]
    with raises_unwritten(ValueError, "out[1] has elements that share memory", base, t_list[0]):
        clip_by_global_norm(t_list, 1.0, out=t_list)
    with raises_unwritten(ValueError, "out[1] has elements that share memory", base, t_list[0]):
        clip_by_global_norm([ramp(2), np.ones((3, 4), FLOAT32)], 1.0, out=t_list)
