"""CUDA kernels that write the clipped values."""

from functools import cache
from typing import Any

from numba import cuda, int64

from numclip._core.dtypes import ITEM_SIZE
from numclip._cuda.grid import (
    CHUNK,
    CREW,
    CREWS,
    LANES,
    PART,
    by_kind,
    column,
    device,
    item_size,
    load_double,
    load_int,
    row_of,
)
from numclip._cuda.intrinsics import load, load_four, multiply, narrow, store, store_four, widen
from numclip._cuda.table import FACTOR, FIRST_CHUNK, KIND, LENGTH, SOURCE, STEP, TARGET


@device
def unchanged(element, factor):
    """Return the element, bit for bit."""
    return element


@cache
def scaled(kind: int) -> Any:
    """Make the product of an element with the factor, rounded once."""
    wide, to_kind = widen(kind), narrow(kind)

    @device
    def product(element, factor):
        return to_kind(multiply(wide(element), factor))

    return product


@cache
def map_chunk(kind: int, function: Any) -> Any:
    """Make the loop of a crew that writes function(element, factor) for each element of a chunk."""
    item = ITEM_SIZE[kind]
    step = LANES * item
    aligned = min(PART * item, 16) - 1
    four, one = load_four(kind), load(kind)
    store_vector, store_one = store_four(kind), store(kind)

    @device
    def put(address, x, factor):
        store_vector(
            address,
            function(x[0], factor),
            function(x[1], factor),
            function(x[2], factor),
            function(x[3], factor),
        )

    @device
    def write(source, target, size, part, factor):
        begin = int64(0)
        if (source | target) & aligned == 0:
            here, there = source + part * (PART * item), target + part * (PART * item)
            steps = size >> 5
            for _ in range(steps >> 2):
                p, q, r, s = four(here), four(here + step), four(here + 2 * step), four(here + 3 * step)
                put(there, p, factor)
                put(there + step, q, factor)
                put(there + 2 * step, r, factor)
                put(there + 3 * step, s, factor)
                here += 4 * step
                there += 4 * step
            for _ in range(steps & 3):
                put(there, four(here), factor)
                here += step
                there += step
            begin = steps * LANES
        for i in range(begin + part, size, CREW):
            store_one(target + i * item, function(one(source + i * item), factor))

    return write


@cache
def scale_chunk(kind: int) -> Any:
    """Make the scaling of a chunk; nothing is written in place where nothing changes."""
    item = ITEM_SIZE[kind]
    copy, scale = map_chunk(kind, unchanged), map_chunk(kind, scaled(kind))
    one, store_one, wide, to_kind = load(kind), store(kind), widen(kind), narrow(kind)

    @device
    def write(source, target, size, part, factor, step):
        if step != 1.0:
            for i in range(part, size, CREW):
                element = multiply(multiply(wide(one(source + i * item)), step), factor)
                store_one(target + i * item, to_kind(element))
        elif factor != 1.0:
            scale(source, target, size, part, factor)
        elif source != target:
            copy(source, target, size, part, factor)

    return write


@cache
def scale(kinds: tuple[int, ...]) -> Any:
    """Make the kernel that writes the clipped values; a crew of eight threads for each chunk."""
    write = by_kind(kinds, scale_chunk)
    bytes_of = by_kind(kinds, item_size)

    @cuda.jit
    def scale_chunks(workspace, count, in_place):
        factor, step = load_double(workspace + 8 * FACTOR), load_double(workspace + 8 * STEP)
        if in_place != 0 and factor == 1.0 and step == 1.0:
            return
        firsts = column(workspace, count, FIRST_CHUNK)
        # Backwards: the cache still holds the end of what was summed.
        chunk = load_int(firsts + 8 * count) - 1 - (int64(cuda.blockIdx.x) * CREWS + cuda.threadIdx.x // CREW)
        if chunk < 0:
            return
        row = row_of(firsts, count, chunk)
        target = load_int(column(workspace, count, TARGET) + 8 * row)
        if target == 0:
            return
        offset = (chunk - load_int(firsts + 8 * row)) * CHUNK
        size = min(load_int(column(workspace, count, LENGTH) + 8 * row) - offset, int64(CHUNK))
        kind = load_int(column(workspace, count, KIND) + 8 * row)
        moved = offset * bytes_of(kind, ())
        source = load_int(column(workspace, count, SOURCE) + 8 * row)
        part = int64(cuda.threadIdx.x % CREW)
        write(kind, (source + moved, target + moved, size, part, factor, step))

    return scale_chunks
