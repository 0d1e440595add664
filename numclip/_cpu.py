"""CPU kernels: the sum of squares in the one order that numclip defines, and the scaling.

An array is summed in chunks of 4096 elements. A chunk is 32 float64 lanes, lane l taking elements l, l + 32,
l + 64 and so on; then the lanes are halved until one is left. The sums of the chunks are summed in the same
way, and so are the sums of the arrays. Nothing of this depends on threads, so every split of the chunks
among blocks gives the same bits.
"""

from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import intrinsic
from numba.typed import List

from numclip._fpenv import enter, leave
from numclip._jit import helper
from numclip._simd import (
    WIDTH,
    add,
    add_square,
    fence,
    halve,
    load,
    load_part,
    square,
    store,
    store_part,
    stream,
    times,
    zeros,
)
from numclip._table import KIND, LENGTH, NOTHING, SOURCE, TARGET

CHUNK = 4096
LANES = 4 * WIDTH
CACHE_LINE = 64
# A list of up to this many chunks is scaled from its end, in segments of this many elements: the level-2
# cache holds what was summed last, and 930 thousand float32 take 228 us, not 284. For 124 million, which no
# cache holds, forwards is 6 % faster.
BACKWARDS_CHUNKS = 1024
SEGMENT = 1 << 16
# From 64 MB of float32 on it pays to write past the caches: 16 million elements in 14 ms, not 18, 64 million
# in 45, not 75.
STREAMING_CHUNKS = 4096


