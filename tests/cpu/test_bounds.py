"""Compiled code reads and writes nothing outside of the arrays."""

import re
import shutil
import sys

import pytest
from processes import SUPPORT, run_python

BOUNDSCHECK = """
import numpy as np
import numba
import numclip
from arrays import DTYPES, LAYOUTS, SIZES, random_array
from policy import share_every_list

assert numba.config.BOUNDSCHECK
rng = np.random.default_rng(1)
for blocks in (None, 1, 3):
    if blocks:
        share_every_list(blocks)
    for dtype in DTYPES:
        arrays = [layout(random_array(rng, dtype, (size,))) for layout in LAYOUTS for size in SIZES]
        writable = [array for array in arrays if array.flags.writeable]
        for bound in (1e-3, 1e30):
            numclip.clip_by_global_norm(arrays, bound)
            numclip.clip_by_global_norm(writable, bound, out=writable)
        for array in arrays:
            numclip.clip_by_global_norm([array], 1e-3)
    numclip.global_norm([np.ones(3, np.float32)] * 5000)
print("done")
"""


@pytest.mark.long
def test_the_kernels_stay_within_bounds():
    assert run_python("-c", BOUNDSCHECK, NUMBA_BOUNDSCHECK="1").stdout == "done\n"


GUARDED = """
import ctypes, mmap, sys
import numpy as np
import numclip

# An array that ends at the end of a page, before an unreadable one: reading a byte too far is a crash.
libc = ctypes.CDLL(None, use_errno=True)
page = mmap.PAGESIZE

def guarded(count, dtype, at_end):
    dtype = np.dtype(dtype)
    pages = -(-count * dtype.itemsize // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for guard in (address, address + (pages + 1) * page):
        assert libc.mprotect(ctypes.c_void_p(guard), page, 0) == 0
    offset = (pages + 1) * page - count * dtype.itemsize if at_end else page
    array = np.frombuffer(memory, dtype, count, offset)
    array[:] = 1.0
    return array

for dtype in ("f4", "f8", "f2", "c8"):
    for count in [*range(1, 70), 127, 1000, 4095, 4096, 4097, 5000]:
        for at_end in (False, True):
            array = guarded(count, dtype, at_end)
            norm = numclip.clip_by_global_norm([array], 1e9)[1]
            assert abs(float(norm) - count ** 0.5) < 1e-3
            numclip.clip_by_global_norm([array], 0.25, out=[array])
            numclip.clip_by_global_norm([array, array[:1].copy()], 0.1)
print("done", flush=True)
import os
os._exit(0)  # the maps cannot be closed while arrays lie in them
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects pages as Linux does")
def test_not_one_byte_outside_is_read_or_written():
    assert run_python("-c", GUARDED).stdout == "done\n"


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")
def test_the_packing_under_valgrind(figures):
    report = run_python(SUPPORT / "valgrind_packing.py").stdout
    found = int(re.search(r"(\d+) in compiled code", report)[1])
    figures("hostile", found, "invalid accesses of compiled code under valgrind")
    assert found == 0
