"""What a thread does with its block of a list: the sums of squares of its chunks, and their scaling.

The chunks of all arrays of one kind are numbered through, so that any number of threads can share them. For
several threads, or several kinds, the rows of a kind are gathered in a typed list; a list of one kind is
clipped by one thread from its rows as they are.
"""

from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import intrinsic
from numba.typed import List

from numclip._core.contract import CHUNK, COLUMNS, FIRST_CHUNK, KIND, LENGTH, SOURCE, TARGET
from numclip._core.fpenv import enter, held, leave
from numclip._core.jit import helper
from numclip._cpu.pack import chunks_of, pointer
from numclip._cpu.scaling import scale_segment
from numclip._cpu.sums import fold, sum_of_squares

# A list of up to this many chunks is scaled from its end, in segments of this many elements: the level-2
# cache holds what was summed last, and 930 thousand float32 take 228 us, not 284. For 124 million, which no
# cache holds, forwards is 6 % faster.
BACKWARDS_CHUNKS = 1024
SEGMENT = 1 << 16


@helper
def view(address: int, length: int, dtype: Any) -> Any:
    """Return the flat view of the elements at an address."""
    return carray(pointer(address, dtype), (length,))


@helper
def rows_at(address: int, count: int) -> Any:
    """Return the packed list at an address."""
    return carray(pointer(address, np.int64), (count, COLUMNS))


@helper
def flat_views(rows: Any, kind: int) -> tuple[Any, int]:
    """Return a typed list with an item for each row of this kind, and the number of their chunks.

    An item is (source, target, length, first chunk, row). Addresses, of which `view` makes arrays where they
    are used: a list of arrays takes twice as long to fill, 31 ns an item, because it counts references.
    """
    items, chunks = List(), 0
    for i in range(len(rows)):
        if rows[i, KIND] == kind:
            length = rows[i, LENGTH]
            items.append((rows[i, SOURCE], rows[i, TARGET], length, chunks, i))
            chunks += chunks_of(length)
    return items, chunks


def _item_of_list(items: Any, i: int) -> Any:
    return items.getitem_unchecked(i)


def _item_of_rows(rows: Any, i: int) -> Any:
    return rows[i, SOURCE], rows[i, TARGET], rows[i, LENGTH], rows[i, FIRST_CHUNK], i


@intrinsic
def _item(typingctx: Any, items: Any, i: Any) -> Any:
    """Return an item of `flat_views`; or a row of a list of one kind, which is such an item as it is."""
    implementation = _item_of_list if isinstance(items, types.ListType) else _item_of_rows

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.compile_internal(builder, implementation, signature, arguments)

    return types.UniTuple(types.int64, 5)(items, types.intp), codegen


@helper
def _item_of(items: Any, chunk: int) -> int:
    """Return the item that holds a chunk: the last one that starts at or before it."""
    low, high = 0, len(items)
    while high - low > 1:
        middle = (low + high) // 2
        if _item(items, middle)[3] <= chunk:
            low = middle
        else:
            high = middle
    return low


@helper
def bounds(block: int, blocks: int, chunks: int) -> tuple[int, int]:
    """Return the first chunk of a block, and the first one behind it."""
    return block * chunks // blocks, (block + 1) * chunks // blocks


@helper
def sum_block(
    items: Any, dtype: Any, start: int, stop: int, unit: float, wide: Any, sums: Any, errors: Any
) -> None:
    """Sum the squares of each chunk from `start` to `stop`."""
    environment = enter()
    i, chunk = _item_of(items, start), start
    while chunk < stop:
        source, _, length, first, _ = _item(items, i)
        values = view(source, length, dtype)
        begin = (chunk - first) * CHUNK
        while begin < length and chunk < stop:
            end = min(begin + CHUNK, length)
            sums[chunk], errors[chunk] = sum_of_squares(values, begin, end, unit, wide)
            chunk += 1
            begin = end
        i += 1
    leave(environment)


@helper
def gather(
    items: Any, chunk_sums: Any, chunk_errors: Any, wide: Any, sums: Any, errors: Any, first: int
) -> None:
    """Sum the sums of the chunks of each array: that of row i goes to sums[first + i]."""
    for i in range(len(items)):
        _, _, length, begin, row = _item(items, i)
        end = begin + chunks_of(length)
        # Most arrays are one chunk: 2 ns, and 10 to call what sums several.
        if end == begin + 1:
            sums[first + row], errors[first + row] = chunk_sums[begin], chunk_errors[begin]
        else:
            sums[first + row], errors[first + row] = fold(chunk_sums, chunk_errors, begin, end, wide)


@helper
def scale_block(
    items: Any, chunks: int, dtype: Any, start: int, stop: int, factor: float, step: float
) -> None:
    """Write the clipped values of the chunks from `start` to `stop`: what this thread has just summed."""
    if start == stop:
        return
    environment = enter()
    factor, step = held(factor), held(step)
    kept = factor == 1.0 and step == 1.0
    backwards = chunks <= BACKWARDS_CHUNKS
    i, end, move = _item_of(items, start), _item_of(items, stop - 1) + 1, 1
    if backwards:
        i, end, move = end - 1, i - 1, -1
    while i != end:
        source, target, length, first, _ = _item(items, i)
        in_place = source == target
        low = max(start - first, 0) * CHUNK
        high = min((stop - first) * CHUNK, length)
        if target == 0 or (in_place and kept):
            high = low
        segments = (high - low + SEGMENT - 1) // SEGMENT
        for k in range(segments):
            begin = low + (segments - 1 - k if backwards else k) * SEGMENT
            part = slice(begin, min(begin + SEGMENT, high))
            read, written = view(source, length, dtype)[part], view(target, length, dtype)[part]
            scale_segment(read, written, in_place, chunks, factor, step)
        i += move
    leave(environment)
