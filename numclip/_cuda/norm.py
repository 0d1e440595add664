"""The CUDA kernel that sums a list and decides what it is multiplied by: all of it in one launch.

A block sums a few chunks. Sums of sums are computed by the last block to arrive, found by atomic tickets: of
the blocks with chunks of a run, the last one sums the run, and the last block of all sums the list. So most
sums of sums of a long list are computed while other blocks still read elements, and no block waits for
another.
"""

from functools import cache
from typing import Any

from numba import cuda, float64, int64

from numclip._core import contract
from numclip._core.contract import LANES
from numclip._core.dtypes import FLOAT64
from numclip._cuda.decision import OPTIONS, decision, read_number
from numclip._cuda.folds import warp_sum
from numclip._cuda.grid import WARPS, column, device, find_row, load_double, load_int
from numclip._cuda.kernel import kernel, number_type
from numclip._cuda.list_norm import list_norm
from numclip._cuda.orders import PRESCALED_SQUARES, prescale_of, terms_of
from numclip._cuda.sums import chunk_sum
from numclip._cuda.table import (
    ARRAY_SUMS,
    CHUNK_SUMS,
    FIRST_CHUNK,
    FIRST_RUN,
    PRESCALE,
    RUN_SUMS,
    RUN_TICKETS,
    SUM,
    TICKET,
)
from numclip._cuda.target import intrinsics
from numclip._cuda.terms import Terms

fence, next_ticket, sync_block = intrinsics.fence, intrinsics.next_ticket, intrinsics.sync_block
any_lane, any_thread = intrinsics.any_lane, intrinsics.any_thread


@device
def arrive_last(counter, arrivals):
    """Take a ticket, after all reads and writes of this thread; tell whether it is the last one.

    The thread with the last ticket sees the writes of all other threads that have taken one.
    """
    fence()
    last = next_ticket(counter, arrivals - 1) == arrivals - 1
    fence()
    return last


@cache
def store_chunk(terms: Terms) -> Any:
    """Make the device function that stores the sum of a chunk, or of an array if that has only this chunk."""
    store = terms.store

    @device
    def store_sum(workspace, firsts, row, chunk, total):
        if load_int(firsts + 8 * row + 8) - load_int(firsts + 8 * row) == 1:
            store(load_int(workspace + 8 * ARRAY_SUMS) + SUM * row, total)
        else:
            store(load_int(workspace + 8 * CHUNK_SUMS) + SUM * chunk, total)

    return store_sum


@cache
def finish_run(terms: Terms) -> Any:
    """Make the device function that sums the run of a chunk, if this block is the run's last to arrive.

    Every warp calls it. Of a block's chunks of one run, the warp with the first one takes the ticket.
    """
    store, add_all = terms.store, warp_sum(terms)

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
        total = add_all(load_int(workspace + 8 * CHUNK_SUMS) + SUM * begin, size, lane)
        if lane == 0:
            if end - first <= contract.CHUNK:
                store(load_int(workspace + 8 * ARRAY_SUMS) + SUM * row, total)
            else:
                store(load_int(workspace + 8 * RUN_SUMS) + SUM * run, total)

    return finish


@cache
def needed(summand: str) -> Any:
    """Make the device function that tells whether sums are needed: a second time only with a prescale."""

    @device
    def always(workspace):
        return True

    @device
    def if_prescaled(workspace):
        return load_double(workspace + 8 * PRESCALE) != 1.0

    return if_prescaled if summand == PRESCALED_SQUARES else always


@kernel(
    lambda summand, typecodes, has_complex, limit_typecode: (
        *(int64, int64, number_type(limit_typecode), *OPTIONS),
        *(float64, int64, int64),
    )
)
def norm(summand: str, typecodes: tuple[int, ...], has_complex: bool, limit_typecode: int | None) -> Any:
    """Make the kernel for one summand, for lists with complex elements or without.

    `limit` is the clip_norm, or the address of one on the device, with a typecode. The norm is written to the
    address `norm`, and the factor to the address `factor`, if that is not 0.
    """
    terms, prescale_of_row = terms_of(summand, typecodes, has_complex), prescale_of(summand)
    sum_chunk, store_sum = chunk_sum(summand, typecodes, has_complex), store_chunk(terms)
    finish, norm_of_list, is_needed = finish_run(terms), list_norm(summand, terms), needed(summand)
    decide, number = decision(FLOAT64 in typecodes), read_number(limit_typecode)

    @cuda.jit
    def sum_and_decide(workspace, count, limit, eps, loss_scale, zero, order, norm, factor):
        if not is_needed(workspace):
            return
        warp, lane = int64(cuda.threadIdx.x // LANES), int64(cuda.threadIdx.x % LANES)
        firsts = column(workspace, count, FIRST_CHUNK)
        chunk, row = int64(cuda.blockIdx.x) * WARPS + warp, int64(-1)
        if chunk < load_int(firsts + 8 * count):
            row = find_row(workspace, count, chunk)
            prescale = prescale_of_row(workspace, row)
            total = sum_chunk(workspace, count, row, chunk, lane, prescale, order)
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
        parts = norm_of_list(workspace, count, warp, lane, order)
        if warp == 0 and lane == 0:
            decide(workspace, parts, number(limit), (eps, loss_scale, zero), norm, factor)

    return sum_and_decide
