"""Sums of sums: a warp, a lane per thread, adds up to 4096 of them in the one order."""

from functools import cache
from typing import Any

from numba import cuda, int64

from numclip._cuda.grid import CHUNK, LANES, THREADS, WARPS, column, device, load_int
from numclip._cuda.intrinsics import sync_warp
from numclip._cuda.table import ARRAY_SUMS, FIRST_RUN, LARGE, LARGE_COUNT, RUN_SUMS
from numclip._cuda.terms import terms


@cache
def warp_sum(single: bool) -> Any:
    """Make the sum of up to 4096 sums; all threads of a warp call it."""
    words, zero, add, load, _, put, get = terms(single)
    size_of, step, slots = 8 * words, 8 * words * LANES, THREADS

    @device
    def add_all(sums, size, shared, thread):
        lane = thread % LANES
        total = zero
        # A lane's sums are added one after the other, but loaded eight at a time.
        here = sums + size_of * int64(lane)
        steps = (size + LANES - 1 - lane) // LANES
        for _ in range(steps >> 3):
            a, b, c, d = load(here), load(here + step), load(here + 2 * step), load(here + 3 * step)
            here += 4 * step
            e, f, g, h = load(here), load(here + step), load(here + 2 * step), load(here + 3 * step)
            here += 4 * step
            total = add(add(add(add(total, a), b), c), d)
            total = add(add(add(add(total, e), f), g), h)
        for _ in range(steps & 7):
            total = add(total, load(here))
            here += step
        put(shared, slots, thread, total)
        sync_warp()
        half = LANES // 2
        while half > 0:
            if lane < half:
                put(shared, slots, thread, add(get(shared, slots, thread), get(shared, slots, thread + half)))
            sync_warp()
            half >>= 1
        total = get(shared, slots, thread - lane)
        sync_warp()
        return total

    return add_all


@cache
def fold(single: bool) -> Any:
    """Make the sum of any number of sums, by one warp; they are overwritten."""
    size_of, load, store, add_all = (
        8 * terms(single).words,
        terms(single).load,
        terms(single).store,
        warp_sum(single),
    )

    @device
    def fold_sums(sums, count, shared, thread):
        while count > 1:
            chunks = (count + CHUNK - 1) // CHUNK
            for chunk in range(chunks):
                part = sums + size_of * CHUNK * chunk
                total = add_all(part, min(count - chunk * CHUNK, int64(CHUNK)), shared, thread)
                if thread % LANES == 0:
                    store(sums + size_of * chunk, total)
            sync_warp()
            count = chunks
        return load(sums)

    return fold_sums


@cache
def array_sum(single: bool) -> Any:
    """Make the sum of an array, if it has elements, from sums of its parts, which are overwritten.

    `firsts` is the address of the number of the first part of each array. A warp calls it.
    """
    store, size_of, fold_sums = terms(single).store, 8 * terms(single).words, fold(single)

    @device
    def sum_array(workspace, row, firsts, sums, shared, thread):
        begin, end = load_int(firsts + 8 * row), load_int(firsts + 8 * row + 8)
        if end > begin:
            total = fold_sums(sums + size_of * begin, end - begin, shared, thread)
            if thread % LANES == 0:
                store(load_int(workspace + 8 * ARRAY_SUMS) + size_of * row, total)

    return sum_array


@cache
def large_sums(single: bool) -> Any:
    """Make the sums of the arrays of several runs from those of the runs; a block calls it."""
    sum_array = array_sum(single)

    @device
    def sum_large(workspace, count, shared, thread):
        first_run, sums = column(workspace, count, FIRST_RUN), load_int(workspace + 8 * RUN_SUMS)
        for i in range(thread // LANES, load_int(workspace + 8 * LARGE_COUNT), WARPS):
            row = load_int(column(workspace, count, LARGE) + 8 * i)
            sum_array(workspace, row, first_run, sums, shared, thread)
        cuda.syncthreads()

    return sum_large


@cache
def list_sum(single: bool) -> Any:
    """Make the sum of a list from the sums of its arrays; a block calls it."""
    words, _, _, load, store, _, _ = terms(single)
    size_of, add_all = 8 * words, warp_sum(single)

    @device
    def sum_list(workspace, count, shared, thread):
        sums, size = load_int(workspace + 8 * ARRAY_SUMS), int64(count)
        while size > 1:  # the sums of each level stand behind those of the one before
            chunks = (size + CHUNK - 1) // CHUNK
            for chunk in range(thread // LANES, chunks, WARPS):
                part = sums + size_of * CHUNK * chunk
                total = add_all(part, min(size - chunk * CHUNK, int64(CHUNK)), shared, thread)
                if thread % LANES == 0:
                    store(sums + size_of * (size + chunk), total)
            cuda.syncthreads()
            sums += size_of * size
            size = chunks
        return load(sums)

    return sum_list
