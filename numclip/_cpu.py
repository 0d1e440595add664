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
    halve,
    load,
    load_part,
    square,
    store,
    store_part,
    times,
    zeros,
)
from numclip._table import KIND, LENGTH, SOURCE, TARGET

CHUNK = 4096
LANES = 4 * WIDTH


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
    def sum32(values: Any, unit: float) -> float:
        a, b, c, d = zeros(), zeros(), zeros(), zeros()
        size = values.size
        whole = size - size % LANES
        for i in range(0, whole, LANES):
            a = accumulate(a, load(values, i), unit, values)
            b = accumulate(b, load(values, i + WIDTH), unit, values)
            c = accumulate(c, load(values, i + 2 * WIDTH), unit, values)
            d = accumulate(d, load(values, i + 3 * WIDTH), unit, values)
        left = size - whole
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
            sums[chunk] = sum_of_sums(sums[chunk * CHUNK : min((chunk + 1) * CHUNK, count)], 1.0)
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
            offset = (chunk - first[i]) * CHUNK
            part = values[offset : offset + CHUNK]
            sums[chunk] = sum_of_squares(part, unit) if unit == 1.0 else sum_of_scaled_squares(part, unit)
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
def copy(source: Any, target: Any) -> None:
    """Write the values as they are, bit for bit."""
    for i in range(source.size):
        target[i] = source[i]


@helper
def scale_block(items: Any, first: Any, start: int, stop: int, factor: float, step: float) -> None:
    """Write the clipped values of the chunks from `start` to `stop`: what this thread has just summed."""
    environment = enter()
    i = array_of(first, start)
    while i < len(items) and first[i] < stop:
        source, target, in_place = items.getitem_unchecked(i)
        low = max(start - first[i], 0) * CHUNK
        high = min(stop - first[i], first[i + 1] - first[i]) * CHUNK
        source, target = source[low:high], target[low:high]
        if target.size > 0:
            if step != 1.0:
                scale_in_steps(source, target, factor, step)
            elif factor != 1.0:
                scale(source, target, factor, step)
            elif not in_place:
                copy(source, target)
        i += 1
    leave(environment)


@helper
def bounds(block: int, blocks: int, chunks: int) -> tuple[int, int]:
    """Return the first chunk of a block, and the first one behind it."""
    return block * chunks // blocks, (block + 1) * chunks // blocks


@helper
def gather(rows: Any, kind: int, first: Any, chunk_sums: Any, sums: Any) -> None:
    """Set sums[i] for each row of this kind from the sums of its chunks."""
    item = 0
    for i in range(len(rows)):
        if rows[i, KIND] == kind:
            begin, end = first[item], first[item + 1]
            # Most arrays are one chunk, and a slice costs more than their sum: 160 us for 2000, not 90.
            sums[i] = chunk_sums[begin] if end == begin + 1 else fold(chunk_sums[begin:end])
            item += 1
