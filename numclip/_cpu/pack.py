"""Packing a Python list of arrays into rows, in compiled code."""

from typing import Any

import numpy as np

from numclip._core.contract import FIRST_CHUNK, LENGTH, SOURCE, TARGET, TYPECODE
from numclip._core.dtypes import ITEM_SIZE, NOTHING
from numclip._core.jit import helper
from numclip._cpu import abi
from numclip._cpu.abi import (
    ALIGNED,
    AXES,
    C_CONTIGUOUS,
    DATA,
    DTYPE,
    F_CONTIGUOUS,
    FLAGS,
    SHAPE,
    TYPE,
    WRITEABLE,
)
from numclip._cpu.blocks import chunks_of, integers_at
from numclip._cpu.pyobjects import py_list_item, py_list_size, read_half_word, read_word

# The mode: which targets there are, for compiled code.
NO_TARGETS, NEW_TARGETS, GIVEN_TARGETS = range(3)

# Up to so many arrays, comparing each with each takes less time than sorting them by address.
FEW = 32


@helper
def _same_shape(array: int, other: int) -> bool:
    axes = read_half_word(array + AXES)
    if axes != read_half_word(other + AXES):
        return False
    shape, other_shape = read_word(array + SHAPE), read_word(other + SHAPE)
    for axis in range(axes):  # noqa: SIM110 Numba does not compile generators
        if read_word(shape + 8 * axis) != read_word(other_shape + 8 * axis):
            return False
    return True


@helper
def _elements(array: int) -> int:
    size = 1
    shape = read_word(array + SHAPE)
    for axis in range(read_half_word(array + AXES)):
        size *= read_word(shape + 8 * axis)
    return size


@helper
def _pack_entry(source: int, target: int, known: Any, row: Any, mode: int) -> bool:
    """Fill a row; return whether the entry is a plain dense array, and its target one of the same layout."""
    none, ndarray = known[0, 0], known[0, 1]
    row[:] = 0
    if source == none:
        return mode == NO_TARGETS or target == none
    if read_word(source + TYPE) != ndarray:
        return False
    orders = read_half_word(source + FLAGS) & (C_CONTIGUOUS | F_CONTIGUOUS)
    if mode != NO_TARGETS:
        if read_word(target + TYPE) != ndarray or read_word(target + DTYPE) != read_word(source + DTYPE):
            return False
        flags = read_half_word(target + FLAGS)
        orders &= flags
        if not (flags & ALIGNED and flags & WRITEABLE and _same_shape(source, target)):
            return False
        row[TARGET] = read_word(target + DATA)
    if not (orders and read_half_word(source + FLAGS) & ALIGNED):
        return False
    dtype = read_word(source + DTYPE)
    for i in range(1, len(known)):
        if known[i, 0] == dtype:
            row[SOURCE] = read_word(source + DATA)
            row[TYPECODE] = known[i, 1]
            row[LENGTH] = _elements(source) * known[i, 2]
            return True
    return False


@helper
def known_at(address: int) -> Any:
    """Return the table of `abi`: the objects that compiled code recognises."""
    return integers_at(address, abi.ROWS, abi.COLUMNS)


@helper
def pack_entries(sources: Any, targets: Any, known_address: int, rows: Any, start: int, mode: int) -> int:
    """Fill the rows from `start` on; return where an entry needs Python's care, or the length of the list."""
    size, known = py_list_size(sources), known_at(known_address)
    for i in range(start, size):
        target = 0 if mode == NO_TARGETS else py_list_item(targets, i)
        if not _pack_entry(py_list_item(sources, i), target, known, rows[i], mode):
            return i
    return size


@helper
def count(rows: Any) -> tuple[int, int]:
    """Number the chunks through; return a bit mask of the typecodes, and the number of reals."""
    typecodes, total, chunks = 0, 0, 0
    for i in range(len(rows)):
        typecodes |= 1 << rows[i, TYPECODE]
        total += rows[i, LENGTH]
        rows[i, FIRST_CHUNK] = chunks
        chunks += chunks_of(rows[i, LENGTH])
    return typecodes & ~(1 << NOTHING), total


