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
    _, norm = numclip.clip_by_global_norm((a, b), 1.0, out=(a, b))
    return a + 1.0, b * np.float32(2.0), norm

@numba.njit(parallel=True)
def norms_of(rows):
    norms = np.empty(len(rows))
    for i in numba.prange(len(rows)):
        norms[i] = numclip.global_norm((rows[i],))
    return norms

a, b = np.ones(10_000), np.ones((3, 5), np.float32)
(expected_a, expected_b), same = numclip.clip_by_global_norm([3.0 * a, b], 1.0)
a, b, norm = step(a, b)
assert norm == same
assert (a == expected_a + 1.0).all() and (b == expected_b * 2).all()
rows = np.random.default_rng(0).standard_normal((40, 5000))
assert (norms_of(rows) == [numclip.global_norm([row]) for row in rows]).all()
print("parallel")
"""


def test_a_parallel_caller():
    assert run_python("-c", PARALLEL).stdout == "parallel\n"


CACHED = """
import numba, numpy as np, numclip

@numba.njit
def norm_of(array):
    return numclip.clip_by_global_norm((array,), 2.5)[1]

@numba.njit(cache=True)
def clip(array):
    return numclip.clip_by_global_norm((array,), 2.5)[1]

@numba.njit(cache=True)
def call(array):
    return norm_of(array)

for function in (clip, call):
    assert function(np.array([3.0, 4.0])) == 5.0
    print(sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values()), end="; ")
"""
OTHER_VERSION = """
import runpy, sys
from numclip._core import cache

def stamp():
    loaded.append("numclip._cpu.njit" in sys.modules)
    return "another"

loaded, cache.package_stamp = [], stamp
runpy.run_path(sys.argv[1], run_name="__main__")
print("late" if loaded[0] else "first")
"""
LOADED, COMPILED = "1 0; 1 0; ", "0 1; 0 1; "


def test_the_cache_of_a_caller_notices_another_version(tmp_path):
    """Before any other module that its code names is loaded: another version may not have them."""
    script = tmp_path / "caller.py"
    script.write_text(CACHED)
    settings = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert run_python(script, **settings).stdout == COMPILED
    assert run_python(script, **settings).stdout == LOADED
    assert run_python("-c", OTHER_VERSION, script, **settings).stdout == COMPILED + "first\n"
    assert run_python("-c", OTHER_VERSION, script, **settings).stdout == LOADED + "first\n"
    assert run_python(script, **settings).stdout == COMPILED


FIRST_USE = """
import threading, time, numba, numpy as np, numclip

@numba.njit
def norm_of(array):
    return numclip.global_norm((array,))

@numba.njit
def one():
    return 1

def call(function, argument):
    norms.append(float(function(argument)))

one()
norms, array = [], np.array([3.0, 4.0])
compiled = threading.Thread(target=call, args=(norm_of, array))
plain = threading.Thread(target=call, args=(numclip.global_norm, [array]))
for thread in (compiled, plain) if {order} > 0 else (plain, compiled):
    thread.start()
    time.sleep(abs({order}))
for thread in (compiled, plain):
    thread.join()
print(norms)
"""


@pytest.mark.parametrize("order", [-0.01, 0.01, pytest.param(0.2, marks=pytest.mark.long)])
def test_the_first_call_of_python_while_a_caller_is_compiled(order):
    """Each loads a part of numclip, and waits for the compiler that the other holds."""
    assert run_python("-c", FIRST_USE.format(order=order), timeout=300).stdout == "[5.0, 5.0]\n"


BROKEN = """
import warnings, numba, numba.extending

@numba.njit
def one():
    return 1

del numba.extending.overload
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert one() == 1
print([str(warning.message).partition(" due")[0] for warning in caught])
"""


def test_a_numba_that_numclip_does_not_know_only_warns():
    expected = "[\"Numba extension module 'numclip._numba' failed to load\"]\n"
    assert run_python("-c", BROKEN).stdout == expected


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
import numpy as np, numclip
from compiled import clip, clip_in_place, norm_of
from numba.core.runtime import rtsys
from numba.typed import List

def kept(call):
    call()
    before = rtsys.get_allocation_stats()
    for _ in range(10):
        call()
    after = rtsys.get_allocation_stats()
    return after.alloc - before.alloc - after.free + before.free

def clip_new(container):
    # What has been freed is overwritten, so that a result in such memory is another.
    for result, wanted in zip(clip(container, 0.5)[0], expected, strict=True):
        assert (result == wanted).all()

blocks = tuple(np.ones((30, 20)) for _ in range(3))
columns = tuple(block[:, ::2] for block in blocks)
for arrays in (blocks, columns):
    expected = numclip.clip_by_global_norm(list(arrays), 0.5)[0]
    for container in (arrays, List(arrays)):
        calls = lambda: clip_new(container), lambda: norm_of(container)
        print(*map(kept, calls), kept(lambda: clip_in_place(container, 1e9)))
"""


def test_memory_is_released_and_not_before():
    settings = {"NUMBA_NRT_STATS": "1", "MALLOC_PERTURB_": "165"}
    assert run_python("-c", MEMORY, **settings).stdout == "0 0 0\n" * 4