@intrinsic
def _pointer(typingctx: Any, address: Any, dtype: Any) -> Any:
    """Turn an address into a pointer to elements of `dtype`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(dtype.dtype)(types.intp, dtype), codegen


@helper
def pairs(rows: Any, kind: int, dtype: Any) -> Any:
    """Return a typed list with an item for each row of this kind: (source, target, in place).

    Both are flat views; the target is empty where nothing is to be written. One list, not two, and no look-up
    that checks its index: appending costs 25 ns, `items[i]` as much, `getitem_unchecked` 4 ns.
    """
    items = List()
    for i in range(len(rows)):
        if rows[i, KIND] == kind:
            length = rows[i, LENGTH]
            source = carray(_pointer(rows[i, SOURCE], dtype), (length,))
            target = carray(_pointer(rows[i, TARGET], dtype), (length if rows[i, TARGET] else 0,))
            items.append((source, target, rows[i, SOURCE] == rows[i, TARGET]))
    return items


@helper
def first_chunks(rows: Any, kind: int) -> Any:
    """Number the chunks of all rows of this kind: item i has those from first[i] to first[i + 1]."""
    first = np.empty(len(rows) + 1, np.int64)
    chunks, items = 0, 0
    first[0] = 0
    for i in range(len(rows)):
        if rows[i, KIND] == kind:
            chunks += (rows[i, LENGTH] + CHUNK - 1) // CHUNK
            items += 1
            first[items] = chunks
    return first[: items + 1]


def _sum32(accumulate: Any) -> Any:
    """Make the sum of one kind of term: a function passed at run time would not go to the disk cache."""

    @helper
    def sum32(values: Any, start: int, stop: int, unit: float) -> float:
        a, b, c, d = zeros(), zeros(), zeros(), zeros()
        whole = stop - (stop - start) % LANES
        for i in range(start, whole, LANES):
            a = accumulate(a, load(values, i), unit, values)
            b = accumulate(b, load(values, i + WIDTH), unit, values)
            c = accumulate(c, load(values, i + 2 * WIDTH), unit, values)
            d = accumulate(d, load(values, i + 3 * WIDTH), unit, values)
        left = stop - whole
        if left > 0:
            a = accumulate(a, load_part(values, whole, left), unit, values)
            b = accumulate(b, load_part(values, whole + WIDTH, left - WIDTH), unit, values)
            c = accumulate(c, load_part(values, whole + 2 * WIDTH, left - 2 * WIDTH), unit, values)
            d = accumulate(d, load_part(values, whole + 3 * WIDTH, left - 3 * WIDTH), unit, values)
        return halve(add(add(a, c), add(b, d)))

    return sum32


@helper
def _add(total: Any, value: Any, unit: float, values: Any) -> Any:
    return add(total, value)


@helper
def _add_square(total: Any, value: Any, unit: float, values: Any) -> Any:
    return add_square(total, value, values)


@helper
def _add_scaled_square(total: Any, value: Any, unit: float, values: Any) -> Any:
    # The sums are float64: what may underflow is not exact, whatever the elements are.
    scaled = times(value, unit)
    return add(total, square(scaled))


sum_of_sums = _sum32(_add)
sum_of_squares = _sum32(_add_square)
sum_of_scaled_squares = _sum32(_add_scaled_square)


@helper
def fold(sums: Any) -> float:
    """Sum the sums, in chunks again and again until one number is left; `sums` is overwritten."""
    count = sums.size
    if count == 0:
        return 0.0
    while count > 1:
        chunks = (count + CHUNK - 1) // CHUNK
        for chunk in range(chunks):
            sums[chunk] = sum_of_sums(sums, chunk * CHUNK, min((chunk + 1) * CHUNK, count), 1.0)
        count = chunks
    return sums[0]


@helper
def array_of(first: Any, chunk: int) -> int:
    """Return the array that holds a chunk."""
    low, high = 0, first.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if first[middle] <= chunk:
            low = middle
        else:
            high = middle
    return low


@helper
def sum_block(items: Any, first: Any, start: int, stop: int, unit: float, sums: Any) -> None:
    """Sum the squares of each chunk from `start` to `stop`."""
    environment = enter()
    i, chunk = array_of(first, start), start
    while chunk < stop:
        values = items.getitem_unchecked(i)[0]
        while chunk < min(stop, first[i + 1]):
            begin = (chunk - first[i]) * CHUNK
            end = min(begin + CHUNK, values.size)
            if unit == 1.0:
                sums[chunk] = sum_of_squares(values, begin, end, unit)
            else:
                sums[chunk] = sum_of_scaled_squares(values, begin, end, unit)
            chunk += 1
        i += 1
    leave(environment)


def _scale(product: Any) -> Any:
    @helper
    def scale(source: Any, target: Any, factor: float, step: float) -> None:
        size = source.size
        whole = size - size % LANES
        for i in range(0, whole, LANES):
            for j in range(i, i + LANES, WIDTH):
                store(target, j, product(load(source, j), factor, step))
        for j in range(whole, size, WIDTH):
            store_part(target, j, size - j, product(load_part(source, j, size - j), factor, step))

    return scale


scale = _scale(helper(lambda value, factor, step: times(value, factor)))
scale_in_steps = _scale(helper(lambda value, factor, step: times(times(value, step), factor)))


@helper
def scale_past_caches(source: Any, target: Any, factor: float) -> None:
    """Write the clipped values of one array without reading the target's cache lines first."""
    head = min(source.size, -target.ctypes.data % CACHE_LINE // target.itemsize)
    stop = head + (source.size - head) // LANES * LANES
    scale(source[:head], target[:head], factor, 1.0)
    for i in range(head, stop, WIDTH):
        stream(target, i, times(load(source, i), factor))
    fence()
    scale(source[stop:], target[stop:], factor, 1.0)


@helper
def copy(source: Any, target: Any) -> None:
    """Write the values as they are, bit for bit."""
    for i in range(source.size):
        target[i] = source[i]


@helper
def scale_segment(source: Any, target: Any, in_place: bool, chunks: int, factor: float, step: float) -> None:
    """Write the clipped values of a part of one array."""
    if step != 1.0:
        scale_in_steps(source, target, factor, step)
    elif factor != 1.0 and (in_place or chunks < STREAMING_CHUNKS):
        scale(source, target, factor, step)
    elif factor != 1.0:
        scale_past_caches(source, target, factor)
    elif not in_place:
        copy(source, target)


@helper
def scale_block(items: Any, first: Any, start: int, stop: int, factor: float, step: float) -> None:
    """Write the clipped values of the chunks from `start` to `stop`: what this thread has just summed."""
    if start == stop:
        return
    environment = enter()
    kept = factor == 1.0 and step == 1.0
    backwards = first[-1] <= BACKWARDS_CHUNKS
    i, end, move = array_of(first, start), array_of(first, stop - 1) + 1, 1
    if backwards:
        i, end, move = end - 1, i - 1, -1
    while i != end:
        source, target, in_place = items.getitem_unchecked(i)
        low = max(start - first[i], 0) * CHUNK
        high = min((stop - first[i]) * CHUNK, 0 if in_place and kept else target.size)
        segments = (high - low + SEGMENT - 1) // SEGMENT
        for k in range(segments):
            begin = low + (segments - 1 - k if backwards else k) * SEGMENT
            part = slice(begin, min(begin + SEGMENT, high))
            scale_segment(source[part], target[part], in_place, first[-1], factor, step)
        i += move
    leave(environment)


@helper
def bounds(block: int, blocks: int, chunks: int) -> tuple[int, int]:
    """Return the first chunk of a block, and the first one behind it."""
    return block * chunks // blocks, (block + 1) * chunks // blocks


@helper
def gather(rows: Any, kind: int, first: Any, chunk_sums: Any, sums: Any) -> None:
    """Set sums[i] for each row of this kind from the sums of its chunks, and to 0 for a row of nothing."""
    item = 0
    for i in range(len(rows)):
        if rows[i, KIND] == kind:
            begin, end = first[item], first[item + 1]
            # Most arrays are one chunk, and a slice costs more than their sum: 160 us for 2000, not 90.
            sums[i] = chunk_sums[begin] if end == begin + 1 else fold(chunk_sums[begin:end])
            item += 1
        elif rows[i, KIND] == NOTHING:
            sums[i] = 0.0
