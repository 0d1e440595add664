"""Callers of every kind: without the lock, in parallel, cached, and none that Numba is not needed by."""

import threading

import numba
import numpy as np
import pytest
from compiled import clip_in_place
from processes import run_python

import numclip


@numba.njit(nogil=True)
def steps_without_the_lock(grads, steps):
    total = 0.0
    for _ in range(steps):
        for grad in grads:
            grad[:] = 2.0
        _, norm = numclip.clip_by_global_norm(grads, 1.0, out=grads)
        total += norm
    return total


def test_callers_without_the_lock_run_side_by_side():
    lists = [(np.ones(5000), np.ones((30, 7))) for _ in range(4)]
    totals = {}

    def run(i):
        totals[i] = steps_without_the_lock(lists[i], 200)

    steps_without_the_lock(lists[0], 1)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    norm = float(numclip.global_norm([np.full(5210, 2.0)]))
    assert [totals[i] for i in range(4)] == [pytest.approx(200 * norm, rel=1e-12)] * 4
    assert all((grads[0] == lists[0][0]).all() for grads in lists)


PARALLEL = """
import numba, numpy as np, numclip

@numba.njit(parallel=True)
def step(a, b):
    for i in numba.prange(a.size):
        a[i] = 3.0 * a[i]
    results, norm = numclip.clip_by_global_norm((a, b), 1.0)
    return results[0].sum() + results[1].sum(), norm

a, b = np.ones(10_000), np.ones((3, 5), np.float32)
total, norm = step(a, b)
expected, same = numclip.clip_by_global_norm([a, b], 1.0)
assert norm == same
assert abs(total - sum(array.sum() for array in expected)) < 1e-9
print("parallel")
"""


def test_a_parallel_caller():
    assert run_python("-W", "ignore::numba.NumbaPerformanceWarning", "-c", PARALLEL).stdout == "parallel\n"


CACHED = """
import numba, numpy as np, numclip

@numba.njit(cache=True)
def clip(array):
    return numclip.clip_by_global_norm((array,), 2.5)[1]

assert clip(np.array([3.0, 4.0])) == 5.0
print(sum(clip.stats.cache_hits.values()), sum(clip.stats.cache_misses.values()))
"""
OTHER_VERSION = "from numclip._core import cache\ncache.package_stamp = lambda: 'another'\n"


def test_the_cache_of_a_caller_notices_another_version(tmp_path):
    script = tmp_path / "caller.py"
    script.write_text(CACHED)
    settings = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert run_python(script, **settings).stdout == "0 1\n"
    assert run_python(script, **settings).stdout == "1 0\n"
    other = "import runpy, sys\n" + OTHER_VERSION + "runpy.run_path(sys.argv[1])"
    assert run_python("-c", other, script, **settings).stdout == "0 1\n"
    assert run_python("-c", other, script, **settings).stdout == "1 0\n"
    assert run_python(script, **settings).stdout == "0 1\n"


LIGHT = """
import sys, numba

@numba.njit
def one(): return 1

assert one() == 1
assert "numclip" in sys.modules and "numclip._cpu" not in sys.modules
print("light")
"""


def test_a_program_without_numclip_loads_only_what_is_light():
    assert run_python("-W", "error", "-c", LIGHT).stdout == "light\n"


def test_memory_is_released():
    grads = tuple(np.ones(1000) for _ in range(3))
    clip_in_place(grads, 1.0)
    before = numba.core.runtime.rtsys.get_allocation_stats()
    for _ in range(10):
        clip_in_place(grads, 0.5)
    after = numba.core.runtime.rtsys.get_allocation_stats()
    assert after.alloc - before.alloc == after.free - before.free
    assert after.mi_alloc - before.mi_alloc == after.mi_free - before.mi_free
