"""Sums of sums: a warp, a thread for each lane, adds up to 4096 of them in the defined order."""

from functools import cache
from typing import Any

from numba import int64

from numclip._core import contract
from numclip._core.contract import LANES
from numclip._cuda.grid import WARPS, column, device, load_int
from numclip._cuda.table import ARRAY_SUMS, FIRST_RUN, LARGE, LARGE_COUNT, RUN_SUMS, SUM
from numclip._cuda.target import intrinsics
from numclip._cuda.terms import Terms, halve

sync_warp, sync_block = intrinsics.sync_warp, intrinsics.sync_block
STRIDE = SUM * LANES


@cache
def warp_sum(terms: Terms) -> Any:
    """Make the device function by which a warp sums up to 4096 sums; lane 0 gets the result."""
    zero, add, load, halve_lanes = terms.zero, terms.add, terms.load, halve(terms)

    @device
    def load_up_to_four(here, count):
        last = count - 1
        b, c = load(here + STRIDE * min(1, last)), load(here + STRIDE * min(2, last))
        return load(here), b, c, load(here + STRIDE * min(3, last))

    @device
    def add_all(sums, size, lane):
        # A lane adds its sums one after the other, but loads eight at a time.
        total, here = zero, sums + SUM * lane
        steps = (size + LANES - 1 - lane) // LANES
        for _ in range(steps >> 3):
            a, b, c, d = load_up_to_four(here, 4)
            e, f, g, h = load_up_to_four(here + 4 * STRIDE, 4)
            here += 8 * STRIDE
            total = add(add(add(add(total, a), b), c), d)
            total = add(add(add(add(total, e), f), g), h)
        rest = steps & 7
        while rest > 0:
            a, b, c, d = load_up_to_four(here, rest)
            here += 4 * STRIDE
            total = add(total, a)
            total = add(total, b) if rest > 1 else total
            total = add(total, c) if rest > 2 else total
            total = add(total, d) if rest > 3 else total
            rest -= 4
        return halve_lanes(total)

    return add_all


@cache
def fold(terms: Terms) -> Any:
    """Make the device function by which a warp sums any number of sums, which are overwritten."""
    load, store, add_all = terms.load, terms.store, warp_sum(terms)

    @device
    def fold_sums(sums, count, lane):
        while count > 1:
            chunks = (count + contract.CHUNK - 1) // contract.CHUNK
            for chunk in range(chunks):
                part = sums + SUM * contract.CHUNK * chunk
                total = add_all(part, min(count - chunk * contract.CHUNK, int64(contract.CHUNK)), lane)
                if lane == 0:
                    store(sums + SUM * chunk, total)
            sync_warp()
            count = chunks
        return load(sums)

    return fold_sums


@cache
def large_sums(terms: Terms) -> Any:
    """Make the device function by which a block sums the arrays of several runs, from the sums of the runs.

    The sums of the runs are overwritten.
    """
    store, fold_sums = terms.store, fold(terms)

    @device
    def sum_large(workspace, count, warp, lane):
        first_run, sums = column(workspace, count, FIRST_RUN), load_int(workspace + 8 * RUN_SUMS)
        for i in range(warp, load_int(workspace + 8 * LARGE_COUNT), WARPS):
            row = load_int(column(workspace, count, LARGE) + 8 * i)
            begin, end = load_int(first_run + 8 * row), load_int(first_run + 8 * row + 8)
            total = fold_sums(sums + SUM * begin, end - begin, lane)
            if lane == 0:
                store(load_int(workspace + 8 * ARRAY_SUMS) + SUM * row, total)
        sync_block()

    return sum_large


@cache
def list_sum(terms: Terms) -> Any:
    """Make the device function by which a block sums a list, from the sums of its arrays."""
    load, store, add_all = terms.load, terms.store, warp_sum(terms)

    @device
    def sum_list(workspace, count, warp, lane):
        sums, size = load_int(workspace + 8 * ARRAY_SUMS), int64(count)
        while size > 1:  # the sums of each level follow those of the one before
            chunks = (size + contract.CHUNK - 1) // contract.CHUNK
            for chunk in range(warp, chunks, WARPS):
                part = sums + SUM * contract.CHUNK * chunk
                total = add_all(part, min(size - chunk * contract.CHUNK, int64(contract.CHUNK)), lane)
                if lane == 0:
                    store(sums + SUM * (size + chunk), total)
            sync_block()
            sums += SUM * size
            size = chunks
        return load(sums)

    return sum_list
