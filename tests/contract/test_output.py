"""Where the results go: new arrays, other arrays, or in place; and that an error writes nothing anywhere."""

from collections import deque

import numpy as np
import pytest
from arrays import (
    DTYPES,
    WRITABLE_LAYOUTS,
    assert_result,
    assert_same_bits,
    assert_same_norm,
    content,
    empty_targets,
    memory,
    mixed_list,
    random_array,
    slices_of,
)
from oracle import ordered_clip

from numclip import clip_by_global_norm

FLOAT32 = np.float32


@pytest.mark.parametrize("clip_norm", [1.0, 1e6], ids=["clipped", "kept"])
def test_results_share_memory_with_nothing(rng, clip_norm):
    t_list = mixed_list(rng)
    t_list += [t_list[0], t_list[0].T]
    before = [content(entry) for entry in t_list]
    clipped, _ = clip_by_global_norm(t_list, clip_norm)
    results = memory(clipped)
    for i, result in enumerate(results):
        assert not any(np.shares_memory(result, entry) for entry in memory(t_list))
        assert not any(np.shares_memory(result, other) for other in results[:i])
    assert [content(entry) for entry in t_list] == before


def test_overlapping_inputs_are_each_counted_and_clipped(rng):
    base = random_array(rng, np.float64, (6, 6))
    t_list = [base, base.T, base[1:, ::2], base[0], base]
    expected, norm = ordered_clip(t_list, 1.0)
    clipped, actual = clip_by_global_norm(t_list, 1.0)
    assert_result(clipped, expected, t_list)
    assert_same_norm(actual, norm)


@pytest.mark.parametrize("clip_norm", [0.0, 1.0, 1e6, float("inf")])
@pytest.mark.parametrize("container", [list, tuple, deque])
def test_out_receives_the_results_and_its_entries_come_back(rng, container, clip_norm):
    t_list = mixed_list(rng)
    before = [content(entry) for entry in t_list]
    expected, norm = ordered_clip(t_list, clip_norm)
    out = container(empty_targets(t_list))
    clipped, actual = clip_by_global_norm(t_list, clip_norm, out=out)
    assert clipped is not out
    assert all(result is target for result, target in zip(clipped, out, strict=True))
    assert_result(clipped, expected, t_list)
    assert_same_norm(actual, norm)
    assert [content(entry) for entry in t_list] == before


@pytest.mark.parametrize("clip_norm", [0.0, 1.0, 1e6, float("inf")])
@pytest.mark.parametrize("container", [list, tuple, deque])
def test_in_place_the_very_arrays_come_back(rng, container, clip_norm):
    t_list = container(mixed_list(rng))
    expected, norm = ordered_clip(t_list, clip_norm)
    clipped, actual = clip_by_global_norm(t_list, clip_norm, out=t_list)
    assert clipped is not t_list
    assert all(result is entry for result, entry in zip(clipped, t_list, strict=True))
    assert_result(clipped, expected, t_list)
    assert_same_norm(actual, norm)


@pytest.mark.parametrize("clip_norm", [0.7, 1e6], ids=["clipped", "kept"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_is_written_through(rng, layout, dtype, clip_norm):
    for shape in [(), (33,), (5, 7), (65, 70), (2, 3, 4), (0, 3)]:
        array = layout(random_array(rng, dtype, shape))
        [expected], _ = ordered_clip([array], clip_norm)
        clip_by_global_norm([array], clip_norm, out=[array])
        assert_same_bits(array, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_lies_between_strided_elements_stays(dtype):
    base = np.arange(1, 601).reshape(20, 30).astype(dtype)
    untouched = base.copy()
    view = base[1::3, ::-2]
    clip_by_global_norm([view], 1.0, out=[view])
    assert np.count_nonzero(base != untouched) == view.size
    view[...] = untouched[1::3, ::-2]
    assert content(base) == content(untouched)


def test_a_list_may_be_part_in_place_part_not(rng):
    t_list = [random_array(rng, FLOAT32, (50,)) for _ in range(3)]
    before = content(t_list[1])
    out = [t_list[0], np.empty_like(t_list[1]), t_list[2][:]]
    expected, _ = ordered_clip(t_list, 1.0)
    clipped, _ = clip_by_global_norm(t_list, 1.0, out=out)
    assert_result(clipped, expected, t_list)
    assert content(t_list[1]) == before


def test_slices_are_written_into_their_values():
    values = np.array([3.0, 4.0])
    t_list = [slices_of(values, rows=7)]
    clipped, _ = clip_by_global_norm(t_list, 2.5, out=t_list)
    assert clipped[0] is t_list[0]
    assert_same_bits(values, np.array([1.5, 2.0]))


def test_empty_lists_in_place():
    assert clip_by_global_norm([], 1.0, out=[])[0] == []
    assert clip_by_global_norm([None], 1.0, out=(None,))[0] == [None]
