"""What Python calls: functions over a packed list, each compiled for one kind of array.

Those with a `prange` are compiled twice, serial and parallel, from the one source.
"""

from typing import Any

import numpy as np
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from numclip._core import contract
from numclip._core.contract import COLUMNS, FIRST_CHUNK, LENGTH
from numclip._core.dtypes import FLOAT64
from numclip._core.fpenv import enter, held, leave
from numclip._core.jit import helper
from numclip._cpu.abi import FLOAT32_ROW, FLOAT64_ROW
from numclip._cpu.blocks import bounds, flat_views, gather, rows_at, scale_block, sum_block
from numclip._cpu.numpy_scalar import numpy_scalar, stored
from numclip._cpu.pack import chunks_of, known_at, pack_list, py_list_size
from numclip._cpu.sums import fold
from numclip._cpu.unowned import keep, unowned

# Up to here a call holds the interpreter's lock, at most for some 10 us: handing it over costs more.
LOCKED_CHUNKS = 16

rescue_unit = helper(contract.rescue_unit)
root_of = helper(contract.root_of)
returned_norm = helper(contract.returned_norm)
scale_factor = helper(contract.scale_factor)
pack = helper(pack_list)


def square_sums(
    rows: Any, kind: int, dtype: Any, blocks: int, unit: float, wide: Any, sums: Any, errors: Any
) -> None:
    """Set sums[i] to the sum of squares of row i, and errors[i] to its error, for each row of this kind."""
    items, chunks = flat_views(rows, kind)
    chunk_sums, chunk_errors = np.empty(chunks), np.empty(chunks)
    for block in prange(blocks):
        start, stop = bounds(block, blocks, chunks)
        sum_block(items, dtype, start, stop, unit, wide, chunk_sums, chunk_errors)
    environment = enter()
    gather(items, chunk_sums, chunk_errors, wide, sums, errors, 0)
    leave(environment)


def scale_all(rows: Any, kind: int, dtype: Any, blocks: int, factor: float, step: float) -> None:
    """Write the clipped values of each row of this kind; where nothing is clipped in place, nothing."""
    items, chunks = flat_views(rows, kind)
    for block in prange(blocks):
        start, stop = bounds(block, blocks, chunks)
        scale_block(items, chunks, dtype, start, stop, factor, step)


def combine(sums: Any, errors: Any, wide: Any) -> tuple[float, float, float]:
    """Return (root, rest, unit) from the sums of the arrays, in the order of the list.

    A unit other than 1 asks for the sums again, of elements multiplied by it.
    """
    environment = enter()
    total, error = fold(sums.copy(), errors.copy(), 0, sums.size, wide)
    root, rest = root_of(total, error)
    root, rest, unit = held(root), held(rest), held(1.0 if wide is None else rescue_unit(total))
    leave(environment)
    return root, rest, unit


def decide(
    root: float, rest: float, unit: float, clip_norm: float, single: bool
) -> tuple[float, float, float, float, bool]:
    """Return (norm, factor, step, factor * step, clips).

    `clips` tells whether anything is multiplied. Python cannot: from 3.12 on it compares a float, maybe a
    NaN, in a way that ends the process where the exceptions of floating point trap.
    """
    environment = enter()
    root, rest, clip_norm = held(root), held(rest), held(clip_norm)
    norm = returned_norm(root, rest, unit, single)
    factor, step = scale_factor(root, rest, unit, norm, clip_norm)
    norm, factor, step = held(norm), held(factor), held(step)
    whole, clips = held(factor * step), factor != 1.0 or step != 1.0
    leave(environment)
    return norm, factor, step, whole, clips


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
def _clip(
    rows: Any, chunks: int, kind: int, dtype: Any, wide: Any, sums: Any, errors: Any, clip_norm: float
) -> tuple[float, float]:
    """Clip a list of one kind by one thread, allocating nothing: an error could not be raised unlocked.

    Returns the norm, for `numpy_scalar`, and the factor. `sums` and `errors` have room for those of the
    chunks, and behind them for those of the rows.
    """
    environment = enter()
    unit, clip_norm, single = 1.0, held(clip_norm), kind != FLOAT64
    while True:
        sum_block(rows, dtype, 0, chunks, unit, wide, sums, errors)
        gather(rows, sums, errors, wide, sums, errors, chunks)
        total, error = fold(sums, errors, chunks, chunks + len(rows), wide)
        rescue = rescue_unit(total)
        if single or unit != 1.0 or rescue == 1.0:
            break
        unit = rescue
    root, rest = root_of(total, error)
    norm = returned_norm(root, rest, unit, single)
    factor, step = scale_factor(root, rest, unit, norm, clip_norm)
    norm, factor, step = held(stored(norm, single)), held(factor), held(step)
    scale_block(rows, chunks, dtype, 0, chunks, factor, step)
    factor = held(factor * step)
    leave(environment)
    return norm, factor


