"""The CUDA kernel that sums a list and decides what it is multiplied by: all of it in one launch.

A block sums 16 chunks. Sums of sums are left to whoever comes last, which counters tell: of the blocks with
chunks of a run, the last one sums the run, and the last block of all sums the list. So most sums of a long
list are summed while other blocks still read elements, and no block waits for another.
"""

from functools import cache
from typing import Any

from numba import cuda, float64, int64

from numclip._core import contract
from numclip._core.dtypes import FLOAT64
from numclip._cuda.decision import decision, read_number
from numclip._cuda.folds import array_sum, large_sums, list_sum, warp_sum
from numclip._cuda.grid import (
    CHUNK,
    CREW,
    CREWS,
    LANES,
    PART,
    THREADS,
    WARPS,
    column,
    device,
    load_int,
    row_of,
    store_int,
)
from numclip._cuda.intrinsics import next_ticket, sync_warp
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
from numclip._cuda.terms import terms

rescue_unit = device(contract.prescale_for)


@cache
def store_chunk(single: bool) -> Any:
    """Make what stores the sum of a chunk, and tells whether the crew's warp is to look after its run.

    The sum of an array of one chunk is that of the array. A run of several chunks has, in each of its blocks,
    the crew that holds its first chunk there.
    """
    store, size_of = terms(single).store, 8 * terms(single).words

    @device
    def store_sum(workspace, firsts, row, chunk, crew, total):
        begin, end = load_int(firsts + 8 * row), load_int(firsts + 8 * row + 8)
        if end - begin == 1:
            store(load_int(workspace + 8 * ARRAY_SUMS) + size_of * row, total)
            return False
        store(load_int(workspace + 8 * CHUNK_SUMS) + size_of * chunk, total)
        return crew == 0 or (chunk - begin) % CHUNK == 0

    return store_sum


@cache
def finish_run(single: bool) -> Any:
    """Make the sum of the run that holds a chunk, if this block is the last of the run's; a warp calls it."""
    store, size_of, add_all = terms(single).store, 8 * terms(single).words, warp_sum(single)

    @device
    def finish(workspace, count, row, chunk, tickets, crew, shared, thread):
        firsts, first_run = column(workspace, count, FIRST_CHUNK), column(workspace, count, FIRST_RUN)
        first, end = load_int(firsts + 8 * row), load_int(firsts + 8 * row + 8)
        own = (chunk - first) // CHUNK
        run, begin = load_int(first_run + 8 * row) + own, first + own * CHUNK
        size = min(end - begin, int64(CHUNK))
        blocks = (begin + size - 1) // CREWS - begin // CREWS + 1
        if blocks > 1:
            counter = load_int(workspace + 8 * RUN_TICKETS) + 8 * run
            if thread % LANES == 0:
                tickets[crew] = next_ticket(counter)
            sync_warp()
            if tickets[crew] != blocks - 1:
                return
            if thread % LANES == 0:
                store_int(counter, int64(0))
            cuda.threadfence()
        total = add_all(load_int(workspace + 8 * CHUNK_SUMS) + size_of * begin, size, shared, thread)
        if thread % LANES == 0:
            if end - first <= CHUNK:
                store(load_int(workspace + 8 * ARRAY_SUMS) + size_of * row, total)
            else:
                store(load_int(workspace + 8 * RUN_SUMS) + size_of * run, total)

    return finish


