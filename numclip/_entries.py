"""What Python calls: functions over a packed list, each compiled for one kind of array.

Those with a `prange` are compiled twice, serial and parallel, from the one source.
"""

from typing import Any

import numpy as np
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from numclip import _math, _native
from numclip._cpu import bounds, first_chunks, flat_views, gather, scale_block, sum_block
from numclip._fpenv import enter, held, leave
from numclip._jit import helper
from numclip._native import py_list_size
from numclip._sums import fold
from numclip._table import COLUMNS, FLOAT64

# Up to here a call holds the interpreter's lock, at most for some 10 us: handing it over costs more.
LOCKED_CHUNKS = 16

rescue_unit = helper(_math.rescue_unit)
root_of = helper(_math.root_of)
returned_norm = helper(_math.returned_norm)
scale_factor = helper(_math.scale_factor)
pack = helper(_native.pack)


def square_sums(
    rows: Any, kind: int, dtype: Any, blocks: int, unit: float, wide: Any, sums: Any, errors: Any
) -> None:
    """Set sums[i] to the sum of squares of row i, and errors[i] to its error, for each row of this kind."""
    items = flat_views(rows, kind)
    first = first_chunks(items)
    chunks = np.empty((2, first[-1]))
    for block in prange(blocks):
        start, stop = bounds(block, blocks, first[-1])
        sum_block(items, first, dtype, start, stop, unit, wide, chunks[0], chunks[1])
    environment = enter()
    gather(rows, kind, first, chunks[0], chunks[1], wide, sums, errors)
    leave(environment)


def scale_all(rows: Any, kind: int, dtype: Any, blocks: int, factor: float, step: float) -> None:
    """Write the clipped values of each row of this kind; where nothing is clipped in place, nothing."""
    items = flat_views(rows, kind)
    first = first_chunks(items)
    for block in prange(blocks):
        start, stop = bounds(block, blocks, first[-1])
        scale_block(items, first, dtype, start, stop, factor, step)


def combine(sums: Any, errors: Any, wide: Any) -> tuple[float, float, float]:
    """Return (root, rest, unit) from the sums of the arrays, in the order of the list.

    A unit other than 1 asks for the sums again, of elements multiplied by it.
    """
    environment = enter()
    total, error = fold(sums.copy(), errors.copy(), wide)
    root, rest = root_of(total, error)
    root, rest, unit = held(root), held(rest), held(rescue_unit(total))
    leave(environment)
    return root, rest, unit


def decide(
    root: float, rest: float, unit: float, clip_norm: float, single: bool
) -> tuple[float, float, float]:
    """Return (norm, factor, step)."""
    environment = enter()
    root, rest, clip_norm = held(root), held(rest), held(clip_norm)
    norm = returned_norm(root, rest, unit, single)
    factor, step = scale_factor(root, rest, unit, norm, clip_norm)
    norm, factor, step = held(norm), held(factor), held(step)
    leave(environment)
    return norm, factor, step


@helper
def _clip(
    items: Any,
    first: Any,
    rows: Any,
    kind: int,
    dtype: Any,
    wide: Any,
    chunks: Any,
    arrays: Any,
    clip_norm: float,
) -> tuple[float, float]:
    """Clip a list of one kind by one thread, allocating nothing: an error could not be raised unlocked."""
    environment = enter()
    unit, clip_norm = 1.0, held(clip_norm)
    while True:
        sum_block(items, first, dtype, 0, first[-1], unit, wide, chunks[0], chunks[1])
        gather(rows, kind, first, chunks[0], chunks[1], wide, arrays[0], arrays[1])
        total, error = fold(arrays[0], arrays[1], wide)
        rescue = rescue_unit(total)
        if unit != 1.0 or rescue == 1.0:
            break
        unit = rescue
    root, rest = root_of(total, error)
    norm = returned_norm(root, rest, unit, kind != FLOAT64)
    factor, step = scale_factor(root, rest, unit, norm, clip_norm)
    norm, factor, step = held(norm), held(factor), held(step)
    scale_block(items, first, dtype, 0, first[-1], factor, step)
    factor = held(factor * step)
    leave(environment)
    return norm, factor


def clip_each(rows: Any, kind: int, dtype: Any, wide: Any, clip_norms: Any, factors: Any) -> None:
    """Clip each row as a list of its own, to a norm of its own, and set its factor."""
    for i in range(len(rows)):
        row = rows[i : i + 1]
        items = flat_views(row, kind)
        first = first_chunks(items)
        chunks, arrays = np.empty((2, first[-1])), np.empty((2, 1))
        factors[i] = _clip(items, first, row, kind, dtype, wide, chunks, arrays, clip_norms[i])[1]


@intrinsic
def _release_lock(typingctx: Any, wanted: Any) -> Any:
    """Let other Python threads run, if wanted; return what `_take_lock` needs."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        state = cgutils.alloca_once_value(builder, cgutils.get_null_value(cgutils.voidptr_t))
        with builder.if_then(arguments[0]):
            builder.store(context.get_python_api(builder).save_thread(), state)
        return builder.load(state)

    return types.voidptr(types.boolean), codegen


@intrinsic
def _take_lock(typingctx: Any, state: Any) -> Any:
    """Take the interpreter's lock again, if it was released."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        with builder.if_then(cgutils.is_not_null(builder, arguments[0])):
            context.get_python_api(builder).restore_thread(arguments[0])
        return context.get_dummy_value()

    return types.void(types.voidptr), codegen


@helper
def _clip_rows(rows: Any, kind: int, dtype: Any, wide: Any, clip_norm: float) -> tuple[float, float]:
    items = flat_views(rows, kind)
    first = first_chunks(items)
    chunks, arrays = np.empty((2, first[-1])), np.empty((2, len(rows)))
    state = _release_lock(first[-1] > LOCKED_CHUNKS)
    norm, factor = _clip(items, first, rows, kind, dtype, wide, chunks, arrays, clip_norm)
    _take_lock(state)
    return norm, factor


def clip(rows: Any, kind: int, dtype: Any, wide: Any, clip_norm: float) -> tuple[float, float]:
    """Clip a packed list of one kind by one thread, all in one call; return (norm, factor)."""
    return _clip_rows(rows, kind, dtype, wide, clip_norm)


def clip_list(
    sources: Any,
    targets: Any,
    known: Any,
    mode: int,
    kind: int,
    dtype: Any,
    wide: Any,
    clip_norm: float,
    most: int,
) -> tuple[int, float, float]:
    """Pack and clip a list of plain arrays of one kind by one thread, all in one call.

    Returns (kinds, norm, factor). It is done if `kinds` is the bit of this kind. Otherwise nothing has been
    written, and `kinds` is what the list holds, 0 if it has entries that are not plain, or -1 if it has more
    than `most` elements.
    """
    rows = np.empty((py_list_size(sources), COLUMNS), np.int64)
    done, kinds, total, overlap = pack(sources, targets, known, rows, 0, mode)
    if done < len(rows) or overlap:
        return 0, 0.0, 0.0
    if total > most:
        return -1, 0.0, 0.0
    if kinds != 1 << kind:
        return kinds, 0.0, 0.0
    norm, factor = _clip_rows(rows, kind, dtype, wide, clip_norm)
    return kinds, norm, factor
