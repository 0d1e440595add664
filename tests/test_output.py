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
    broadcast,
    content,
    memory,
    ragged_list,
    raises_unwritten,
    random_array,
    read_only,
    slices_of,
)
from oracle import ordered_clip

from numclip import IndexedSlices, clip_by_global_norm

FLOAT32 = np.float32
as_strided = np.lib.stride_tricks.as_strided


def ramp(size=12, dtype=FLOAT32):
    return np.arange(1, size + 1, dtype=dtype)


def mixed_list(rng):
    slices = slices_of(random_array(rng, np.float64, (3, 2)))
    return [*ragged_list(rng), None, slices]


def empty_targets(t_list):
    targets = []
    for entry in t_list:
        if isinstance(entry, IndexedSlices):
            targets.append(IndexedSlices(np.empty_like(entry.values), entry.indices, entry.dense_shape))
        else:
            targets.append(None if entry is None else np.empty_like(entry))
    return targets


# --- new arrays ---------------------------------------------------------------------------------------------


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


# --- out= and in place --------------------------------------------------------------------------------------


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


def test_in_place_nothing_is_written_where_nothing_is_clipped(tmp_path):
    zeros = tmp_path / "zeros"
    zeros.write_bytes(bytes(1 << 24))
    command = [sys.executable, "-c", WRITES_NOTHING, zeros]
    child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert child.stdout.strip() == "nothing was written", child.stderr


# --- the same memory more than once -------------------------------------------------------------------------


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


# --- targets that do not fit --------------------------------------------------------------------------------


BAD_TARGETS = {
    "shape": (np.ones(2, FLOAT32), ValueError, "out[1] has shape (2,), t_list[1] has shape (3,)"),
    "more axes": (np.ones((3, 1), FLOAT32), ValueError, "out[1] has shape (3, 1), t_list[1] has shape (3,)"),
    "dtype": (np.ones(3), TypeError, "out[1] has dtype float64, t_list[1] has dtype float32"),
    "byte order": (np.ones(3, np.dtype(FLOAT32).newbyteorder("S")), TypeError, "out[1] has dtype "),
    "int": (np.ones(3, int), TypeError, "out[1] has dtype int64, t_list[1] has dtype float32"),
    "read-only": (read_only(np.ones(3, FLOAT32)), ValueError, "out[1] is read-only"),
    "broadcast": (np.broadcast_to(FLOAT32(1), 3), ValueError, "out[1] is read-only"),
    "float": (1.0, TypeError, "out[1] should be an array, received <class 'float'>"),
    "scalar": (FLOAT32(1), TypeError, "out[1] should be an array, received <class 'numpy.float32'>"),
    "list": ([1.0, 2.0, 3.0], TypeError, "out[1] should be an array, received <class 'list'>"),
    "None": (None, TypeError, "out[1] should be an array, received <class 'NoneType'>"),
    "slices": (slices_of(np.ones(3, FLOAT32)), TypeError, "out[1] should be an array, received <class "),
    "masked": (np.ma.masked_array(np.ones(3, FLOAT32)), TypeError, "out[1] "),
}


@pytest.mark.parametrize("clip_norm", [1.0, 1e6], ids=["clipped", "kept"])
@pytest.mark.parametrize("case", BAD_TARGETS)
def test_a_target_that_does_not_fit_is_refused_before_anything_is_written(case, clip_norm):
    target, exception, message = BAD_TARGETS[case]
    first, last = ramp(5000), ramp(2)
    watched = [first, last, *([target] if isinstance(target, np.ndarray) else [])]
    with raises_unwritten(exception, message, *watched):
        clip_by_global_norm([first, ramp(3), last], clip_norm, out=[first, target, last])


@pytest.mark.parametrize("scalar", [3.0, FLOAT32(3), [3.0, 4.0]], ids=["float", "NumPy scalar", "list"])
def test_what_cannot_be_written_cannot_be_clipped_in_place(scalar):
    t_list = [ramp(3), scalar]
    message = f"out[1] should be an array, received {type(scalar)}"
    with raises_unwritten(TypeError, message, t_list[0]):
        clip_by_global_norm(t_list, 1.0, out=t_list)


@pytest.mark.parametrize("layout", [read_only, broadcast])
def test_read_only_entries_cannot_be_clipped_in_place(layout):
    t_list = [ramp(3), layout(ramp(3))]
    with raises_unwritten(ValueError, "out[1] is read-only", *t_list):
        clip_by_global_norm(t_list, 1.0, out=t_list)


def test_none_needs_none():
    first, target = ramp(3), ramp(2)
    with raises_unwritten(TypeError, "out[1] should be None, as t_list[1] is None", first, target):
        clip_by_global_norm([first, None], 1.0, out=[first, target])


BAD_SLICES = {
    "array": (np.ones(3, FLOAT32), TypeError, "out[1] should be an IndexedSlices, as t_list[1] is"),
    "None": (None, TypeError, "out[1] should be an IndexedSlices, as t_list[1] is"),
    "shape": (
        slices_of(ramp(2)),
        ValueError,
        "out[1].values has shape (2,), t_list[1].values has shape (3,)",
    ),
    "dtype": (
        slices_of(np.ones(3)),
        TypeError,
        "out[1].values has dtype float64, t_list[1].values has dtype ",
    ),
    "read-only": (slices_of(read_only(np.ones(3, FLOAT32))), ValueError, "out[1].values is read-only"),
}


@pytest.mark.parametrize("case", BAD_SLICES)
def test_slices_need_slices_that_fit(case):
    target, exception, message = BAD_SLICES[case]
    first = ramp(3)
    with raises_unwritten(exception, message, first, target):
        clip_by_global_norm([first, slices_of(ramp(3))], 1.0, out=[first, target])


@pytest.mark.parametrize("size", [0, 2, 4])
def test_out_needs_the_length_of_the_list(size):
    t_list, targets = [ramp(3) for _ in range(3)], [ramp(3) for _ in range(size)]
    with raises_unwritten(ValueError, f"out has {size} entries, t_list has 3", *targets):
        clip_by_global_norm(t_list, 1.0, out=targets)


@pytest.mark.parametrize("out", ["a", np.ones((1, 3)), {0: ramp(3)}, {1}, iter([ramp(3)]), 3.0], ids=type)
def test_out_needs_to_be_a_sequence(out):
    t_list = [ramp(3)]
    with raises_unwritten(TypeError, f"out should be a sequence of arrays. Received {type(out)}", *t_list):
        clip_by_global_norm(t_list, 1.0, out=out)


@pytest.mark.parametrize("clip_norm", [0.0, 1.0, 1e6], ids=str)
@pytest.mark.parametrize("bad", [np.ones(2, int), "abc", np.ma.masked_array([1.0]), object()], ids=type)
def test_a_bad_entry_at_the_end_leaves_the_others_unwritten(bad, clip_norm):
    t_list = [ramp(5000), ramp(3, np.float64), bad]
    with raises_unwritten(TypeError, "t_list[2] ", *t_list[:2]):
        clip_by_global_norm(t_list, clip_norm, out=t_list)
