"""Targets on the CPU: memory that is in use, of another layout, or must not be written."""

import numpy as np
import pytest
from arrays import LAYOUTS, WRITABLE_LAYOUTS, assert_same_bits, random_array
from oracle import ordered_clip
from processes import run_python

from numclip import Clipper, clip_by_global_norm

FLOAT32 = np.float32


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


@pytest.mark.parametrize("clip_norm", [0.7, 1e6], ids=["clipped", "kept"])
@pytest.mark.parametrize("target_layout", WRITABLE_LAYOUTS, ids=lambda layout: layout.__name__)
def test_the_layout_of_a_target_need_not_be_that_of_its_source(rng, target_layout, clip_norm):
    for source_layout in LAYOUTS:
        source = source_layout(random_array(rng, np.float64, (65, 70)))
        target = target_layout(np.empty_like(source)).astype(source.dtype, copy=False)
        [expected], _ = ordered_clip([source], clip_norm)
        clip_by_global_norm([source], clip_norm, out=[target])
        assert_same_bits(target, expected)


# The pages are mapped read-only: to write there, even the same bits, ends the process.
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
    child = run_python("-c", WRITES_NOTHING, zeros, check=False)
    assert child.stdout.strip() == "nothing was written", child.stderr


def test_an_array_that_it_holds_is_not_resized():
    array, owner = np.ones(10), np.ones((4, 4))
    clipper = Clipper([array, owner[:, 1:3]], 1.0)
    for held in (array, owner):
        with pytest.raises(ValueError, match="cannot resize"):
            held.resize(10_000, refcheck=False)
    assert clipper() == np.sqrt(18)
    del clipper
    array.resize(20, refcheck=False)
    assert array.size == 20
