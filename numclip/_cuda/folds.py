"""Sums of sums: a warp, a lane per thread, adds up to 4096 of them in the one order."""

from functools import cache
from typing import Any

from numba import int64

from numclip._core import contract
from numclip._core.contract import LANES
from numclip._cuda.grid import WARPS, column, device, load_int
from numclip._cuda.table import ARRAY_SUMS, FIRST_RUN, LARGE, LARGE_COUNT, RUN_SUMS
from numclip._cuda.target import intrinsics
from numclip._cuda.terms import halve, terms

sync_warp, sync_block = intrinsics.sync_warp, intrinsics.sync_block


@cache
def warp_sum(compensated: bool) -> Any:
    """Make the sum of up to 4096 sums, by a warp; lane 0 gets it."""
    words, zero, add, load, *_ = terms(compensated)
    size_of, stride, halve_lanes = 8 * words, 8 * words * LANES, halve(compensated)

    @device
    def add_all(sums, size, lane):
        # A lane's sums are added one after the other, but loaded eight at a time.
        total, here = zero, sums + size_of * lane
        steps = (size + LANES - 1 - lane) // LANES
        for _ in range(steps >> 3):
            a, b, c, d = load(here), load(here + stride), load(here + 2 * stride), load(here + 3 * stride)
            here += 4 * stride
            e, f, g, h = load(here), load(here + stride), load(here + 2 * stride), load(here + 3 * stride)
            here += 4 * stride
            total = add(add(add(add(total, a), b), c), d)
            total = add(add(add(add(total, e), f), g), h)
        for _ in range(steps & 7):
            total = add(total, load(here))
            here += stride
        return halve_lanes(total)

    return add_all


@cache
def fold(compensated: bool) -> Any:
    """Make the sum of any number of sums, by one warp; they are overwritten."""
    size_of, load, store = 8 * terms(compensated).words, terms(compensated).load, terms(compensated).store
    add_all = warp_sum(compensated)

    @device
    def fold_sums(sums, count, lane):
        while count > 1:
            chunks = (count + contract.CHUNK - 1) // contract.CHUNK
            for chunk in range(chunks):
                part = sums + size_of * contract.CHUNK * chunk
                total = add_all(part, min(count - chunk * contract.CHUNK, int64(contract.CHUNK)), lane)
                if lane == 0:
                    store(sums + size_of * chunk, total)
            sync_warp()
            count = chunks
        return load(sums)

    return fold_sums


@cache
def array_sum(compensated: bool) -> Any:
    """Make the sum of an array, if it has elements, from sums of its parts, which are overwritten.

    `firsts` is the address of the number of the first part of each array. A warp calls it.
    """
    store, size_of, fold_sums = terms(compensated).store, 8 * terms(compensated).words, fold(compensated)

    @device
    def sum_array(workspace, row, firsts, sums, lane):
        begin, end = load_int(firsts + 8 * row), load_int(firsts + 8 * row + 8)
        if end > begin:
            total = fold_sums(sums + size_of * begin, end - begin, lane)
            if lane == 0:
                store(load_int(workspace + 8 * ARRAY_SUMS) + size_of * row, total)

    return sum_array


@cache
def large_sums(compensated: bool) -> Any:
    """Make the sums of the arrays of several runs from those of the runs; a block calls it."""
    sum_array = array_sum(compensated)

    @device
    def sum_large(workspace, count, warp, lane):
        first_run, sums = column(workspace, count, FIRST_RUN), load_int(workspace + 8 * RUN_SUMS)
        for i in range(warp, load_int(workspace + 8 * LARGE_COUNT), WARPS):
            row = load_int(column(workspace, count, LARGE) + 8 * i)
            sum_array(workspace, row, first_run, sums, lane)
        sync_block()

    return sum_large


@cache
def list_sum(compensated: bool) -> Any:
    """Make the sum of a list from the sums of its arrays; a block calls it."""
    size_of, load, store = 8 * terms(compensated).words, terms(compensated).load, terms(compensated).store
    add_all = warp_sum(compensated)

    @device
    def sum_list(workspace, count, warp, lane):
        sums, size = load_int(workspace + 8 * ARRAY_SUMS), int64(count)
        while size > 1:  # the sums of each level stand behind those of the one before
            chunks = (size + contract.CHUNK - 1) // contract.CHUNK
            for chunk in range(warp, chunks, WARPS):
                part = sums + size_of * contract.CHUNK * chunk
                total = add_all(part, min(size - chunk * contract.CHUNK, int64(contract.CHUNK)), lane)
                if lane == 0:
                    store(sums + size_of * (size + chunk), total)
            sync_block()
            sums += size_of * size
            size = chunks
        return load(sums)

    return sum_list
