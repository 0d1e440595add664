"""Where the results go: new arrays, other arrays, or in place; and that an error writes nothing anywhere."""

import subprocess
import sys
from collections import deque

import numpy as np
import pytest
from arrays import (
    DTYPES,
    LAYOUTS,
    WRITABLE_LAYOUTS,
    assert_result,
    assert_same_bits,
    assert_same_norm,
    content,
    empty_targets,
    memory,
    mixed_list,
    ramp,
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


@pytest.mark.cpu
@pytest.mark.parametrize("size", [5, 5000, 500_000])
def test_a_result_in_use_survives_later_calls(size):
    entry = np.ones(size, FLOAT32)
    views, wanted = [], []
    for clip_norm in (1.0, 2.0, 3.0, 4.0, 5.0):
        [result], _ = clip_by_global_norm([entry], clip_norm * 0.1)
        views.append(result[1:])
        wanted.append(result[1:].copy())
        del result
    for view, copy in zip(views, wanted, strict=True):
        assert_same_bits(view, copy)


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


@pytest.mark.cpu
@pytest.mark.parametrize("clip_norm", [0.7, 1e6], ids=["clipped", "kept"])
@pytest.mark.parametrize("target_layout", WRITABLE_LAYOUTS, ids=lambda layout: layout.__name__)
def test_the_layout_of_a_target_need_not_be_that_of_its_source(rng, target_layout, clip_norm):
    for source_layout in LAYOUTS:
        source = source_layout(random_array(rng, np.float64, (65, 70)))
        target = target_layout(np.empty_like(source)).astype(source.dtype, copy=False)
        [expected], _ = ordered_clip([source], clip_norm)
        clip_by_global_norm([source], clip_norm, out=[target])
        assert_same_bits(target, expected)


def test_a_list_may_be_part_in_place_part_not(rng):
    t_list = [random_array(rng, FLOAT32, (50,)) for _ in range(3)]
    before = content(t_list[1])
    out = [t_list[0], np.empty_like(t_list[1]), t_list[2][:]]
    expected, _ = ordered_clip(t_list, 1.0)
    clipped, _ = clip_by_global_norm(t_list, 1.0, out=out)
    assert_result(clipped, expected, t_list)
    assert content(t_list[1]) == before


@pytest.mark.cpu
def test_scalars_and_nested_lists_may_have_targets():
    out = [np.empty(()), np.empty(2)]
    clip_by_global_norm([3.0, [4.0, 0.0]], 2.5, out=out)
    assert_same_bits(out[0], np.array(1.5))
    assert_same_bits(out[1], np.array([2.0, 0.0]))


def test_slices_are_written_into_their_values():
    values = np.array([3.0, 4.0])
    t_list = [slices_of(values, rows=7)]
    clipped, _ = clip_by_global_norm(t_list, 2.5, out=t_list)
    assert clipped[0] is t_list[0]
    assert_same_bits(values, np.array([1.5, 2.0]))


@pytest.mark.cpu
def test_a_subclass_can_be_written():
    target = ramp(2).view(np.recarray)
    clipped, _ = clip_by_global_norm([target], 1.0, out=[target])
    assert clipped[0] is target
    assert_same_bits(np.asarray(target), ordered_clip([ramp(2)], 1.0)[0][0])


def test_empty_lists_in_place():
    assert clip_by_global_norm([], 1.0, out=[])[0] == []
    assert clip_by_global_norm([None], 1.0, out=(None,))[0] == [None]


# The pages are mapped for reading only: to write there, be it the same bits, ends the process.
WRITES_NOTHING = """
import ctypes, mmap, sys
import numpy as np
from numclip import clip_by_global_norm

size = 1 << 24
with open(sys.argv[1], "rb") as file:
    page = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
address = np.frombuffer(page, np.uint8).ctypes.data
for dtype in (np.float32, np.float64, np.float16, np.complex64):
    for used in (64, size):
        array = np.frombuffer((ctypes.c_char * used).from_address(address), dtype)
        assert array.flags.writeable
        for view in (array, array[::2]):
            clip_by_global_norm([view], 1.0, out=[view])
            clip_by_global_norm([view, view], 1.0, 0.5, out=[view, view])
print("nothing was written")
"""


@pytest.mark.cpu
def test_in_place_nothing_is_written_where_nothing_is_clipped(tmp_path):
    zeros = tmp_path / "zeros"
    zeros.write_bytes(bytes(1 << 24))
    command = [sys.executable, "-c", WRITES_NOTHING, zeros]
    child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert child.stdout.strip() == "nothing was written", child.stderr
