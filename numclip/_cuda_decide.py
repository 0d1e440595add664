"""CUDA kernels that sum the sums of the chunks, and work out the norm and the factor."""

import math
from functools import cache
from typing import Any

from numba import cuda, float64, int64

from numclip import _math
from numclip._cuda_chunks import (
    CHUNK,
    FOLD_THREADS,
    LANES,
    column,
    device,
    load_double,
    load_int,
    row_of,
    store_double,
    store_int,
)
from numclip._cuda_intrinsics import load, narrow, next_ticket, store, sync_warp, widen
from numclip._cuda_table import (
    ARRAY_SUMS,
    CHUNK_SUMS,
    FACTOR,
    FIRST_CHUNK,
    FIRST_RUN,
    GIVEN,
    LARGE,
    LARGE_COUNT,
    LIMIT,
    ROOT,
    RUN_SUMS,
    STEP,
    TICKET,
    UNIT,
)
from numclip._table import FLOAT32

rescue_unit = device(_math.rescue_unit)
returned_norm = device(_math.returned_norm)
scale_factor = device(_math.scale_factor)
store_single, to_single = store(FLOAT32), narrow(FLOAT32)


@device
def warp_sum(sums, size, shared, thread):
    """Return the sum of up to 4096 sums; all threads of a warp call it."""
    if size == 1:  # most arrays are one chunk
        return load_double(sums)
    lane = thread % LANES
    total = 0.0
    # A lane's sums are added one after the other, but loaded eight at a time.
    here = sums + 8 * int64(lane)
    steps = (size + LANES - 1 - lane) // LANES
    for _ in range(steps >> 3):
        a, b, c, d = (
            load_double(here),
            load_double(here + 256),
            load_double(here + 512),
            load_double(here + 768),
        )
        here += 1024
        e, f, g, h = (
            load_double(here),
            load_double(here + 256),
            load_double(here + 512),
            load_double(here + 768),
        )
        here += 1024
        total = total + a + b + c + d + e + f + g + h
    for _ in range(steps & 7):
        total += load_double(here)
        here += 256
    shared[thread] = total
    sync_warp()
    half = LANES // 2
    while half > 0:
        if lane < half:
            shared[thread] += shared[thread + half]
        sync_warp()
        half >>= 1
    total = shared[thread - lane]
    sync_warp()
    return total


@device
def fold(sums, count, shared, thread):
    """Return the sum of any number of sums, by one warp; `sums` is overwritten."""
    while count > 1:
        chunks = (count + CHUNK - 1) // CHUNK
        for chunk in range(chunks):
            part = sums + 8 * CHUNK * chunk
            total = warp_sum(part, min(count - chunk * CHUNK, int64(CHUNK)), shared, thread)
            if thread % LANES == 0:
                store_double(sums + 8 * chunk, total)
        sync_warp()
        count = chunks
    return load_double(sums)


@device
def decide(workspace, root, unit, clip_norm, norm, single):
    """Write the norm, the factor and the step."""
    returned = returned_norm(root, 0.0, unit, single)
    limit = clip_norm if clip_norm >= 0.0 else load_double(workspace + 8 * LIMIT)
    factor, step = scale_factor(root, 0.0, unit, returned, limit)
    # A clip_norm that was read on the device has passed no check.
    if not limit >= 0.0:
        factor = math.nan
    store_double(workspace + 8 * ROOT, root)
    store_double(workspace + 8 * UNIT, unit)
    store_double(workspace + 8 * FACTOR, factor)
    store_double(workspace + 8 * STEP, step)
    if norm != 0:
        if single:
            store_single(norm, to_single(returned))
        else:
            store_double(norm, returned)


@device
def sum_run(workspace, count, run, shared, thread):
    """Sum the chunks of one run; an array of a single run is done with that."""
    first_run, first_chunk = column(workspace, count, FIRST_RUN), column(workspace, count, FIRST_CHUNK)
    row = row_of(first_run, count, run)
    own, others = load_int(first_run + 8 * row), load_int(first_run + 8 * row + 8)
    begin = load_int(first_chunk + 8 * row) + (run - own) * CHUNK
    size = min(load_int(first_chunk + 8 * row + 8) - begin, int64(CHUNK))
    total = warp_sum(load_int(workspace + 8 * CHUNK_SUMS) + 8 * begin, size, shared, thread)
    if thread % LANES == 0:
        if others - own == 1:
            store_double(load_int(workspace + 8 * ARRAY_SUMS) + 8 * row, total)
        else:
            store_double(load_int(workspace + 8 * RUN_SUMS) + 8 * run, total)


