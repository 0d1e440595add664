"""Whole grids: blocks in any order, long lists, arrays beyond 2**31, and counts of accesses."""

import math
import mmap
import random
import re
import sys

import numpy as np
import ptx_device
import ptx_grid
import pytest
from arrays import DTYPES, assert_result, assert_same_norm, random_array
from on_device import on_device, to_host

import numclip

SIZES = (40, 4096, 5, 70_000, 0, 4097, 65_536, 33)


@pytest.fixture
def options(monkeypatch):
    """How kernels are compiled and run; set anew for each test."""
    for name in ("code", "run", "launched"):
        monkeypatch.setattr(ptx_device.OPTIONS, name, getattr(ptx_device.OPTIONS, name))
    return ptx_device.OPTIONS


def assert_as_on_the_cpu(t_list, clip_norm):
    expected, norm = numclip.clip_by_global_norm(t_list, clip_norm)
    clipped, device_norm = numclip.clip_by_global_norm([*map(on_device, t_list)], clip_norm)
    assert_same_norm(to_host(device_norm)[()], norm)
    assert_result([*map(to_host, clipped)], expected, t_list)


@pytest.mark.parametrize("schedule", ["warps", "threads"])
@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1.0), (np.float64, 1e-200)])
def test_the_order_of_blocks_and_threads_changes_no_bit(options, rng, schedule, dtype, scale):
    t_list = [(random_array(rng, dtype, (size,)) * scale).astype(dtype) for size in SIZES]
    for resident in (1, 4, 64):
        options.run = lambda blocks, at_once=resident: {
            "order": random.Random(at_once).sample(range(blocks), blocks),
            "resident": at_once,
            "schedule": schedule,
        }
        assert_as_on_the_cpu(t_list, 0.5 * scale)


def test_fused_products_change_no_bit(options, rng):
    """The assembler may fuse a product without a rounding mode with the sum that it feeds."""
    options.code = {"contract": True}
    for dtype in DTYPES:
        for clip_norm in (0.3, 1e9):
            assert_as_on_the_cpu([random_array(rng, dtype, (size,)) for size in SIZES], clip_norm)


def test_ten_thousand_arrays(rng):
    sizes = rng.integers(0, 70, 10_000)
    assert_as_on_the_cpu([random_array(rng, DTYPES[i % 4], (size,)) for i, size in enumerate(sizes)], 1.0)


def test_an_array_of_several_runs(rng):
    t_list = [rng.standard_normal(size, dtype=np.float32) for size in (3, 4096 * 4096 + 9000, 70_000)]
    assert_as_on_the_cpu(t_list, 1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs to reserve addresses without memory")
def test_addresses_beyond_four_gigabytes(options, rng):
    """Only the blocks at the two ends of the array are run: the pages between are never mapped."""
    length = 2**31 + 4096 * 300 + 77
    reserve_nothing = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Python has the name since 3.13
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | reserve_nothing
    memory = mmap.mmap(-1, 4 * length, flags=flags)
    array = np.frombuffer(memory, np.float32)
    ends = slice(None, 70_000), slice(-70_000, None)
    for end in ends:
        array[end] = rng.standard_normal(70_000, dtype=np.float32)
    before = [array[end].copy() for end in ends]
    options.run = lambda blocks: {
        "order": sorted({*range(min(6, blocks)), *range(max(0, blocks - 6), blocks)})
    }
    grads = [on_device(array)]
    numclip.clip_by_global_norm(grads, 0.75, 1.5, out=grads)
    for end, old in zip(ends, before, strict=True):
        np.testing.assert_array_equal(array[end], old * np.float32(0.5))


@pytest.mark.parametrize("first", [0, 1], ids=["aligned", "not aligned"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_is_not_clipped_is_read_once_and_never_written(options, rng, dtype, first):
    array = random_array(rng, dtype, (100_003 + first,))[first:]
    begin = array.ctypes.data
    counts = {"load": np.zeros(array.nbytes, int), "store": np.zeros(array.nbytes, int)}
    others = np.zeros(array.nbytes, int)

    def trace(name, addresses, size):
        inside = addresses[(addresses >= begin) & (addresses < begin + array.nbytes)]
        for byte in range(size):
            np.add.at(counts.get(name, others), (inside - begin).astype(int) + byte, 1)

    options.run = lambda blocks: {"trace": trace}
    grads = [on_device(array)]
    for clip_norm, reads, writes in ((np.inf, 1, 0), (1.0, 2, 1)):
        for count in counts.values():
            count[:] = 0
        numclip.clip_by_global_norm(grads, clip_norm, out=grads)
        assert (counts["load"] == reads).all()
        assert (counts["store"] == writes).all()
        assert not others.any()


def test_two_calls_of_one_clipper_that_overlap_leave_it_as_it_was(options, rng, monkeypatch):
    """As a replayed graph and a call on another stream may. What the two give is open; later ones are right.

    Each block is there twice; some of the second call come when the others are done.
    """
    host = [rng.standard_normal(size, dtype=np.float32) for size in (4096 * 9 + 5, 4096 * 6, 77)]
    clipper = numclip.Clipper([*map(on_device, host)], math.inf)
    wanted = numclip.global_norm(host)
    monkeypatch.setattr(ptx_grid.Grid, "races", True)
    for late in range(1, 5):
        options.run = lambda blocks, late=late: {
            "order": [*range(blocks)] * 2,
            "resident": 2 * blocks - late,
            "schedule": "warps",
        }
        clipper()
        options.run = lambda blocks: {"resident": 1}
        for _ in range(2):
            for array in host:
                array[:] = 2 * array  # what an earlier call has left would be another norm
            wanted *= 2
            assert_same_norm(to_host(clipper())[()], wanted)


def test_the_array_of_a_chunk_is_found_in_few_loads(options):
    """However many arrays there are: each load waits for the one before."""

    def loads_of_a_warp(count):
        found = []
        options.launched = lambda entry, blocks, accesses: found.append((entry, accesses))
        numclip.global_norm([on_device(np.ones(3, np.float32)) for _ in range(count)])
        [(_, accesses)] = found
        integers = sum(number for name, number in accesses.items() if re.fullmatch(r"load.v1.u?int64", name))
        return integers / (32 * count)

    few, many = loads_of_a_warp(8), loads_of_a_warp(1024)
    assert 10 < few < 40
    assert many <= few + 1
