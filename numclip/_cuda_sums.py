"""CUDA kernels for the sum of squares of each chunk."""

from functools import cache
from typing import Any

from numba import cuda, float64, int64

from numclip._cuda_chunks import (
    CHUNK,
    CREW,
    LANES,
    PART,
    THREADS,
    by_kind,
    column,
    device,
    item_size,
    load_double,
    load_int,
    row_of,
    store_double,
)
from numclip._cuda_intrinsics import add_square, load, load_four, multiply, sync_warp, widen
from numclip._cuda_table import CHUNK_SUMS, FIRST_CHUNK, KIND, LENGTH, SOURCE, UNIT
from numclip._table import FLOAT64, ITEM_SIZE


@cache
def lane_sums(kind: int) -> Any:
    """Make the sums of squares of one thread's four lanes over the chunk that starts at `address`."""
    item = ITEM_SIZE[kind]
    step = LANES * item
    aligned = min(PART * item, 16) - 1
    four, one, wide, add = load_four(kind), load(kind), widen(kind), add_square(kind)

    @device
    def sum_lanes(address, size, part):
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        here = address + part * (PART * item)
        steps = size >> 5
        if address & aligned == 0:
            # Eight loads before the first use: with few chunks, that many keep the memory busy.
            for _ in range(steps >> 3):
                p, q, r, s = four(here), four(here + step), four(here + 2 * step), four(here + 3 * step)
                t, u = four(here + 4 * step), four(here + 5 * step)
                v, w = four(here + 6 * step), four(here + 7 * step)
                a, b = add(a, wide(p[0])), add(b, wide(p[1]))
                c, d = add(c, wide(p[2])), add(d, wide(p[3]))
                a, b = add(a, wide(q[0])), add(b, wide(q[1]))
                c, d = add(c, wide(q[2])), add(d, wide(q[3]))
                a, b = add(a, wide(r[0])), add(b, wide(r[1]))
                c, d = add(c, wide(r[2])), add(d, wide(r[3]))
                a, b = add(a, wide(s[0])), add(b, wide(s[1]))
                c, d = add(c, wide(s[2])), add(d, wide(s[3]))
                a, b = add(a, wide(t[0])), add(b, wide(t[1]))
                c, d = add(c, wide(t[2])), add(d, wide(t[3]))
                a, b = add(a, wide(u[0])), add(b, wide(u[1]))
                c, d = add(c, wide(u[2])), add(d, wide(u[3]))
                a, b = add(a, wide(v[0])), add(b, wide(v[1]))
                c, d = add(c, wide(v[2])), add(d, wide(v[3]))
                a, b = add(a, wide(w[0])), add(b, wide(w[1]))
                c, d = add(c, wide(w[2])), add(d, wide(w[3]))
                here += 8 * step
            steps &= 7
        for _ in range(steps):
            a = add(a, wide(one(here)))
            b = add(b, wide(one(here + item)))
            c = add(c, wide(one(here + 2 * item)))
            d = add(d, wide(one(here + 3 * item)))
            here += step
        left = (size & (LANES - 1)) - part * PART
        if left > 0:
            a = add(a, wide(one(here)))
        if left > 1:
            b = add(b, wide(one(here + item)))
        if left > 2:
            c = add(c, wide(one(here + 2 * item)))
        if left > 3:
            d = add(d, wide(one(here + 3 * item)))
        return a, b, c, d

    return sum_lanes


@cache
def scaled_lane_sums(kind: int) -> Any:
    """Make the same for elements that are first multiplied by a power of two: the second pass."""
    item = ITEM_SIZE[kind]
    one, wide, add = load(kind), widen(kind), add_square(FLOAT64)

    @device
    def sum_lanes(address, size, part, unit):
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for i in range(part * PART, size, LANES):
            here = address + i * item
            a = add(a, multiply(wide(one(here)), unit))
            if i + 1 < size:
                b = add(b, multiply(wide(one(here + item)), unit))
            if i + 2 < size:
                c = add(c, multiply(wide(one(here + 2 * item)), unit))
            if i + 3 < size:
                d = add(d, multiply(wide(one(here + 3 * item)), unit))
        return a, b, c, d

    return sum_lanes


@cache
def halve_crew(threads: int) -> Any:
    """Make the sum of the lanes of a crew, for blocks of so many threads; all threads of a warp call it."""

    @device
    def halve(shared, thread, a, b, c, d):
        part = thread % CREW
        shared[thread], shared[threads + thread] = a, b
        shared[2 * threads + thread], shared[3 * threads + thread] = c, d
        sync_warp()
        half = CREW // 2
        while half > 0:
            if part < half:
                for slot in range(thread, PART * threads, threads):
                    shared[slot] += shared[slot + half]
            sync_warp()
            half >>= 1
        return (shared[thread] + shared[2 * threads + thread]) + (
            shared[threads + thread] + shared[3 * threads + thread]
        )

    return halve


def _chunk_sums(kinds: tuple[int, ...], again: bool) -> Any:
    threads, crews, size_of_shared = THREADS, THREADS // CREW, PART * THREADS
    halve = halve_crew(threads)
    sums = by_kind(kinds, scaled_lane_sums if again else lane_sums)
    bytes_of = by_kind(kinds, item_size)

    @cuda.jit
    def chunk_sums(workspace, count):
        shared = cuda.shared.array(size_of_shared, float64)
        unit = load_double(workspace + 8 * UNIT)
        if again and unit == 1.0:
            return
        thread = cuda.threadIdx.x
        chunk = int64(cuda.blockIdx.x) * crews + thread // CREW
        firsts = column(workspace, count, FIRST_CHUNK)
        chunks = load_int(firsts + 8 * count)
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        if chunk < chunks:
            row = row_of(firsts, count, chunk)
            offset = (chunk - load_int(firsts + 8 * row)) * CHUNK
            size = min(load_int(column(workspace, count, LENGTH) + 8 * row) - offset, int64(CHUNK))
            kind = load_int(column(workspace, count, KIND) + 8 * row)
            source = load_int(column(workspace, count, SOURCE) + 8 * row) + offset * bytes_of(kind, ())
            part = int64(thread % CREW)
            if again:
                a, b, c, d = sums(kind, (source, size, part, unit))
            else:
                a, b, c, d = sums(kind, (source, size, part))
        total = halve(shared, thread, a, b, c, d)
        if thread % CREW == 0 and chunk < chunks:
            store_double(load_int(workspace + 8 * CHUNK_SUMS) + 8 * chunk, total)

    return chunk_sums


@cache
def chunk_sums(kinds: tuple[int, ...]) -> Any:
    """Make the kernel that sums the squares of each chunk; a crew of eight threads for each."""
    return _chunk_sums(kinds, False)


@cache
def chunk_sums_again(kinds: tuple[int, ...]) -> Any:
    """Make the kernel of the second pass, which returns at once where the first one is good."""
    return _chunk_sums(kinds, True)
