"""The CUDA kernel that sums a list and decides what it is multiplied by: all of it in one launch.

A block sums a few chunks. Sums of sums are taken by the last block to arrive, found by atomic tickets: of the
blocks with chunks of a run, the last one sums the run, and the last block of all sums the list. So most sums
of a long list are summed while other blocks still read elements, and no block waits for another.
"""

from functools import cache
from typing import Any

from numba import cuda, int64

from numclip._core import contract
from numclip._core.contract import LANES
from numclip._core.dtypes import FLOAT64
from numclip._cuda.decision import OPTIONS, decision, read_number
from numclip._cuda.folds import array_sum, large_sums, list_sum, warp_sum
from numclip._cuda.grid import WARPS, column, device, load_int, row_of
from numclip._cuda.kernel import kernel, number_type
from numclip._cuda.sums import chunk_sum
from numclip._cuda.table import (
    ARRAY_SUMS,
    CHUNK_SUMS,
    FIRST_CHUNK,
    FIRST_RUN,
    RUN_SUMS,
    RUN_TICKETS,
    TICKET,
)
from numclip._cuda.target import intrinsics
from numclip._cuda.terms import terms

fence, next_ticket, sync_block = intrinsics.fence, intrinsics.next_ticket, intrinsics.sync_block
any_lane, any_thread = intrinsics.any_lane, intrinsics.any_thread
prescale_for = device(contract.prescale_for)


@device
def arrive_last(counter, arrivals):
    """Take a ticket, behind what this thread has seen and written; tell whether it is the last one.

    Whoever has the last one sees what the others had seen and written.
    """
    fence()
    last = next_ticket(counter, arrivals - 1) == arrivals - 1
    fence()
    return last


@cache
def store_chunk(compensated: bool) -> Any:
    """Make what stores the sum of a chunk: that of an array of one chunk is the sum of the array."""
    store, size_of = terms(compensated).store, 8 * terms(compensated).words

    @device
    def store_sum(workspace, firsts, row, chunk, total):
        if load_int(firsts + 8 * row + 8) - load_int(firsts + 8 * row) == 1:
            store(load_int(workspace + 8 * ARRAY_SUMS) + size_of * row, total)
        else:
            store(load_int(workspace + 8 * CHUNK_SUMS) + size_of * chunk, total)

    return store_sum


@cache
def finish_run(compensated: bool) -> Any:
    """Make the sum of the run that holds a chunk, if this block is the last of the run's to arrive.

    Every warp calls it. Of a block's chunks of one run, the warp with the first one takes the ticket.
    """
    store, size_of, add_all = terms(compensated).store, 8 * terms(compensated).words, warp_sum(compensated)

    @device
    def finish(workspace, count, row, chunk, warp, lane):
        firsts, first_run = column(workspace, count, FIRST_CHUNK), column(workspace, count, FIRST_RUN)
        first, end = load_int(firsts + 8 * row), load_int(firsts + 8 * row + 8)
        if end - first == 1 or (warp != 0 and (chunk - first) % contract.CHUNK != 0):
            return
        own = (chunk - first) // contract.CHUNK
        run, begin = load_int(first_run + 8 * row) + own, first + own * contract.CHUNK
        size = min(end - begin, int64(contract.CHUNK))
        blocks = (begin + size - 1) // WARPS - begin // WARPS + 1
        if blocks > 1:
            last = False
            if lane == 0:
                last = arrive_last(load_int(workspace + 8 * RUN_TICKETS) + 8 * run, blocks)
            if not any_lane(last):
                return
        total = add_all(load_int(workspace + 8 * CHUNK_SUMS) + size_of * begin, size, lane)
        if lane == 0:
            if end - first <= contract.CHUNK:
                store(load_int(workspace + 8 * ARRAY_SUMS) + size_of * row, total)
            else:
                store(load_int(workspace + 8 * RUN_SUMS) + size_of * run, total)

    return finish


