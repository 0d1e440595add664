"""Arrays without their owner.

Every function that is not inlined counts the references to its array arguments: two atomic instructions for
each, which take half as long as the sum of a small array. An array without an owner is not counted.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numclip._core.emit import emitter

emits = emitter(intrinsic)


def without_owner(context: Any, builder: Any, typ: Any, array: Any) -> Any:
    """Return the value of an array without its owner."""
    view = cgutils.create_struct_proxy(typ)(context, builder, value=array)
    view.meminfo = ir.Constant(view.meminfo.type, None)
    return view._getvalue()


@emits(lambda array: array(array))
def unowned(emit: Any, array: Any) -> Any:
    """Return the same array without its owner, for which `keep` has to be called at the end."""
    return without_owner(emit.context, emit.builder, emit.signature.return_type, array)


@emits(lambda array: types.void(array))
def keep(emit: Any, array: Any) -> None:
    """Do nothing, but keep the memory of an array until here: its last use frees it."""
