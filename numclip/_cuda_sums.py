"""The sum of squares of a chunk."""

from functools import cache, partial
from typing import Any

from numba import int64

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
    load_int,
)
from numclip._cuda_intrinsics import load, load_four, multiply, sync_warp, widen
from numclip._cuda_table import FIRST_CHUNK, KIND, LENGTH, SOURCE
from numclip._cuda_terms import accumulate, terms
from numclip._table import FLOAT64, ITEM_SIZE


@cache
def lane_sums(kind: int, single: bool) -> Any:
    """Make the sums of squares of one thread's four lanes over the chunk that starts at `address`."""
    item = ITEM_SIZE[kind]
    step = LANES * item
    aligned = min(PART * item, 16) - 1
    four, one, wide, add = load_four(kind), load(kind), widen(kind), accumulate(kind, single)
    zero = terms(single).zero

    @device
    def sum_lanes(address, size, part):
        a, b, c, d = zero, zero, zero, zero
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
    one, wide, add = load(kind), widen(kind), accumulate(FLOAT64, False)
    zero = terms(False).zero

    @device
    def sum_lanes(address, size, part, unit):
        a, b, c, d = zero, zero, zero, zero
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
def halve_crew(single: bool) -> Any:
    """Make the sum of the lanes of a crew; all threads of a warp call it."""
    threads, slots = THREADS, PART * THREADS
    _, _, add, _, _, put, get = terms(single)

    @device
    def halve(shared, thread, lanes):
        part = thread % CREW
        for i in range(PART):
            put(shared, slots, i * threads + thread, lanes[i])
        sync_warp()
        half = CREW // 2
        while half > 0:
            if part < half:
                for slot in range(thread, slots, threads):
                    put(shared, slots, slot, add(get(shared, slots, slot), get(shared, slots, slot + half)))
            sync_warp()
            half >>= 1
        a, b = get(shared, slots, thread), get(shared, slots, threads + thread)
        c, d = get(shared, slots, 2 * threads + thread), get(shared, slots, 3 * threads + thread)
        return add(add(a, c), add(b, d))

    return halve


@cache
def chunk_sum(kinds: tuple[int, ...], single: bool, again: bool) -> Any:
    """Make the sum of squares of a chunk, by a crew of eight threads; all threads of a block call it.

    The second pass, `again`, takes the elements times `unit`. The sum is right in the first thread of a crew.
    """
    zero, halve = terms(single).zero, halve_crew(single)
    bytes_of = by_kind(kinds, item_size)
    sums = by_kind(kinds, scaled_lane_sums if again else partial(lane_sums, single=single))

    @device
    def sum_chunk(workspace, count, row, chunk, unit, shared, thread):
        lanes = zero, zero, zero, zero
        if row >= 0:
            offset = (chunk - load_int(column(workspace, count, FIRST_CHUNK) + 8 * row)) * CHUNK
            size = min(load_int(column(workspace, count, LENGTH) + 8 * row) - offset, int64(CHUNK))
            kind = load_int(column(workspace, count, KIND) + 8 * row)
            source = load_int(column(workspace, count, SOURCE) + 8 * row) + offset * bytes_of(kind, ())
            part = int64(thread % CREW)
            lanes = sums(kind, (source, size, part, unit) if again else (source, size, part))
        return halve(shared, thread, lanes)

    return sum_chunk
