"""A NumPy scalar as the result of compiled code: 20 ns, where np.float32(x) takes 150 in Python.

It is made by `PyArray_Scalar` of NumPy's C interface, which has a fixed place in the table that every
compiled extension reads. Its address changes from process to process, so that it is an argument.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import box, intrinsic, models, register_model


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


@intrinsic
def stored(typingctx: Any, value: Any, single: Any) -> Any:
    """Return a float64 with the bytes of `value`, or those of it as a float32 and zeros."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, single = arguments
        narrow = builder.bitcast(builder.fptrunc(value, ir.FloatType()), ir.IntType(32))
        bits = builder.select(
            single, builder.zext(narrow, ir.IntType(64)), builder.bitcast(value, ir.IntType(64))
        )
        return builder.bitcast(bits, ir.DoubleType())

    return types.float64(types.float64, types.boolean), codegen


@intrinsic
def numpy_scalar(typingctx: Any, stored: Any, function: Any, dtype: Any) -> Any:
    """Return the scalar with these bytes, for the addresses of `PyArray_Scalar` and of its dtype."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        scalar = cgutils.create_struct_proxy(signature.return_type)(context, builder)
        scalar.stored, scalar.function, scalar.dtype = arguments
        return scalar._getvalue()

    return numpy_scalar_type(types.float64, types.intp, types.intp), codegen
