"""Forks in one of several ways, after parallel kernels have run; every process gets the same bits."""

import multiprocessing
import os
import sys
import threading
import warnings

import numba
import numpy as np
from policy import share_small_lists

import numclip
from numclip._cpu import tbb


@numba.njit(parallel=True)
def other_library(values):
    total = 0.0
    for i in numba.prange(values.size):
        total += values[i]
    return total


def arrays():
    return [(np.arange(size) % 100 - 50).astype(np.float32) for size in (3, 20_000, 4097)]


def clipped():
    results, norm = numclip.clip_by_global_norm(arrays(), 1.0)
    in_place = arrays()
    assert numclip.clip_by_global_norm(in_place, 1.0, out=in_place)[1] == norm
    assert all((a == b).all() for a, b in zip(results, in_place, strict=True))
    return norm.tobytes() + b"".join(result.tobytes() for result in results)


def clips_as(expected):
    return clipped() == expected


def wait_for(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def by_fork(expected):
    child = os.fork()
    if child == 0:
        os._exit(not clips_as(expected))
    return wait_for(child)


def by_fork_of_fork(expected):
    child = os.fork()
    if child == 0:
        os._exit(not (by_fork(expected) and clips_as(expected)))
    return wait_for(child)


def by_process(expected):
    def target():
        sys.exit(not clips_as(expected))

    process = multiprocessing.get_context("fork").Process(target=target)
    process.start()
    process.join()
    return process.exitcode == 0


def by_pool(expected):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        return all(pool.map(clips_as, [expected] * 6))


def from_thread(expected):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(by_fork(expected)))
    thread.start()
    thread.join()
    return answers == [True]


def while_others_clip(expected):
    stop, answers = threading.Event(), []

    def others():
        while not stop.is_set():
            answers.append(clips_as(expected))

    threads = [threading.Thread(target=others) for _ in range(3)]
    for thread in threads:
        thread.start()
    answers += [by_fork(expected) for _ in range(5)]
    stop.set()
    for thread in threads:
        thread.join()
    return all(answers)


if __name__ == "__main__":
    how, repeats, starts_pool = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    share_small_lists(5000, 2)
    # From Python 3.12 on, for forks in a process with threads.
    warnings.simplefilter("ignore", DeprecationWarning)
    tbb.layer()  # finds TBB in a virtual environment
    if starts_pool == "other library":
        assert other_library(np.ones(1000)) == 1000.0
    expected = clipped()
    if starts_pool == "numclip":
        assert numba.threading_layer() == "tbb"
    for _ in range(repeats):
        assert globals()[how](expected)
        assert clips_as(expected)  # the parent still works
    print("done", flush=True)
    if starts_pool == "other library":
        # Under TBB on one core, Numba waits for ever when such a process ends: see test_fork.py.
        os._exit(0)
