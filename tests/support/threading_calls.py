"""Calls from many Python threads, while another thread runs parallel Numba functions of another library."""

import sys
import threading
import warnings

import numba
import numpy as np
from policy import share_small_lists

import numclip
from numclip._cpu import tbb

THREADS = 8


@numba.njit(parallel=True, nogil=True)
def other_library(values):
    total = 0.0
    for i in numba.prange(values.size):
        total += values[i]
    return total


def arrays(shift=0):
    return [((np.arange(size) + shift) % 100 - 50).astype(np.float32) for size in (3, 20_000, 4097)]


def bits(results, norm):
    return norm.tobytes() + b"".join(result.tobytes() for result in results)


def call(calls, shift, shared, failures):
    """Clip the shared list into new arrays, and the thread's own list in place, again and again."""
    own, expected_own = arrays(shift), bits(*numclip.clip_by_global_norm(arrays(shift), 1.0))
    source = [array.copy() for array in own]
    clipper = numclip.Clipper(own, 1.0)
    t_list, expected_shared = shared
    for i in range(calls):
        if bits(*numclip.clip_by_global_norm(t_list, 1.0)) != expected_shared:
            failures.append(f"shared list, call {i}")
        for array, values in zip(own, source, strict=True):
            array[:] = values
        norm = clipper() if i % 2 else numclip.clip_by_global_norm(own, 1.0, out=own)[1]
        if bits(own, norm) != expected_own:
            failures.append(f"own list, call {i}")


def run(calls, others):
    """Return the errors."""
    failures, stop = [], threading.Event()
    t_list = arrays(1000)
    shared = t_list, bits(*numclip.clip_by_global_norm(t_list, 1.0))

    def other():
        while not stop.is_set():
            if other_library(np.ones(1000)) != 1000.0:
                failures.append("the other library")

    other_thread = threading.Thread(target=other)
    if others:
        assert other_library(np.ones(1000)) == 1000.0
        other_thread.start()
    threads = [
        threading.Thread(target=call, args=(calls, shift, shared, failures)) for shift in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    if others:
        other_thread.join()
    return failures


if __name__ == "__main__":
    warnings.simplefilter("error")
    share_small_lists(5000, 2)
    tbb.layer()  # finds TBB in a virtual environment
    failures = run(int(sys.argv[1]), others=sys.argv[2] == "with others")
    assert not failures, failures[:5]
    try:
        print(numba.threading_layer())
    except ValueError:
        print("none")
