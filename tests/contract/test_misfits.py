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
