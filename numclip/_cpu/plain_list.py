"""Clipping a plain list in compiled code alone: packing, making the results and the norm.

The functions take and return addresses of objects, as those of Python's C interface do.
"""

import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numclip._arrays.pool import SMALLEST_BLOCK, pool
from numclip._core.contract import COLUMNS, FIRST_CHUNK, LENGTH, TARGET
from numclip._core.dtypes import ITEM_SIZE, REALS
from numclip._core.emit import emitter
from numclip._core.jit import callback, helper
from numclip._cpu import abi, kernels, threads
from numclip._cpu.abi import DATA
from numclip._cpu.blocks import chunks_of, floats_at, integers_at, rows_at
from numclip._cpu.pack import GIVEN_TARGETS, NO_TARGETS, count, overlap, pack_entries
from numclip._cpu.pyobjects import (
    acquire,
    allocate,
    as_list,
    call_at,
    free,
    new_array_like,
    new_scalar,
    py_list_item,
    py_list_size,
    read_word,
    set_list_item,
    set_memory_error,
)

emits = emitter(intrinsic)

_INT, _FLOAT = types.intp, types.float64

# What compiled code knows, by its place in `TABLE`: addresses, and for each typecode those of its kernel, or
# 0 if that is not compiled, and of the dtype of its norm.
(
    *(NONE, LIST, FLOAT, INT, TWO, NAN, KNOWN, MOST, HELD, SCALAR, NEW_LIKE, CLIP_LIST),
    KERNELS,
) = range(13)
DTYPES = KERNELS + len(ITEM_SIZE)
SIZE = DTYPES + len(ITEM_SIZE)
TABLE = np.zeros(SIZE, np.int64)

_objects = (None, list, float, int, 2, sys.intern("nan"))  # which Python keeps alive
TABLE[: len(_objects)] = [id(entry) for entry in _objects]
TABLE[KNOWN], TABLE[MOST], TABLE[HELD] = abi.ADDRESS, threads.policy.most_at, pool.held_at
TABLE[SCALAR], TABLE[NEW_LIKE] = abi.function(abi.SCALAR), abi.function(abi.NEW_LIKE)
for _code in REALS:
    TABLE[DTYPES + _code] = abi.scalar_addresses(_code)[1]

# As NEW_TARGETS, of which there are none yet.
EMPTY_TARGETS = 3

# What returns a reference, or 0 for a list that is not plain, returns this where an error has been set.
FAILED = -1


@emits(
    lambda kernel, rows, size, memory, kept, clip_norm, eps, loss_scale: types.void(
        *[_INT] * 5, *[_FLOAT] * 3
    )
)
def _call_kernel(
    emit: Any,
    kernel: Any,
    rows: Any,
    size: Any,
    memory: Any,
    kept: Any,
    clip_norm: Any,
    eps: Any,
    loss_scale: Any,
) -> None:
    """Call `kernels.clip_rows` of a typecode, which is an argument without a value."""
    no_value = ir.Constant(cgutils.voidptr_t, None)
    arguments = rows, size, no_value, memory, kept, clip_norm, eps, loss_scale
    call_at(emit, kernel, ir.IntType(64), *arguments)


@helper
def clip_rows(
    kernel: int,
    scalar: int,
    dtype: int,
    rows: int,
    size: int,
    kept: int,
    clip_norm: float,
    eps: float,
    loss_scale: float,
    factor: int,
) -> int:
    """Clip a packed list; return a reference to the norm, or `FAILED`. The factor goes to an address."""
    last = rows_at(rows, size)[-1]
    chunks = last[FIRST_CHUNK] + chunks_of(last[LENGTH])
    memory = allocate(8 * kernels.words(chunks, size))
    if memory == 0:
        set_memory_error()
        return FAILED
    _call_kernel(kernel, rows, size, memory, kept, clip_norm, eps, loss_scale)
    floats_at(factor, 1)[0] = floats_at(memory, 2)[1]
    norm = new_scalar(scalar, memory, dtype)
    free(memory)
    return norm if norm != 0 else FAILED


@helper
def _typecode(typecodes: int) -> int:
    """Return the only typecode of a bit mask, or 0."""
    found = 0
    for typecode in range(1, len(ITEM_SIZE)):
        if typecodes == 1 << typecode:
            found = typecode
    return found


@helper
def _fill(table: Any, rows: Any, typecode: int, sources: int, results: int) -> int:
    """Make the result of each entry the target of its row; return 1, or 0 if the pool has to, or `FAILED`."""
    for i in range(len(rows)):
        source = py_list_item(as_list(sources), i)
        if source == table[NONE]:
            acquire(source)
            set_list_item(results, i, source)
            continue
        if rows[i, LENGTH] * ITEM_SIZE[typecode] >= SMALLEST_BLOCK:
            return 0
        result = new_array_like(table[NEW_LIKE], source)
        if result == 0:
            return FAILED
        set_list_item(results, i, result)
        rows[i, TARGET] = read_word(result + DATA)
    return 1


@callback(lambda: (*[_INT] * 4, *[_FLOAT] * 3, _INT))
def clip_list(
    table_at: int,
    sources: int,
    targets: int,
    mode: int,
    clip_norm: float,
    eps: float,
    loss_scale: float,
    factor: int,
) -> int:
    """Clip a list that nobody else refers to; return a reference to the norm, or 0, or `FAILED`.

    With `EMPTY_TARGETS` new arrays are put into the list of targets.
    """
    table, size = integers_at(table_at, 1, SIZE)[0], py_list_size(as_list(sources))
    if size == 0 or py_list_size(as_list(targets)) != size:
        return 0
    memory = allocate(8 * size * (COLUMNS + 4))
    if memory == 0:
        set_memory_error()
        return FAILED
    rows, norm, is_plain = rows_at(memory, size), 0, 0
    known = NO_TARGETS if mode == EMPTY_TARGETS else mode
    if pack_entries(as_list(sources), as_list(targets), table[KNOWN], rows, 0, known) == size:
        typecodes, total = count(rows)
        typecode = _typecode(typecodes)
        if typecode != 0 and table[KERNELS + typecode] != 0 and total <= read_word(table[MOST]):
            is_plain = 1
            if mode == GIVEN_TARGETS and overlap(rows, integers_at(memory + 8 * size * COLUMNS, 2, 2 * size)):
                is_plain = 0
            elif mode == EMPTY_TARGETS:
                is_plain = _fill(table, rows, typecode, sources, targets)
        if is_plain == 1:
            kernel, dtype = table[KERNELS + typecode], table[DTYPES + typecode]
            norm = clip_rows(
                *(kernel, table[SCALAR], dtype, memory, size, 0),
                *(clip_norm, eps, loss_scale, factor),
            )
    free(memory)
    return norm if is_plain == 1 else is_plain
