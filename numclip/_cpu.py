"""What a thread does with its block of a list: the sums of squares of its chunks, and their scaling.

The chunks of all arrays of one kind are numbered through, so that any number of threads can share them.
"""

from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import intrinsic
from numba.typed import List

from numclip._fpenv import enter, leave
from numclip._jit import helper
from numclip._scaling import scale_segment
from numclip._sums import CHUNK, fold, sum_of_squares
from numclip._table import KIND, LENGTH, NOTHING, SOURCE, TARGET

# A list of up to this many chunks is scaled from its end, in segments of this many elements: the level-2
# cache holds what was summed last, and 930 thousand float32 take 228 us, not 284. For 124 million, which no
# cache holds, forwards is 6 % faster.
BACKWARDS_CHUNKS = 1024
SEGMENT = 1 << 16


@intrinsic
def _pointer(typingctx: Any, address: Any, dtype: Any) -> Any:
    """Turn an address into a pointer to elements of `dtype`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(dtype.dtype)(types.intp, dtype), codegen


@helper
def _view(address: int, length: int, dtype: Any) -> Any:
    """Return the flat view of the elements at an address."""
    return carray(_pointer(address, dtype), (length,))


@helper
def flat_views(rows: Any, kind: int) -> Any:
    """Return a typed list with an item for each row of this kind: (source, target, length).

    Addresses, of which `_view` makes arrays where they are used: a list of arrays takes twice as long to
    fill, 31 ns an item, because it counts references. A target of 0 means that nothing is to be written.
    """
    items = List()
    for i in range(len(rows)):
        if rows[i, KIND] == kind:
            items.append((rows[i, SOURCE], rows[i, TARGET], rows[i, LENGTH]))
    return items


@helper
def first_chunks(items: Any) -> Any:
    """Number the chunks of all items: item i has those from first[i] to first[i + 1]."""
    first = np.empty(len(items) + 1, np.int64)
    first[0] = 0
    for i in range(len(items)):
        first[i + 1] = first[i] + (items.getitem_unchecked(i)[2] + CHUNK - 1) // CHUNK
    return first


@helper
def _item_of(first: Any, chunk: int) -> int:
    """Return the item that holds a chunk."""
    low, high = 0, first.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if first[middle] <= chunk:
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
    items: Any, first: Any, dtype: Any, start: int, stop: int, unit: float, wide: Any, sums: Any, errors: Any
) -> None:
    """Sum the squares of each chunk from `start` to `stop`."""
    environment = enter()
    i, chunk = _item_of(first, start), start
    while chunk < stop:
        source, _, length = items.getitem_unchecked(i)
        values = _view(source, length, dtype)
        while chunk < min(stop, first[i + 1]):
            begin = (chunk - first[i]) * CHUNK
            end = min(begin + CHUNK, length)
            sums[chunk], errors[chunk] = sum_of_squares(values, begin, end, unit, wide)
            chunk += 1
        i += 1
    leave(environment)


@helper
def gather(
    rows: Any, kind: int, first: Any, chunk_sums: Any, chunk_errors: Any, wide: Any, sums: Any, errors: Any
) -> None:
    """Set sums[i] for each row of this kind from the sums of its chunks, and to 0 for a row of nothing."""
    item = 0
    for i in range(len(rows)):
        if rows[i, KIND] == kind:
            begin, end = first[item], first[item + 1]
            # Most arrays are one chunk, and a slice costs more than their sum: 160 us for 2000, not 90.
            if end == begin + 1:
                sums[i], errors[i] = chunk_sums[begin], chunk_errors[begin]
            else:
                sums[i], errors[i] = fold(chunk_sums[begin:end], chunk_errors[begin:end], wide)
            item += 1
        elif rows[i, KIND] == NOTHING:
            sums[i], errors[i] = 0.0, 0.0


@helper
def scale_block(
    items: Any, first: Any, dtype: Any, start: int, stop: int, factor: float, step: float
) -> None:
    """Write the clipped values of the chunks from `start` to `stop`: what this thread has just summed."""
    if start == stop:
        return
    environment = enter()
    kept = factor == 1.0 and step == 1.0
    backwards = first[-1] <= BACKWARDS_CHUNKS
    i, end, move = _item_of(first, start), _item_of(first, stop - 1) + 1, 1
    if backwards:
        i, end, move = end - 1, i - 1, -1
    while i != end:
        source, target, length = items.getitem_unchecked(i)
        in_place = source == target
        low = max(start - first[i], 0) * CHUNK
        high = min((stop - first[i]) * CHUNK, length)
        if target == 0 or (in_place and kept):
            high = low
        segments = (high - low + SEGMENT - 1) // SEGMENT
        for k in range(segments):
            begin = low + (segments - 1 - k if backwards else k) * SEGMENT
            part = slice(begin, min(begin + SEGMENT, high))
            read, written = _view(source, length, dtype)[part], _view(target, length, dtype)[part]
            scale_segment(read, written, in_place, first[-1], factor, step)
        i += move
    leave(environment)