@helper
def summarise(rows: Any, given: bool) -> tuple[int, int, bool]:
    """Number the chunks through; return the last three of what `pack` returns of a whole list."""
    typecodes, total = count(rows)
    return typecodes, total, given and overlap(rows, np.empty((2, 2 * len(rows)), np.int64))


@helper
def pack(
    sources: Any, targets: Any, known_address: int, rows: Any, start: int, mode: int
) -> tuple[int, int, int, bool]:
    """Fill the rows from `start` on, until an entry needs Python's care.

    Returns the number of that entry or the length of the list, then of a whole list a bit mask of the
    typecodes, the number of reals, and whether the memory of a target may overlap that of another entry.
    """
    done = pack_entries(sources, targets, known_address, rows, start, mode)
    if done < py_list_size(sources):
        return done, 0, 0, False
    typecodes, total, overlaps = summarise(rows, mode == GIVEN_TARGETS)
    return done, typecodes, total, overlaps


@helper
def _begin(rows: Any, interval: int) -> int:
    return rows[interval // 2, interval % 2]


@helper
def _sort(order: Any, scratch: Any, rows: Any) -> Any:
    """Stable merge sort by address; returns `order` or `scratch`, whichever holds the sorted intervals.

    Written here because NumPy's stable sort takes seconds to compile.
    """
    size = order.size
    width = 1
    while width < size:
        for low in range(0, size, 2 * width):
            middle, high = min(low + width, size), min(low + 2 * width, size)
            left, right = low, middle
            for k in range(low, high):
                if right >= high or (
                    left < middle and _begin(rows, order[left]) <= _begin(rows, order[right])
                ):
                    scratch[k] = order[left]
                    left += 1
                else:
                    scratch[k] = order[right]
                    right += 1
        order, scratch = scratch, order
        width *= 2
    return order


@helper
def _are_few_and_apart(rows: Any) -> bool:
    """Tell of a few arrays in place whether they are apart; False where it takes more to tell."""
    if len(rows) > FEW:
        return False
    for i in range(len(rows)):
        begin, end = rows[i, SOURCE], rows[i, SOURCE] + rows[i, LENGTH] * ITEM_SIZE[rows[i, TYPECODE]]
        if rows[i, TARGET] != begin:
            return False
        for k in range(i):
            other = rows[k, SOURCE]
            if other < end and begin < other + rows[k, LENGTH] * ITEM_SIZE[rows[k, TYPECODE]]:
                return False
    return True


@helper
def overlap(rows: Any, scratch: Any) -> bool:
    """Tell whether a target overlaps the memory of another entry.

    The same array twice, in place, is no overlap: the target of the later row is set to 0, so that the array
    is scaled once. `scratch` has room for two integers of each row, twice.
    """
    if _are_few_and_apart(rows):
        return False
    order, other = scratch[0], scratch[1]
    intervals = 0
    for i in range(len(rows)):
        if rows[i, LENGTH] > 0:
            if rows[i, SOURCE] != rows[i, TARGET]:
                order[intervals] = 2 * i + SOURCE
                intervals += 1
            order[intervals] = 2 * i + TARGET
            intervals += 1
    end, end_of_targets, last = 0, 0, -1
    for interval in _sort(order[:intervals], other[:intervals], rows):
        i, column = interval // 2, interval % 2
        begin = rows[i, column]
        stop = begin + rows[i, LENGTH] * ITEM_SIZE[rows[i, TYPECODE]]
        if column == TARGET:
            if begin < end:
                twice = last >= 0 and rows[i, SOURCE] == rows[i, TARGET] == rows[last, SOURCE]
                if (
                    twice
                    and rows[i, TYPECODE] == rows[last, TYPECODE]
                    and rows[i, LENGTH] == rows[last, LENGTH]
                ):
                    rows[i, TARGET] = 0
                    continue
                return True
            last = i if rows[i, SOURCE] == begin else -1
            end_of_targets = max(end_of_targets, stop)
        elif begin < end_of_targets:
            return True
        end = max(end, stop)
    return False
