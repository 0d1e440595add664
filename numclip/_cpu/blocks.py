"""The work of a thread on its block of a list: the sums of squares of its chunks, and their scaling.

The chunks of all arrays of one typecode are numbered consecutively, so that any number of threads can share
them. For several threads, or several typecodes, the rows of a typecode are gathered in a typed list; a list
of one typecode is clipped by one thread from its rows as they are.
"""

from typing import Any

from numba import carray, types
from numba.extending import intrinsic
from numba.typed import List

from numclip._core import contract
from numclip._core.contract import CHUNK, COLUMNS, FIRST_CHUNK, LENGTH, SOURCE, TARGET, TYPECODE
from numclip._core.emit import emitter
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import helper, named_helper
from numclip._cpu.scaling import scale_segment
from numclip._cpu.sums import fold, largest_absolute, sum_of_absolutes, sum_of_squares
from numclip._cpu.typecodes import number, pointer

# A list of up to BACKWARDS_CHUNKS chunks is scaled from its end, in segments of SEGMENT elements: the level-2
# cache holds the elements that were summed last. See benchmarks/notes.md.
BACKWARDS_CHUNKS = 1024
SEGMENT = 1 << 16

emits = emitter(intrinsic)

chunks_of = helper(contract.chunks_of)


@helper
def view(address: int, length: int, typecode: Any) -> Any:
    """Return the flat view of the elements at an address."""
    return carray(pointer(address, typecode), (length,))


@emits(lambda address: types.CPointer(types.int64)(types.intp))
def _integers(emit: Any, address: Any) -> Any:
    return emit.builder.inttoptr(address, emit.context.get_value_type(emit.signature.return_type))


@emits(lambda address: types.CPointer(types.float64)(types.intp))
def _floats(emit: Any, address: Any) -> Any:
    return emit.builder.inttoptr(address, emit.context.get_value_type(emit.signature.return_type))


@helper
def integers_at(address: int, rows: int, columns: int) -> Any:
    """Return the table of integers at an address."""
    return carray(_integers(address), (rows, columns))


@helper
def floats_at(address: int, count: int) -> Any:
    """Return the float64 at an address."""
    return carray(_floats(address), (count,))


@helper
def rows_at(address: int, count: int) -> Any:
    """Return the packed list at an address."""
    return integers_at(address, count, COLUMNS)


@helper
def typed_list(rows: Any, typecode: Any) -> tuple[Any, int]:
    """Return a typed list with an item for each row of this typecode, and the number of their chunks.

    An item is (source, target, length, first chunk, row). Source and target are addresses, of which `view`
    makes arrays: a list of arrays is slower to fill, because it counts references (see benchmarks/notes.md).
    """
    items, chunks = List(), 0
    for i in range(len(rows)):
        if rows[i, TYPECODE] == number(typecode):
            length = rows[i, LENGTH]
            items.append((rows[i, SOURCE], rows[i, TARGET], length, chunks, i))
            chunks += chunks_of(length)
    return items, chunks


def _item_of_list(items: Any, i: int) -> Any:
    return items.getitem_unchecked(i)


def _item_of_rows(rows: Any, i: int) -> Any:
    return rows[i, SOURCE], rows[i, TARGET], rows[i, LENGTH], rows[i, FIRST_CHUNK], i


@emits(lambda items, i: types.UniTuple(types.int64, 5)(items, types.intp))
def _item(emit: Any, items: Any, i: Any) -> Any:
    """Return an item of a `typed_list`, or the same five numbers of a row of a list of one typecode."""
    is_list = isinstance(emit.signature.args[0], types.ListType)
    implementation = _item_of_list if is_list else _item_of_rows
    return emit.context.compile_internal(emit.builder, implementation, emit.signature, (items, i))


@helper
def _first_chunk(items: Any, i: int) -> int:
    return _item(items, i)[3]


_item_with = named_helper("_item_with")(contract.row_search(_first_chunk))


@helper
def bounds(block: int, blocks: int, chunks: int) -> tuple[int, int]:
    """Return the first chunk of a block, and the first one after it."""
    return block * chunks // blocks, (block + 1) * chunks // blocks


def _sum_chunks_by(name: str, chunk_sum: Any) -> Any:
    """Make a function that sums the chunks from `start` to `stop`, of rows of one typecode."""

    @named_helper(name)
    def sum_chunks(
        items: Any,
        typecode: Any,
        start: int,
        stop: int,
        prescale: float,
        compensated: Any,
        sums: Any,
        errors: Any,
    ) -> None:
        i, chunk = _item_with(items, len(items), start), start
        while chunk < stop:
            source, _, length, first, _ = _item(items, i)
            values = view(source, length, typecode)
            begin = (chunk - first) * CHUNK
            while begin < length and chunk < stop:
                end = min(begin + CHUNK, length)
                sums[chunk], errors[chunk] = chunk_sum(values, begin, end, prescale, compensated)
                chunk += 1
                begin = end
            i += 1

    return sum_chunks


sum_chunks = _sum_chunks_by("sum_chunks", sum_of_squares)


@helper
def gather(
    items: Any, chunk_sums: Any, chunk_errors: Any, compensated: Any, sums: Any, errors: Any, first: int
) -> None:
    """Sum the sums of the chunks of each array: that of row i goes to sums[first + i]."""
    for i in range(len(items)):
        _, _, length, begin, row = _item(items, i)
        end = begin + chunks_of(length)
        # Fast path: most arrays are one chunk, and copying its sum is cheaper than a call of `fold`.
        if end == begin + 1:
            sums[first + row], errors[first + row] = chunk_sums[begin], chunk_errors[begin]
        else:
            sums[first + row], errors[first + row] = fold(chunk_sums, chunk_errors, begin, end, compensated)


@helper
def scale_chunks(
    items: Any, chunks: int, typecode: Any, start: int, stop: int, factor: float, prefactor: float
) -> None:
    """Write the clipped values of the chunks from `start` to `stop`, which this thread has just summed."""
    if start == stop:
        return
    kept = factor == 1.0 and prefactor == 1.0
    backwards = chunks <= BACKWARDS_CHUNKS
    i, end, move = _item_with(items, len(items), start), _item_with(items, len(items), stop - 1) + 1, 1
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
            read, written = view(source, length, typecode)[part], view(target, length, typecode)[part]
            scale_segment(read, written, in_place, chunks, factor, prefactor)
        i += move


# A block in a thread of its own, which has to set the floating-point environment; the functions above are for
# a caller that has set it.
sum_block, scale_block = default_fpenv(sum_chunks), default_fpenv(scale_chunks)
sum_block_of_absolutes = default_fpenv(_sum_chunks_by("sum_chunks_of_absolutes", sum_of_absolutes))
largest_of_block = default_fpenv(_sum_chunks_by("largest_of_chunks", largest_absolute))
