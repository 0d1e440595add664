"""Callers of every kind: without the lock, in parallel, cached, and none that Numba is not needed by."""

import threading

import compiled  # noqa: F401 skips where Numba does not know numclip
import numba
import numpy as np
import pytest
from processes import run_python

import numclip


@numba.njit(nogil=True)
def steps_without_the_lock(grads, steps):
    total = 0.0
    for _ in range(steps):
        grads[0][:], grads[1][:] = 2.0, 2.0
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
    return results, norm

a, b = np.ones(10_000), np.ones((3, 5), np.float32)
results, norm = step(a, b)
expected, same = numclip.clip_by_global_norm([a, b], 1.0)
assert norm == same
assert all((result == array).all() for result, array in zip(results, expected))
print("parallel")
"""


def test_a_parallel_caller():
    assert run_python("-c", PARALLEL).stdout == "parallel\n"


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
assert "numclip" in sys.modules
assert not {"numclip._cpu.kernels", "numclip._cpu.njit"} & set(sys.modules)
print("light")
"""


def test_a_program_without_numclip_loads_only_what_is_light():
    assert run_python("-W", "error", "-c", LIGHT).stdout == "light\n"


MEMORY = """
import numpy as np
from compiled import clip, clip_in_place
from numba.core.runtime import rtsys
from numba.typed import List

def kept(call):
    call()
    before = rtsys.get_allocation_stats()
    for _ in range(10):
        call()
    after = rtsys.get_allocation_stats()
    return after.alloc - before.alloc - after.free + before.free

grads = tuple(np.ones((30, 20)) for _ in range(3))
print(kept(lambda: clip_in_place(grads, 0.5)), kept(lambda: clip(grads, 0.5)))
columns = tuple(grad[:, ::2] for grad in grads)
print(kept(lambda: clip_in_place(columns, 0.5)))
typed = List(grads)
print(kept(lambda: clip_in_place(typed, 0.5)))
"""


def test_memory_is_released():
    assert run_python("-c", MEMORY, NUMBA_NRT_STATS="1").stdout == "0 0\n0\n0\n"