@device
def sum_list(workspace, count, shared, thread, warps):
    """Return the sum of the list from the sums of all runs; called by one whole block."""
    first_run, warp = column(workspace, count, FIRST_RUN), thread // LANES
    array_sums = load_int(workspace + 8 * ARRAY_SUMS)
    for i in range(warp, load_int(workspace + 8 * LARGE_COUNT), warps):
        row = load_int(column(workspace, count, LARGE) + 8 * i)
        begin = load_int(first_run + 8 * row)
        runs = load_int(first_run + 8 * row + 8) - begin
        total = fold(load_int(workspace + 8 * RUN_SUMS) + 8 * begin, runs, shared, thread)
        if thread % LANES == 0:
            store_double(array_sums + 8 * row, total)
    cuda.syncthreads()
    size = int64(count)
    while size > 1:  # the sums of each level stand behind those of the one before
        chunks = (size + CHUNK - 1) // CHUNK
        for chunk in range(warp, chunks, warps):
            part = array_sums + 8 * CHUNK * chunk
            total = warp_sum(part, min(size - chunk * CHUNK, int64(CHUNK)), shared, thread)
            if thread % LANES == 0:
                store_double(array_sums + 8 * (size + chunk), total)
        cuda.syncthreads()
        array_sums += 8 * size
        size = chunks
    return load_double(array_sums)


@cache
def finish(single: bool, again: bool) -> Any:
    """Make the kernel that sums the sums and decides: a warp for each run of chunks, the last block for all.

    The norm is written to the address `norm`. A negative `clip_norm` stands for one in the header. Where the
    sum has left the range of float64, it is decided on the second pass instead.
    """
    threads, warps = FOLD_THREADS, FOLD_THREADS // LANES

    @cuda.jit
    def finish_sums(workspace, count, clip_norm, norm):
        shared = cuda.shared.array(threads, float64)
        last = cuda.shared.array(1, int64)
        unit = load_double(workspace + 8 * UNIT)
        if again and unit == 1.0:
            return
        thread = cuda.threadIdx.x
        run = int64(cuda.blockIdx.x) * warps + thread // LANES
        if run < load_int(column(workspace, count, FIRST_RUN) + 8 * count):
            sum_run(workspace, count, run, shared, thread)
        # Whichever block comes last sees the sums of all others, and adds them up: in the order of the list.
        cuda.threadfence()
        cuda.syncthreads()
        if thread == 0:
            last[0] = next_ticket(workspace + 8 * TICKET)
        cuda.syncthreads()
        if last[0] != cuda.gridDim.x - 1:
            return
        cuda.threadfence()
        total = sum_list(workspace, count, shared, thread, warps)
        if thread == 0:
            store_int(workspace + 8 * TICKET, int64(0))
            if not (again or single):
                unit = rescue_unit(total)
                store_double(workspace + 8 * UNIT, unit)
            if again or single or unit == 1.0:
                decide(workspace, math.sqrt(total), 1.0 if single else unit, clip_norm, norm, single)

    return finish_sums


@cache
def use_given() -> Any:
    """Make the kernel that decides for a norm given by the caller; a negative one stands for the header's."""

    @cuda.jit
    def use_given_norm(workspace, clip_norm, use_norm):
        norm = use_norm if not use_norm < 0.0 else load_double(workspace + 8 * GIVEN)
        decide(workspace, norm, 1.0, clip_norm, 0, False)

    return use_given_norm


@cache
def write_factor() -> Any:
    """Make the kernel that writes the factor to an address of the caller."""

    @cuda.jit
    def write(workspace, address):
        factor, step = load_double(workspace + 8 * FACTOR), load_double(workspace + 8 * STEP)
        store_double(address, factor * step)

    return write


@cache
def read_scalar(kind: int) -> Any:
    """Make the kernel that copies a number of the caller, on the device, into a word of the header."""
    one, wide = load(kind), widen(kind)

    @cuda.jit
    def read(address, word):
        store_double(word, wide(one(address)))

    return read
