"""Arrays without their owner.

Every function that is not inlined counts the references to the arrays it is given: two atomic instructions
for each, 10 ns, where a small array is summed in 20. What has no owner is not counted.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def unowned(typingctx: Any, array: Any) -> Any:
    """Return the same array without its owner, for which `keep` has to be called at the end."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = cgutils.create_struct_proxy(array)(context, builder, value=arguments[0])
        view.meminfo = ir.Constant(view.meminfo.type, None)
        return view._getvalue()

    return array(array), codegen


@intrinsic
def keep(typingctx: Any, array: Any) -> Any:
    """Do nothing, but keep the memory of an array until here: its last use frees it."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_dummy_value()

    return types.void(array), codegen
