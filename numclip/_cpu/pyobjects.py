"""Python's objects in compiled code: lists, fields by offset, the GIL, new objects.

Compiled code holds the GIL while it reads objects, so that no other thread changes them.
"""

import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from numclip._core.emit import emitter

emits = emitter(intrinsic)

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_KEEP_ORDER = 2  # NumPy's NPY_KEEPORDER


# --- a list -------------------------------------------------------------------------------------------------


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


@emits(lambda entries: types.intp(py_list))
def py_list_size(emit: Any, entries: Any) -> Any:
    """Return the length of a list."""
    return emit.context.get_python_api(emit.builder).list_size(entries)


@emits(lambda entries, index: types.intp(py_list, types.intp))
def py_list_item(emit: Any, entries: Any, index: Any) -> Any:
    """Return the address of an object in a list."""
    item = emit.context.get_python_api(emit.builder).list_getitem(entries, index)
    return emit.builder.ptrtoint(item, _I64)


# --- fields -------------------------------------------------------------------------------------------------


@emits(lambda address: types.intp(types.intp))
def read_word(emit: Any, address: Any) -> Any:
    """Return the 64 bits at an address."""
    return emit.builder.load(emit.builder.inttoptr(address, _I64.as_pointer()))


@emits(lambda address: types.intp(types.intp))
def read_half_word(emit: Any, address: Any) -> Any:
    """Return the 32 bits at an address."""
    return emit.builder.sext(emit.builder.load(emit.builder.inttoptr(address, _I32.as_pointer())), _I64)


# --- the GIL ------------------------------------------------------------------------------------------------


@emits(lambda wanted: types.voidptr(types.boolean))
def release_lock(emit: Any, wanted: Any) -> Any:
    """Release the GIL, if wanted; return the thread state that `take_lock` needs."""
    state = cgutils.alloca_once_value(emit.builder, cgutils.get_null_value(cgutils.voidptr_t))
    with emit.builder.if_then(wanted):
        emit.builder.store(emit.context.get_python_api(emit.builder).save_thread(), state)
    return emit.builder.load(state)


@emits(lambda state: types.void(types.voidptr))
def take_lock(emit: Any, state: Any) -> None:
    """Acquire the GIL again, if it was released."""
    with emit.builder.if_then(cgutils.is_not_null(emit.builder, state)):
        emit.context.get_python_api(emit.builder).restore_thread(state)


# --- functions of Python's and NumPy's C interface; an object is its address, 0 for none --------------------


def _call(emit: Any, name: str, result: Any, *arguments: Any) -> Any:
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(emit.builder.module, function_type, name)
    return emit.builder.call(function, arguments)


def call_at(emit: Any, address: Any, result: Any, *arguments: Any) -> Any:
    """Call the C function at an address."""
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    return emit.builder.call(emit.builder.inttoptr(address, function_type.as_pointer()), arguments)


@emits(lambda address: py_list(types.intp))
def as_list(emit: Any, address: Any) -> Any:
    """Take an object for a list."""
    return emit.builder.inttoptr(address, cgutils.voidptr_t)


@emits(lambda entries: types.intp(types.intp))
def copy_list(emit: Any, entries: Any) -> Any:
    """Return a new list with the same entries."""
    return _call(emit, "PyList_GetSlice", _I64, entries, _I64(0), _I64(sys.maxsize))


@emits(lambda size: types.intp(types.intp))
def new_list(emit: Any, size: Any) -> Any:
    """Return a list without entries."""
    return _call(emit, "PyList_New", _I64, size)


@emits(lambda entries, index, entry: types.void(*[types.intp] * 3))
def set_list_item(emit: Any, entries: Any, index: Any, entry: Any) -> None:
    """Give a reference to a new list."""
    _call(emit, "PyList_SetItem", _I32, entries, index, entry)


@emits(lambda size: types.intp(types.intp))
def new_tuple(emit: Any, size: Any) -> Any:
    """Return a tuple without entries."""
    return _call(emit, "PyTuple_New", _I64, size)