@cache
def sum_again(kinds: tuple[int, ...]) -> Any:
    """Make the second pass: the sums of all arrays, of elements times a power of two, by one block.

    It takes milliseconds where the first takes microseconds, and is for the few lists whose sum of squares
    leaves the range of float64.
    """
    sum_chunk, sum_array = chunk_sum(kinds, False, True), array_sum(False)
    store, size_of = terms(False).store, 8 * terms(False).words

    @device
    def sum_arrays(workspace, count, unit, shared, thread):
        firsts = column(workspace, count, FIRST_CHUNK)
        chunks, chunk_sums = load_int(firsts + 8 * count), load_int(workspace + 8 * CHUNK_SUMS)
        for begin in range(0, chunks, CREWS):
            chunk = begin + thread // CREW
            row = row_of(firsts, count, chunk) if chunk < chunks else int64(-1)
            total = sum_chunk(workspace, count, row, chunk, unit, shared, thread)
            if row >= 0 and thread % CREW == 0:
                store(chunk_sums + size_of * chunk, total)
        cuda.syncthreads()
        for row in range(thread // LANES, count, WARPS):
            sum_array(workspace, row, firsts, chunk_sums, shared, thread)
        cuda.syncthreads()

    return sum_arrays


@cache
def list_sum_and_unit(kinds: tuple[int, ...], single: bool) -> Any:
    """Make the sum of a list by the last block, and the power of two by which it took the elements."""
    sum_large, sum_list = large_sums(single), list_sum(single)

    @device
    def sum_once(workspace, count, shared, thread):
        sum_large(workspace, count, shared, thread)
        return sum_list(workspace, count, shared, thread), 1.0

    if single:
        return sum_once
    again = sum_again(kinds)

    @device
    def sum_safely(workspace, count, shared, thread):
        total, unit = sum_once(workspace, count, shared, thread)
        unit = rescue_unit(total[0])
        if unit != 1.0:
            again(workspace, count, unit, shared, thread)
            total = sum_list(workspace, count, shared, thread)
        return total, unit

    return sum_safely


@cache
def norm(kinds: tuple[int, ...], limit_kind: int | None) -> Any:
    """Make the kernel; `limit` is the clip_norm, or where it lies on the device if it has a kind.

    The norm is written to the address `norm`, and the factor to the address `factor`, if that is not 0.
    """
    single = FLOAT64 not in kinds
    size_of_shared = PART * THREADS * terms(single).words
    sum_chunk, store_sum, finish = chunk_sum(kinds, single, False), store_chunk(single), finish_run(single)
    sum_list, decide, number = list_sum_and_unit(kinds, single), decision(single), read_number(limit_kind)

    @cuda.jit
    def sum_and_decide(workspace, count, limit, norm, factor):
        shared = cuda.shared.array(size_of_shared, float64)
        rows = cuda.shared.array(CREWS, int64)
        tickets = cuda.shared.array(CREWS, int64)
        thread, crew = cuda.threadIdx.x, cuda.threadIdx.x // CREW
        firsts = column(workspace, count, FIRST_CHUNK)
        first_chunk = int64(cuda.blockIdx.x) * CREWS
        chunk = first_chunk + crew
        row = int64(-1)
        if chunk < load_int(firsts + 8 * count):
            row = row_of(firsts, count, chunk)
        total = sum_chunk(workspace, count, row, chunk, 1.0, shared, thread)
        if thread % CREW == 0:
            if row >= 0 and not store_sum(workspace, firsts, row, chunk, crew, total):
                row = int64(-1)
            rows[crew] = row
        # What this block has stored can be seen before it is counted.
        cuda.threadfence()
        cuda.syncthreads()
        first_crew = thread // LANES * (LANES // CREW)
        for i in range(first_crew, first_crew + LANES // CREW):
            if rows[i] >= 0:
                finish(workspace, count, rows[i], first_chunk + i, tickets, i, shared, thread)
        cuda.threadfence()
        cuda.syncthreads()
        if thread == 0:
            tickets[0] = next_ticket(workspace + 8 * TICKET)
        cuda.syncthreads()
        if tickets[0] != cuda.gridDim.x - 1:
            return
        cuda.threadfence()
        total, unit = sum_list(workspace, count, shared, thread)
        if thread == 0:
            store_int(workspace + 8 * TICKET, int64(0))
            decide(workspace, total, unit, number(limit), norm, factor)

    return sum_and_decide