@helper
def _clip_rows(rows: Any, kind: int, dtype: Any, wide: Any, clip_norm: float) -> tuple[float, float]:
    """Clip a packed list of one kind by one thread; the rows are unowned."""
    count, chunks = len(rows), 0
    if count > 0:
        chunks = rows[-1, FIRST_CHUNK] + chunks_of(rows[-1, LENGTH])
    sums, errors = np.empty(chunks + count), np.empty(chunks + count)
    state = _release_lock(chunks > LOCKED_CHUNKS)
    norm, factor = _clip(rows, chunks, kind, dtype, wide, unowned(sums), unowned(errors), clip_norm)
    _take_lock(state)
    keep(sums)
    keep(errors)
    return norm, factor


def clip_each(rows: Any, kind: int, dtype: Any, wide: Any, clip_norms: Any, factors: Any) -> None:
    """Clip each row as a list of its own, to a norm of its own, and set its factor."""
    for i in range(len(rows)):
        row = rows[i : i + 1]
        chunks = chunks_of(rows[i, LENGTH])
        sums, errors = np.empty(chunks + 1), np.empty(chunks + 1)
        _, factors[i] = _clip(row, chunks, kind, dtype, wide, sums, errors, clip_norms[i])


def clip_rows(
    address: int,
    count: int,
    kind: int,
    dtype: Any,
    wide: Any,
    scalar_function: int,
    scalar_dtype: int,
    clip_norm: float,
) -> tuple[Any, float]:
    """Clip the packed list of one kind at an address, by one thread; return (norm, factor)."""
    norm, factor = _clip_rows(rows_at(address, count), kind, dtype, wide, clip_norm)
    return numpy_scalar(norm, scalar_function, scalar_dtype), factor


def clip_list(
    sources: Any,
    targets: Any,
    known_address: int,
    mode: int,
    kind: int,
    dtype: Any,
    wide: Any,
    clip_norm: float,
    most: int,
) -> tuple[int, Any, float]:
    """Pack and clip a list of plain arrays of one kind by one thread, all in one call.

    Returns (kinds, norm, factor). It is done if `kinds` is the bit of this kind. Otherwise nothing has been
    written, and `kinds` is what the list holds, 0 if it has entries that are not plain, or -1 if it has more
    than `most` elements.
    """
    count = py_list_size(sources)
    table = np.empty((count, COLUMNS), np.int64)
    rows = unowned(table)
    done, kinds, total, overlap = pack(sources, targets, known_address, rows, 0, mode)
    norm, factor = 0.0, 0.0
    if done < count or overlap:
        kinds = 0
    elif total > most:
        kinds = -1
    elif kinds == 1 << kind:
        norm, factor = _clip_rows(rows, kind, dtype, wide, clip_norm)
    keep(table)
    known, row = known_at(known_address), FLOAT64_ROW if kind == FLOAT64 else FLOAT32_ROW
    return kinds, numpy_scalar(norm, known[0, 2], known[row, 0]), factor
