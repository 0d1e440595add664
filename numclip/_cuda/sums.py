"""The sum of squares of a chunk."""

from functools import cache, partial
from typing import Any

from numba import int64

from numclip._core.dtypes import FLOAT64, ITEM_SIZE
from numclip._cuda.grid import (
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
from numclip._cuda.intrinsics import load, load_four, multiply, sync_warp, widen
from numclip._cuda.table import FIRST_CHUNK, KIND, LENGTH, SOURCE
from numclip._cuda.terms import accumulate, terms


@cache
def element(kind: int, again: bool) -> Any:
    """Make the value of an element, in the second pass times a power of two."""
    wide = widen(kind)

    @device
    def value(stored, unit):
        return wide(stored)

    @device
    def scaled_value(stored, unit):
        return multiply(wide(stored), unit)

    return scaled_value if again else value


@cache
def lane_sums(kind: int, single: bool, again: bool) -> Any:
    """Make the sums of squares of one thread's four lanes over the chunk that starts at `address`."""
    item = ITEM_SIZE[kind]
    step = LANES * item
    aligned = min(PART * item, 16) - 1
    four, one, value = load_four(kind), load(kind), element(kind, again)
    add = accumulate(FLOAT64 if again else kind, single)  # what may underflow has no exact square
    zero = terms(single).zero

    @device
    def sum_lanes(address, size, part, unit):
        a, b, c, d = zero, zero, zero, zero
        here = address + part * (PART * item)
        steps = size >> 5
        if address & aligned == 0:
            # Eight loads before the first use: with few chunks, that many keep the memory busy.
            for _ in range(steps >> 3):
                p, q, r, s = four(here), four(here + step), four(here + 2 * step), four(here + 3 * step)
                t, u = four(here + 4 * step), four(here + 5 * step)
                v, w = four(here + 6 * step), four(here + 7 * step)
                a, b = add(a, value(p[0], unit)), add(b, value(p[1], unit))
                c, d = add(c, value(p[2], unit)), add(d, value(p[3], unit))
                a, b = add(a, value(q[0], unit)), add(b, value(q[1], unit))
                c, d = add(c, value(q[2], unit)), add(d, value(q[3], unit))
                a, b = add(a, value(r[0], unit)), add(b, value(r[1], unit))
                c, d = add(c, value(r[2], unit)), add(d, value(r[3], unit))
                a, b = add(a, value(s[0], unit)), add(b, value(s[1], unit))
                c, d = add(c, value(s[2], unit)), add(d, value(s[3], unit))
                a, b = add(a, value(t[0], unit)), add(b, value(t[1], unit))
                c, d = add(c, value(t[2], unit)), add(d, value(t[3], unit))
                a, b = add(a, value(u[0], unit)), add(b, value(u[1], unit))
                c, d = add(c, value(u[2], unit)), add(d, value(u[3], unit))
                a, b = add(a, value(v[0], unit)), add(b, value(v[1], unit))
                c, d = add(c, value(v[2], unit)), add(d, value(v[3], unit))
                a, b = add(a, value(w[0], unit)), add(b, value(w[1], unit))
                c, d = add(c, value(w[2], unit)), add(d, value(w[3], unit))
                here += 8 * step
            steps &= 7
        for _ in range(steps):
            a = add(a, value(one(here), unit))
            b = add(b, value(one(here + item), unit))
            c = add(c, value(one(here + 2 * item), unit))
            d = add(d, value(one(here + 3 * item), unit))
            here += step
        left = (size & (LANES - 1)) - part * PART
        if left > 0:
            a = add(a, value(one(here), unit))
        if left > 1:
            b = add(b, value(one(here + item), unit))
        if left > 2:
            c = add(c, value(one(here + 2 * item), unit))
        if left > 3:
            d = add(d, value(one(here + 3 * item), unit))
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
    sums = by_kind(kinds, partial(lane_sums, single=single, again=again))

    @device
    def sum_chunk(workspace, count, row, chunk, unit, shared, thread):
        lanes = zero, zero, zero, zero
        if row >= 0:
            offset = (chunk - load_int(column(workspace, count, FIRST_CHUNK) + 8 * row)) * CHUNK
            size = min(load_int(column(workspace, count, LENGTH) + 8 * row) - offset, int64(CHUNK))
            kind = load_int(column(workspace, count, KIND) + 8 * row)
            source = load_int(column(workspace, count, SOURCE) + 8 * row) + offset * bytes_of(kind, ())
            part = int64(thread % CREW)
            lanes = sums(kind, (source, size, part, unit))
        return halve(shared, thread, lanes)

    return sum_chunk
