"""Prints the growth of the resident memory, in bytes, by many calls on mixed small lists."""

import gc
import os
import sys
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np

import numclip

DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.complex64)


def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


def lists():
    """Lists of every dtype, single and mixed, plain and strided, and some that are refused."""
    plain = [[np.ones(size, dtype) for size in (3, 70, 4097)] for dtype in DTYPES]
    mixed = [array for arrays in plain for array in arrays]
    staged = [np.ones((9, 9), np.float32)[:, ::2], np.ones(5, ">f8"), None]
    slices = [numclip.IndexedSlices(np.ones((3, 4), np.float32), np.arange(3), (9, 4)), None]
    return [*plain, mixed, staged, slices, []], [
        [np.ones(3, int)],
        [np.ones(3), "x"],
        [np.ones(3), [1j, None]],
    ]


def calls(good, bad):
    """Call everything once; return the number of calls."""
    for t_list in good:
        _, norm = numclip.clip_by_global_norm(t_list, 1.0)
        numclip.clip_by_global_norm(t_list, norm, out=t_list)
        numclip.clip_by_global_norm(t_list, 1.0, 2.0)
        numclip.global_norm(t_list)
        numclip.Clipper(t_list, 10.0)()
    for t_list in bad:
        for out in (None, t_list, [None]):
            try:
                numclip.clip_by_global_norm(t_list, 1.0, out=out)
            except (TypeError, ValueError):
                continue
            raise AssertionError(t_list)
    return 5 * len(good) + 3 * len(bad)


def main(count):
    good, bad = lists()
    for _ in range(20):
        calls(good, bad)
    before, done = resident(), 0
    while done < count:
        done += calls(good, bad)
    print(resident() - before)


if __name__ == "__main__":
    assert not tracemalloc.is_tracing()
    main(int(sys.argv[1]))
