"""Python's objects in compiled code: lists, fields by offset, the GIL, NumPy scalars.

Compiled code holds the GIL while it reads objects, so that no other thread changes them.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, box, intrinsic, models, register_model, unbox

from numclip._core.emit import emitter

emits = emitter(intrinsic)

_I32, _I64 = ir.IntType(32), ir.IntType(64)


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


# --- new objects, as results --------------------------------------------------------------------------------


class NewObjectType(types.Type):
    """The Numba type of a reference to a Python object that goes to the caller."""

    def __init__(self) -> None:
        super().__init__(name="numclip.NewObject")


new_object = NewObjectType()


@register_model(NewObjectType)
class _NewObjectModel(models.OpaqueModel):
    pass


@box(NewObjectType)
def _box_new_object(typ: Any, value: Any, c: Any) -> Any:
    return value


@emits(lambda: new_object())
def none(emit: Any) -> Any:
    """Return None."""
    return emit.context.get_python_api(emit.builder).make_none()


@emits(lambda address, size: new_object(types.intp, types.intp))
def new_bytearray(emit: Any, address: Any, size: Any) -> Any:
    """Return a copy of some bytes; an array of Numba's own would count a reference to its type for ever."""
    function_type = ir.FunctionType(cgutils.voidptr_t, [cgutils.voidptr_t, _I64])
    name = "PyByteArray_FromStringAndSize"
    function = cgutils.get_or_insert_function(emit.builder.module, function_type, name)
    return emit.builder.call(function, [emit.builder.inttoptr(address, cgutils.voidptr_t), size])


# --- a NumPy scalar, as a result: faster than np.float32(x) in Python ---------------------------------------


class NumPyScalarType(types.Type):
    """The Numba type of a number that becomes a NumPy scalar in Python."""

    def __init__(self) -> None:
        super().__init__(name="numclip.NumPyScalar")


numpy_scalar_type = NumPyScalarType()


@register_model(NumPyScalarType)
class _NumPyScalarModel(models.StructModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        members = [("stored", types.float64), ("function", types.intp), ("dtype", types.intp)]
        super().__init__(manager, fe_type, members)


@box(NumPyScalarType)
def _box_numpy_scalar(typ: Any, value: Any, c: Any) -> Any:
    scalar = cgutils.create_struct_proxy(typ)(c.context, c.builder, value=value)
    slot = cgutils.alloca_once_value(c.builder, scalar.stored)
    data = c.builder.bitcast(slot, cgutils.voidptr_t)
    function_type = ir.FunctionType(c.pyapi.pyobj, [cgutils.voidptr_t, c.pyapi.pyobj, cgutils.voidptr_t])
    function = c.builder.inttoptr(scalar.function, function_type.as_pointer())
    dtype = c.builder.inttoptr(scalar.dtype, c.pyapi.pyobj)
    return c.builder.call(function, [data, dtype, ir.Constant(cgutils.voidptr_t, None)])


@emits(lambda value, single: types.float64(types.float64, types.boolean))
def stored(emit: Any, value: Any, single: Any) -> Any:
    """Return a float64 with the bytes of `value`; if `single`, the bytes of its float32, and zeros."""
    builder = emit.builder
    narrow = builder.bitcast(builder.fptrunc(value, ir.FloatType()), _I32)
    bits = builder.select(single, builder.zext(narrow, _I64), builder.bitcast(value, _I64))
    return builder.bitcast(bits, ir.DoubleType())


@emits(lambda stored, function, dtype: numpy_scalar_type(types.float64, types.intp, types.intp))
def numpy_scalar(emit: Any, stored: Any, function: Any, dtype: Any) -> Any:
    """Return the scalar with these bytes, for the addresses of `PyArray_Scalar` and of its dtype."""
    scalar = cgutils.create_struct_proxy(numpy_scalar_type)(emit.context, emit.builder)
    scalar.stored, scalar.function, scalar.dtype = stored, function, dtype
    return scalar._getvalue()