@cache
def sum_again(typecodes: tuple[int, ...]) -> Any:
    """Make the second pass: the sums of all arrays, of elements times a power of two, by one block.

    It takes milliseconds where the first takes microseconds, and is for the few lists whose sum of squares
    leaves the range of float64.
    """
    sum_chunk, sum_array = chunk_sum(typecodes, True, True), array_sum(True)
    store, size_of = terms(True).store, 8 * terms(True).words

    @device
    def sum_arrays(workspace, count, prescale, warp, lane):
        firsts = column(workspace, count, FIRST_CHUNK)
        chunks, chunk_sums = load_int(firsts + 8 * count), load_int(workspace + 8 * CHUNK_SUMS)
        for chunk in range(warp, chunks, WARPS):
            row = row_of(firsts, count, chunk)
            total = sum_chunk(workspace, count, row, chunk, prescale, lane)
            if lane == 0:
                store(chunk_sums + size_of * chunk, total)
        sync_block()
        for row in range(warp, count, WARPS):
            sum_array(workspace, row, firsts, chunk_sums, lane)
        sync_block()

    return sum_arrays


@cache
def list_sum_and_prescale(typecodes: tuple[int, ...], compensated: bool) -> Any:
    """Make the sum of a list by the last block, and the power of two by which it took the elements."""
    sum_large, sum_list = large_sums(compensated), list_sum(compensated)

    @device
    def sum_once(workspace, count, warp, lane):
        sum_large(workspace, count, warp, lane)
        return sum_list(workspace, count, warp, lane), 1.0

    if not compensated:
        return sum_once
    again = sum_again(typecodes)

    @device
    def sum_safely(workspace, count, warp, lane):
        total, prescale = sum_once(workspace, count, warp, lane)
        prescale = prescale_for(total[0])
        if prescale != 1.0:
            again(workspace, count, prescale, warp, lane)
            total = sum_list(workspace, count, warp, lane)
        return total, prescale

    return sum_safely


@kernel(lambda typecodes, limit_typecode: (int64, int64, number_type(limit_typecode), *OPTIONS, int64, int64))
def norm(typecodes: tuple[int, ...], limit_typecode: int | None) -> Any:
    """Make the kernel; `limit` is the clip_norm, or where it lies on the device if it has a typecode.

    The norm is written to the address `norm`, and the factor to the address `factor`, if that is not 0.
    """
    compensated = FLOAT64 in typecodes
    sum_chunk, store_sum = chunk_sum(typecodes, compensated, False), store_chunk(compensated)
    finish, sum_list = finish_run(compensated), list_sum_and_prescale(typecodes, compensated)
    decide, number = decision(compensated), read_number(limit_typecode)

    @cuda.jit
    def sum_and_decide(workspace, count, limit, eps, loss_scale, zero, norm, factor):
        warp, lane = int64(cuda.threadIdx.x // LANES), int64(cuda.threadIdx.x % LANES)
        firsts = column(workspace, count, FIRST_CHUNK)
        chunk, row = int64(cuda.blockIdx.x) * WARPS + warp, int64(-1)
        if chunk < load_int(firsts + 8 * count):
            row = row_of(firsts, count, chunk)
            total = sum_chunk(workspace, count, row, chunk, 1.0, lane)
            if lane == 0:
                store_sum(workspace, firsts, row, chunk, total)
        sync_block()
        if row >= 0:
            finish(workspace, count, row, chunk, warp, lane)
        sync_block()
        last = False
        if warp == 0 and lane == 0:
            last = arrive_last(workspace + 8 * TICKET, cuda.gridDim.x)
        if not any_thread(last):
            return
        total, prescale = sum_list(workspace, count, warp, lane)
        if warp == 0 and lane == 0:
            options = eps, loss_scale, zero
            decide(workspace, total, prescale, number(limit), options, norm, factor)

    return sum_and_decide