@emits(lambda entries, index, entry: types.void(*[types.intp] * 3))
def set_tuple_item(emit: Any, entries: Any, index: Any, entry: Any) -> None:
    """Give a reference to a new tuple."""
    _call(emit, "PyTuple_SetItem", _I32, entries, index, entry)


@emits(lambda value: types.float64(types.intp))
def float_value(emit: Any, value: Any) -> Any:
    """Return the value of a float."""
    return _call(emit, "PyFloat_AsDouble", ir.DoubleType(), value)


@emits(lambda value: types.float64(types.intp))
def int_as_float(emit: Any, value: Any) -> Any:
    """Return the value of an int; if it is too large, -1.0 with an error set."""
    return _call(emit, "PyLong_AsDouble", ir.DoubleType(), value)


@emits(lambda: types.void())
def clear_error(emit: Any) -> None:
    """Forget the error that was set, if there is one."""
    _call(emit, "PyErr_Clear", ir.VoidType())


@emits(lambda value: types.intp(types.float64))
def new_float(emit: Any, value: Any) -> Any:
    """Return a float."""
    return _call(emit, "PyFloat_FromDouble", _I64, value)


@emits(lambda value: types.intp(types.intp))
def int_value(emit: Any, value: Any) -> Any:
    """Return the value of a small int."""
    return _call(emit, "PyLong_AsSsize_t", _I64, value)


@emits(lambda entry: types.void(types.intp))
def acquire(emit: Any, entry: Any) -> None:
    """Count a reference."""
    _call(emit, "Py_IncRef", ir.VoidType(), entry)


@emits(lambda entry: types.void(types.intp))
def release(emit: Any, entry: Any) -> None:
    """Release a reference, if there is an object."""
    _call(emit, "Py_DecRef", ir.VoidType(), entry)


@emits(lambda size: types.intp(types.intp))
def allocate(emit: Any, size: Any) -> Any:
    """Return the address of new memory, or 0."""
    return _call(emit, "PyMem_RawMalloc", _I64, size)


@emits(lambda memory: types.void(types.intp))
def free(emit: Any, memory: Any) -> None:
    """Give memory back."""
    _call(emit, "PyMem_RawFree", ir.VoidType(), memory)


@emits(lambda: types.void())
def set_memory_error(emit: Any) -> None:
    """Let a MemoryError be raised, once the function returns without a result."""
    _call(emit, "PyErr_NoMemory", _I64)


@emits(lambda function, array: types.intp(types.intp, types.intp))
def new_array_like(emit: Any, function: Any, array: Any) -> Any:
    """Return an uninitialised array of the same shape, dtype and order, by `PyArray_NewLikeArray`."""
    arguments = array, _I32(_KEEP_ORDER), _I64(0), _I32(0)
    return call_at(emit, function, _I64, *arguments)


@emits(lambda function, data, dtype: types.intp(*[types.intp] * 3))
def new_scalar(emit: Any, function: Any, data: Any, dtype: Any) -> Any:
    """Return the NumPy scalar with the bytes at an address, by `PyArray_Scalar`."""
    return call_at(emit, function, _I64, data, dtype, _I64(0))


# --- memory -------------------------------------------------------------------------------------------------


@emits(lambda: types.intp())
def new_slot(emit: Any) -> Any:
    """Return the address of a float64 that lasts as long as the call."""
    return emit.builder.ptrtoint(cgutils.alloca_once(emit.builder, ir.DoubleType()), _I64)


@emits(lambda value, single: types.float64(types.float64, types.boolean))
def stored(emit: Any, value: Any, single: Any) -> Any:
    """Return a float64 with the bytes of `value`; if `single`, the bytes of its float32, and zeros."""
    builder = emit.builder
    narrow = builder.bitcast(builder.fptrunc(value, ir.FloatType()), _I32)
    bits = builder.select(single, builder.zext(narrow, _I64), builder.bitcast(value, _I64))
    return builder.bitcast(bits, ir.DoubleType())
