"""Typecodes as Numba types: a kernel is compiled for each, and the compiler knows its properties.

Python passes the typecode as a number, whose Numba type tells which one it is. So one argument determines the
element type, the carrier of its bits, and whether sums are compensated.
"""

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from numclip._core.dtypes import REALS
from numclip._core.emit import emitter

emits = emitter(intrinsic)


class TypecodeType(types.Type):
    """The Numba type of one typecode."""

    def __init__(self, typecode: int) -> None:
        self.code = typecode
        self.carrier = getattr(types, REALS[typecode].carrier)
        self.compensated = REALS[typecode].item_size == 8
        super().__init__(name=f"numclip.Typecode({REALS[typecode].name})")


@register_model(TypecodeType)
class _TypecodeModel(models.OpaqueModel):
    pass


@unbox(TypecodeType)
def _unbox_typecode(typ: Any, obj: Any, c: Any) -> Any:
    return NativeValue(c.context.get_dummy_value())


@cache
def typecode_type(typecode: int) -> TypecodeType:
    """Return the Numba type of a typecode."""
    return TypecodeType(typecode)


def compensation(compensated: bool) -> Any:
    """Return the Numba type of the flag `compensated`, none or boolean: so the compiler knows its value."""
    return types.boolean if compensated else types.none


@emits(lambda typecode: types.int64(typecode))
def number(emit: Any, typecode: Any) -> Any:
    """Return the typecode as a number."""
    return ir.IntType(64)(emit.signature.args[0].code)


@emits(lambda typecode: compensation(typecode.compensated)(typecode))
def compensated_alone(emit: Any, typecode: Any) -> Any:
    """Return the flag for a list of this typecode alone: None, or True."""
    typ = emit.signature.return_type
    return emit.context.get_dummy_value() if typ == types.none else emit.context.get_constant(typ, True)


@emits(lambda address, typecode: types.CPointer(typecode.carrier)(types.intp, typecode))
def pointer(emit: Any, address: Any, typecode: Any) -> Any:
    """Turn an address into a pointer to elements."""
    return emit.builder.inttoptr(address, emit.context.get_value_type(emit.signature.return_type))
