"""Nothing is leaked, on success and on every error; a lack of memory leaves the arguments as they were.

Guards against what plain Numba does: a compiled function that raises can leak what it holds, at each call
(https://github.com/numba/numba/issues/10783). The kernels here raise nothing.
"""

import gc
import os
import sys
import weakref

import numba
import numpy as np
import pytest
from arrays import content, slices_of
from processes import SUPPORT, run_python

import numclip
from numclip._arrays import entries, pool

SCRIPT = SUPPORT / "memory_growth.py"
MEGABYTE = 1 << 20


def growth(calls):
    return int(run_python(SCRIPT, calls).stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_does_not_grow():
    assert growth(20_000) < 5 * MEGABYTE


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_does_not_grow_in_a_million_calls(figures):
    grown = growth(1_000_000)
    figures("memory", grown, "bytes more after 1,000,000 calls")
    assert grown < 5 * MEGABYTE


def test_plain_numba_keeps_a_reference_to_what_it_was_given():
    @numba.njit
    def refuse(limit):
        if limit < 0.0:
            raise ValueError
        return limit

    @numba.njit
    def fill(values, limit):
        limit = refuse(limit)
        for i in range(values.size):
            values[i] = limit

    values = np.ones(3)
    before = sys.getrefcount(values)
    for _ in range(100):
        fails(lambda: fill(values, -1.0))
    assert sys.getrefcount(values) == before + 100


def arguments():
    """One array for each road through the package."""
    plain = np.array([3.0, 4.0], np.float32)
    strided = np.arange(10, dtype=np.float32)[::2]
    swapped = np.arange(5, dtype=">f4")
    large = np.ones(200_000, np.float32)
    return [plain, strided, swapped, large, slices_of(np.ones((2, 3), np.float32)), np.ones(3), None]


def references(objects):
    gc.collect()
    return [sys.getrefcount(obj) for obj in objects if obj is not None]


def fails(call):
    with pytest.raises((TypeError, ValueError)):
        call()


CALLS = {
    "norm": numclip.global_norm,
    "new arrays": lambda t_list: numclip.clip_by_global_norm(t_list, 1.0),
    "in place": lambda t_list: numclip.clip_by_global_norm(t_list, 1.0, out=t_list),
    "a norm that is given": lambda t_list: numclip.clip_by_global_norm(t_list, 1.0, 2.0, out=t_list),
    "one kind": lambda t_list: numclip.clip_by_global_norm(t_list[:1], 1.0, out=t_list[:1]),
    "a Clipper": lambda t_list: numclip.Clipper(t_list, 1.0)(),
    "a wrong bound": lambda t_list: fails(lambda: numclip.clip_by_global_norm(t_list, -1.0)),
    "a wrong norm": lambda t_list: fails(lambda: numclip.clip_by_global_norm(t_list, 1.0, -1.0)),
    "a wrong length": lambda t_list: fails(lambda: numclip.clip_by_global_norm(t_list, 1.0, out=[None])),
    "a wrong entry": lambda t_list: fails(lambda: numclip.global_norm([*t_list, np.arange(3)])),
    "no array": lambda t_list: fails(lambda: numclip.global_norm([*t_list, object()])),
    "a wrong target": lambda t_list: fails(
        lambda: numclip.clip_by_global_norm(t_list, 1.0, out=[*t_list[1:], t_list[0]])
    ),
    "an overlap": lambda t_list: fails(
        lambda: numclip.clip_by_global_norm([t_list[3][:9], t_list[0]], 1.0, out=[t_list[3][1:10], t_list[0]])
    ),
    "a wrong Clipper": lambda t_list: fails(lambda: numclip.Clipper([*t_list, 1], 1.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_references(call):
    t_list = arguments()
    constants = [np.dtype(np.float32), np.ndarray]  # not float64: some releases of NumPy lose it in np.zeros
    for _ in range(3):  # objects that are kept for ever are made now
        call(t_list)
    before = references([*t_list, t_list]), references(constants)
    for _ in range(100):
        call(t_list)
    after = references([*t_list, t_list]), references(constants)
    assert after[0] == before[0]
    assert all(abs(new - old) < 50 for new, old in zip(after[1], before[1], strict=True))


def test_results_and_arguments_are_freed():
    numclip.set_recycling(0)
    try:
        for call in (CALLS["new arrays"], CALLS["in place"], CALLS["a Clipper"]):
            t_list = [array for array in arguments() if isinstance(array, np.ndarray)]
            answer = call(t_list)
            results = answer[0] if isinstance(answer, tuple) else []
            watched = [weakref.ref(array) for array in (*t_list, *results)]
            del t_list, results, answer
            gc.collect()
            assert [ref() for ref in watched] == [None] * len(watched)
    finally:
        numclip.set_recycling(1 << 30)


# --- too little memory --------------------------------------------------------------------------------------


def huge():
    """An array of 4 exabytes, in 8 bytes of memory."""
    return np.broadcast_to(np.float32(1.0), (1 << 30, 1 << 30))


def larger_than_address_space():
    return np.broadcast_to(np.float64(1.0), (1 << 45,))


@pytest.mark.parametrize("make", [huge, larger_than_address_space])
@pytest.mark.parametrize("position", [0, 2])
def test_no_memory_for_the_results_leaves_the_arguments(make, position):
    t_list = [np.array([3.0, 4.0], np.float32), np.arange(6, dtype=np.float32)[::2]]
    before = [content(array) for array in t_list]
    t_list.insert(position, make())
    for call in (
        lambda: numclip.clip_by_global_norm(t_list, 1.0),
        lambda: numclip.clip_by_global_norm(t_list, 1.0, 7.0),
        lambda: numclip.global_norm(t_list),
    ):
        with pytest.raises(MemoryError):
            call()
    del t_list[position]
    assert [content(array) for array in t_list] == before
    assert numclip.global_norm(t_list) == numclip.global_norm(t_list)


@pytest.mark.slow
@pytest.mark.parametrize("allocations", range(12))
@pytest.mark.parametrize("in_place", [False, True], ids=["new", "in place"])
def test_memory_that_ends_while_a_list_is_prepared(monkeypatch, allocations, in_place):
    # The first allocations succeed, the next fails: nothing may have been written by then.
    left = allocations

    def limited(function):
        def allocate(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise MemoryError
            return function(*arguments, **options)

        return allocate

    t_list = [array for array in arguments() if array is not None]
    before, count = [content(entry) for entry in t_list], references(t_list)

    class Limited:
        empty, empty_like = staticmethod(limited(np.empty)), staticmethod(limited(np.empty_like))

        def __getattr__(self, name):
            return getattr(np, name)

    monkeypatch.setattr(entries, "np", Limited())
    monkeypatch.setattr(pool, "np", Limited())
    try:
        numclip.clip_by_global_norm(t_list, 1.0, out=t_list if in_place else None)
    except MemoryError:
        assert [content(entry) for entry in t_list] == before
    else:
        assert left >= 0
    monkeypatch.undo()
    assert references(t_list) == count
    numclip.clip_by_global_norm(t_list, 1.0, out=t_list)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory")
def test_a_list_larger_than_half_the_memory(figures):
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    size = int(0.55 * total) // 4
    if 4 * size > 0.9 * available:
        pytest.skip("not enough of the memory is free")
    code = f"""
import numpy as np, numclip
size = {size}
grads = [np.ones(size // 3, np.float32) for _ in range(3)]
norm = numclip.clip_by_global_norm(grads, 1.0, out=grads)[1]
exact = (3 * (size // 3)) ** 0.5
assert abs(float(norm) - exact) <= 1e-7 * exact
wanted = np.float32(1.0 / float(np.sqrt(np.float64(3 * (size // 3)))))
for array in grads:
    assert array[0] == array[-1] == wanted
    assert array.min() == array.max() == wanted
"""
    run_python("-c", code)
    figures("memory", 4 * size, f"bytes of one list, in {total:,} of memory")
