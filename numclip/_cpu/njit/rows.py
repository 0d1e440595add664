"""An array as a row for the kernels, of whatever layout it is."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numclip._core.contract import COLUMNS, LENGTH, SOURCE, TARGET, TYPECODE
from numclip._core.dtypes import BY_NAME
from numclip._core.emit import emitter
from numclip._core.jit import helper
from numclip._cpu.blocks import chunks_of, scale_block
from numclip._cpu.typecodes import typecode_type

emits = emitter(intrinsic)


@emits(lambda array: types.int64(array))
def _typecode_of(emit: Any, array: Any) -> Any:
    """Return the typecode of an array."""
    return ir.IntType(64)(BY_NAME[str(emit.signature.args[0].dtype)].typecode)


@emits(lambda array: types.int64(array))
def _reals_of(emit: Any, array: Any) -> Any:
    """Return how many reals an array has."""
    reals = BY_NAME[str(emit.signature.args[0].dtype)].reals
    struct = emit.context.make_array(emit.signature.args[0])(emit.context, emit.builder, array)
    return emit.builder.mul(struct.nitems, ir.IntType(64)(reals))


@helper
def fill_source(rows: Any, i: int, source: Any, target: Any) -> None:
    rows[i, SOURCE], rows[i, TYPECODE] = source.ctypes.data, _typecode_of(source)
    rows[i, LENGTH] = _reals_of(source)


@helper
def fill_pair(rows: Any, i: int, source: Any, target: Any) -> None:
    if source.shape != target.shape:
        raise ValueError("an entry of out has another shape than that of t_list: index", i)
    fill_source(rows, i, source, target)
    rows[i, TARGET] = target.ctypes.data


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
def _bytes_of(array: Any) -> Any:
    """Return the elements in C order, copied, as bytes."""
    copied = np.empty(array.size, array.dtype)
    copied.reshape(array.shape)[...] = array
    return copied.view(np.uint8)


@helper
def fill_strided(state: Any, i: int, source: Any, target: Any) -> None:
    """Fill a row for an array of any layout: without a target where that is not written by the kernels."""
    rows, buffers = state
    fill_pair(rows, i, source, target)
    dense = _is_dense(source)
    if dense and source.strides == target.strides:
        return
    buffers[i] = _bytes_of(source)
    rows[i, TARGET] = 0
    if not dense:
        rows[i, SOURCE] = buffers[i].ctypes.data


@emits(lambda array: typecode_type(BY_NAME[str(array.dtype)].typecode)(array))
def _typecode_type_of(emit: Any, array: Any) -> Any:
    """Return the typecode of an array as a type."""
    return emit.context.get_dummy_value()


@helper
def write_strided(state: Any, i: int, source: Any, target: Any) -> None:
    """Write the clipped values of an array that has a buffer."""
    buffers, factor, prefactor = state
    buffer = buffers[i]
    kept = factor == 1.0 and prefactor == 1.0
    if buffer.size == 0 or (kept and source.ctypes.data == target.ctypes.data):
        return
    row, length, address = np.zeros((1, COLUMNS), np.int64), _reals_of(source), buffer.ctypes.data
    row[0, SOURCE], row[0, TARGET], row[0, LENGTH] = address, address, length
    chunks = chunks_of(length)
    scale_block(row, chunks, _typecode_type_of(source), 0, chunks, factor, prefactor)
    target[...] = buffer.view(source.dtype).reshape(source.shape)
