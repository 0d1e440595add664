"""The walk over a Python list of arrays in native code: a few nanoseconds an array.

From Python, one look at an array's type, dtype, flags and address costs a microsecond. Here the fields of
NumPy's public C structure `PyArrayObject_fields`, on whose layout every compiled extension relies, are read
where they lie. The functions of this file keep the interpreter's lock, so nothing can change under the walk.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from numclip._core import contract
from numclip._core.contract import FIRST_CHUNK, KIND, LENGTH, SOURCE, TARGET
from numclip._core.dtypes import ITEM_SIZE, NOTHING
from numclip._core.jit import helper
from numclip._cpu import abi

chunks_of = helper(contract.chunks_of)

# Offsets of fields: of any object, and of an array behind the object's header.
_TYPE = object.__basicsize__ - 8
_DATA, _DIMENSIONS_COUNT, _DIMENSIONS, _DESCR, _FLAGS = (
    object.__basicsize__ + offset for offset in (0, 8, 16, 40, 48)
)
_C_CONTIGUOUS, _F_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x1, 0x2, 0x100, 0x400

# What the targets are.
NO_TARGETS, NEW_TARGETS, GIVEN_TARGETS = range(3)


class PyListType(types.Type):
    """The Numba type of a Python list of anything, borrowed from the caller."""

    def __init__(self) -> None:
        super().__init__(name="numclip.PyList")


py_list = PyListType()


@register_model(PyListType)
class _PyListModel(models.OpaqueModel):
    pass


@unbox(PyListType)
def _unbox_list(typ: Any, obj: Any, c: Any) -> Any:
    return NativeValue(obj)


@intrinsic
def py_list_size(typingctx: Any, entries: Any) -> Any:
    """Return the length of a list."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_python_api(builder).list_size(arguments[0])

    return types.intp(py_list), codegen


@intrinsic
def _item(typingctx: Any, entries: Any, index: Any) -> Any:
    """Return the address of an object in a list."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        item = context.get_python_api(builder).list_getitem(*arguments)
        return builder.ptrtoint(item, ir.IntType(64))

    return types.intp(py_list, types.intp), codegen


def _reader(bits: int) -> Any:
    @intrinsic
    def read(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
            return builder.sext(builder.load(pointer), ir.IntType(64)) if bits < 64 else builder.load(pointer)

        return types.intp(types.intp), codegen

    return read


_read32, _read64 = _reader(32), _reader(64)


@intrinsic
def pointer(typingctx: Any, address: Any, dtype: Any) -> Any:
    """Turn an address into a pointer to elements of `dtype`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(dtype.dtype)(types.intp, dtype), codegen


@helper
def _same_shape(array: int, other: int) -> bool:
    count = _read32(array + _DIMENSIONS_COUNT)
    if count != _read32(other + _DIMENSIONS_COUNT):
        return False
    dimensions, others = _read64(array + _DIMENSIONS), _read64(other + _DIMENSIONS)
    for axis in range(count):  # noqa: SIM110 Numba does not compile generators
        if _read64(dimensions + 8 * axis) != _read64(others + 8 * axis):
            return False
    return True


@helper
def _elements(array: int) -> int:
    size = 1
    dimensions = _read64(array + _DIMENSIONS)
    for axis in range(_read32(array + _DIMENSIONS_COUNT)):
        size *= _read64(dimensions + 8 * axis)
    return size


@helper
def _pack_entry(source: int, target: int, known: Any, row: Any, mode: int) -> bool:
    """Fill a row; return whether the entry is a plain dense array, and its target one of the same layout."""
    none, ndarray = known[0, 0], known[0, 1]
    row[:] = 0
    if source == none:
        return mode == NO_TARGETS or target == none
    if _read64(source + _TYPE) != ndarray:
        return False
    orders = _read32(source + _FLAGS) & (_C_CONTIGUOUS | _F_CONTIGUOUS)
    if mode != NO_TARGETS:
        if _read64(target + _TYPE) != ndarray or _read64(target + _DESCR) != _read64(source + _DESCR):
            return False
        flags = _read32(target + _FLAGS)
        orders &= flags
        if not (flags & _ALIGNED and flags & _WRITEABLE and _same_shape(source, target)):
            return False
        row[TARGET] = _read64(target + _DATA)
    if not (orders and _read32(source + _FLAGS) & _ALIGNED):
        return False
    descr = _read64(source + _DESCR)
    for i in range(1, len(known)):
        if known[i, 0] == descr:
            row[SOURCE] = _read64(source + _DATA)
            row[KIND] = known[i, 1]
            row[LENGTH] = _elements(source) * known[i, 2]
            return True
    return False


@helper
def known_at(address: int) -> Any:
    """Return what `_known` has put together for compiled code."""
    return carray(pointer(address, np.int64), (abi.ROWS, abi.COLUMNS))


def pack_list(
    sources: Any, targets: Any, known_address: int, rows: Any, start: int, mode: int
) -> tuple[int, int, int, bool]:
    """Fill the rows from `start` on, until an entry needs Python's care.

    Returns the number of that entry or the length of the list, a bit mask of the kinds, the number of reals,
    and whether the memory of a target may overlap that of another entry.
    """
    size, known = py_list_size(sources), known_at(known_address)
    for i in range(start, size):
        if not _pack_entry(_item(sources, i), _item(targets, i), known, rows[i], mode):
            return i, 0, 0, False
    kinds, total, chunks = 0, 0, 0
    for i in range(size):
        kinds |= 1 << rows[i, KIND]
        total += rows[i, LENGTH]
        rows[i, FIRST_CHUNK] = chunks
        chunks += chunks_of(rows[i, LENGTH])
    return size, kinds & ~(1 << NOTHING), total, mode == GIVEN_TARGETS and _overlap(rows)


@helper
def _begin(rows: Any, interval: int) -> int:
    return rows[interval // 2, interval % 2]


@helper
def _sort(order: Any, scratch: Any, rows: Any) -> Any:
    """Merge sort by address; equal ones keep their order. Returns the one of both arrays that is sorted."""
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
def _overlap(rows: Any) -> bool:
    """Tell whether a target touches the memory of another entry.

    The same array twice, in place, is no overlap: the later row loses its target, so it is scaled once.
    """
    order, scratch = np.empty((2, 2 * len(rows)), np.int64)
    count = 0
    for i in range(len(rows)):
        if rows[i, LENGTH] > 0:
            if rows[i, SOURCE] != rows[i, TARGET]:
                order[count] = 2 * i + SOURCE
                count += 1
            order[count] = 2 * i + TARGET
            count += 1
    end, end_of_targets, last = 0, 0, -1
    for interval in _sort(order[:count], scratch[:count], rows):
        i, column = interval // 2, interval % 2
        begin = rows[i, column]
        stop = begin + rows[i, LENGTH] * ITEM_SIZE[rows[i, KIND]]
        if column == TARGET:
            if begin < end:
                twice = last >= 0 and rows[i, SOURCE] == rows[i, TARGET] == rows[last, SOURCE]
                if twice and rows[i, KIND] == rows[last, KIND] and rows[i, LENGTH] == rows[last, LENGTH]:
                    rows[i, TARGET] = 0
                    continue
                return True
            last = i if rows[i, SOURCE] == begin else -1
            end_of_targets = max(end_of_targets, stop)
        elif begin < end_of_targets:
            return True
        end = max(end, stop)
    return False
