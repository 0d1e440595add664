"""Arrays of any layout as rows for the kernels.

An array that is one block of memory, with a target of the same layout, has a row of its own. Any other array
is copied: the row is that of the copy, which is clipped in place and then written to the target.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.lib.stride_tricks import as_strided

from numclip._core.contract import FIRST_CHUNK, LENGTH, SOURCE, TARGET, TYPECODE
from numclip._core.dtypes import BY_NAME, ITEM_SIZE
from numclip._core.emit import emitter
from numclip._core.jit import helper, outlined_helper
from numclip._cpu import pack
from numclip._cpu.blocks import chunks_of
from numclip._cpu.typecodes import number, typecode_type

emits = emitter(intrinsic)


@emits(lambda array: typecode_type(BY_NAME[str(array.dtype)].typecode)(array))
def _typecode_of(emit: Any, array: Any) -> Any:
    """Return the typecode of an array."""
    return emit.context.get_dummy_value()


@helper
def fill(rows: Any, i: int, source: Any, target: Any) -> None:
    """Fill the row of an array and its target; of unlike shapes, with a length of -1.

    Must not raise: references would be counted, which takes 30 ns for an array.
    """
    typecode = number(_typecode_of(source))
    rows[i, SOURCE], rows[i, TARGET] = source.ctypes.data, target.ctypes.data
    rows[i, TYPECODE], rows[i, LENGTH] = typecode, source.nbytes // ITEM_SIZE[typecode]
    if source.shape != target.shape:
        rows[i, LENGTH] = -1


@helper
def _is_dense(array: Any) -> bool:
    """Tell whether the elements are one block of memory, in some order of the axes."""
    step, left = array.itemsize, array.size
    while left > 1:
        axis = -1
        for k in range(array.ndim):
            if array.shape[k] > 1 and array.strides[k] == step:
                axis = k
        if axis < 0:
            return False
        step *= array.shape[axis]
        left //= array.shape[axis]
    return True


@helper
def _copy(source: Any, target: Any) -> None:
    # Numba takes 3 s to compile target[...] = source.
    for index in np.ndindex(source.shape):
        target[index] = source[index]


@outlined_helper
def as_block(rows: Any, i: int, source: Any, target: Any) -> Any:
    """Fill the row of an array, or of a copy in the order of the sum; return the array or the copy."""
    fill(rows, i, source, target)
    is_aligned = (rows[i, SOURCE] | rows[i, TARGET]) % ITEM_SIZE[rows[i, TYPECODE]] == 0
    is_dense = _is_dense(source)
    if is_aligned and is_dense and source.strides == target.strides:
        return source
    if is_dense:
        block = as_strided(np.empty(source.size, source.dtype), source.shape, source.strides)
    else:
        block = np.empty(source.shape, source.dtype)
    _copy(source, block)
    rows[i, SOURCE] = rows[i, TARGET] = block.ctypes.data
    return block


@outlined_helper
def write_back(rows: Any, i: int, block: Any, target: Any) -> None:
    """Write a copy, clipped, to the target."""
    if rows[i, TARGET] == block.ctypes.data != target.ctypes.data:
        _copy(block, target)


@helper
def check_rows(rows: Any, is_out: bool) -> int:
    """Number the chunks consecutively and return how many there are; raise if `out` cannot receive them."""
    for i in range(len(rows)):
        if rows[i, LENGTH] < 0:
            raise ValueError("an entry of out has another shape than that of t_list: index", i)
    _, _, overlaps = pack.summarise(rows, is_out)
    if overlaps:
        raise ValueError("an entry of out overlaps another entry in memory")
    return rows[-1, FIRST_CHUNK] + chunks_of(rows[-1, LENGTH]) if len(rows) > 0 else 0


def is_row(source: types.Array, target: types.Array) -> bool:
    """Tell whether an array and a target of these types need no copy."""
    is_block = source.layout in "CF" and source.aligned and target.aligned
    return is_block and source.layout == target.layout
