"""Targets and entries that do not fit: an error names the entry, and nothing has been written anywhere."""

import numpy as np
import pytest
from arrays import (
    broadcast,
    raises_unwritten,
    ramp,
    read_only,
    slices_of,
)

from numclip import clip_by_global_norm

FLOAT32 = np.float32


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


@pytest.mark.cpu
@pytest.mark.parametrize("clip_norm", [1.0, 1e6], ids=["clipped", "kept"])
@pytest.mark.parametrize("case", BAD_TARGETS)
def test_a_target_that_does_not_fit_is_refused_before_anything_is_written(case, clip_norm):
    target, exception, message = BAD_TARGETS[case]
    first, last = ramp(5000), ramp(2)
    watched = [first, last, *([target] if isinstance(target, np.ndarray) else [])]
    with raises_unwritten(exception, message, *watched):
        clip_by_global_norm([first, ramp(3), last], clip_norm, out=[first, target, last])


@pytest.mark.cpu
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


@pytest.mark.cpu
@pytest.mark.parametrize("clip_norm", [0.0, 1.0, 1e6], ids=str)
@pytest.mark.parametrize("bad", [np.ones(2, int), "abc", np.ma.masked_array([1.0]), object()], ids=type)
def test_a_bad_entry_at_the_end_leaves_the_others_unwritten(bad, clip_norm):
    t_list = [ramp(5000), ramp(3, np.float64), bad]
    with raises_unwritten(TypeError, "t_list[2] ", *t_list[:2]):
        clip_by_global_norm(t_list, clip_norm, out=t_list)
