"""Tuples, typed lists and lists of arrays: a function over all their entries."""

from functools import partial
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.typed import List

from numclip._core.jit import helper, named_helper
from numclip._cpu.unowned import unowned, without_owner


def over(function: Any, container: Any, *, collects: bool = False) -> Any:
    """Make a function of (state, sources, targets) that calls `function(state, i, source, target)`.

    It does so for each entry but None of two containers of this type, and if it collects, it returns such a
    container with what the function has returned. The function gets the arrays without their owner: the
    containers own them.
    """
    if isinstance(container, types.BaseTuple):
        return _over_tuples(function)
    is_typed = isinstance(container, types.ListType)
    make = (_to_typed_list if is_typed else _to_list) if collects else _over_lists
    return named_helper(f"{make.__name__}_{is_typed}{function.py_func.__name__}")(
        make(function, _typed_item if is_typed else _item)
    )


def _over_tuples(function: Any) -> Any:
    @intrinsic
    def over_tuples(typingctx: Any, state: Any, sources: Any, targets: Any) -> Any:
        callee = types.Dispatcher(function)
        calls = [
            None
            if isinstance(source, types.NoneType)
            else typingctx.resolve_function_type(callee, (state, types.intp, source, target), {})
            for source, target in zip(sources, targets, strict=True)
        ]
        results = types.Tuple([types.none if call is None else call.return_type for call in calls])

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values = [context.get_dummy_value()] * len(calls)
            for i, call in enumerate(calls):
                if call is not None:
                    code = context.get_function(callee, call)
                    context.add_linking_libs(getattr(code, "libs", ()))
                    entries = (builder.extract_value(container, i) for container in arguments[1:])
                    lent = map(partial(without_owner, context, builder), call.args[2:], entries)
                    values[i] = code(builder, (arguments[0], context.get_constant(types.intp, i), *lent))
            return context.make_tuple(builder, signature.return_type, values)

        return results(state, sources, targets), codegen

    return over_tuples


@helper
def _item(container: Any, i: int) -> Any:
    return unowned(container[i])


@helper
def _typed_item(container: Any, i: int) -> Any:
    # 2 ns; with a check of the index, which may raise, 35.
    return unowned(container.getitem_unchecked(i))


def _over_lists(function: Any, item: Any) -> Any:
    def over_lists(state: Any, sources: Any, targets: Any) -> None:
        for i in range(len(sources)):
            function(state, i, item(sources, i), item(targets, i))

    return over_lists


def _to_typed_list(function: Any, item: Any) -> Any:
    def to_typed_list(state: Any, sources: Any, targets: Any) -> Any:
        results = List()
        for i in range(len(sources)):
            results.append(function(state, i, item(sources, i), item(targets, i)))
        return results

    return to_typed_list


def _to_list(function: Any, item: Any) -> Any:
    def to_list(state: Any, sources: Any, targets: Any) -> Any:
        return [function(state, i, item(sources, i), item(targets, i)) for i in range(len(sources))]

    return to_list


@helper
def _empty_like(state: Any, i: int, source: Any, target: Any) -> Any:
    return np.empty_like(source)


def new_like(container: Any) -> Any:
    """Make a function of (sources, out) that returns a container like `sources` with new arrays."""
    collect = over(_empty_like, container, collects=True)

    @named_helper("new_like")
    def new_like(sources: Any, out: Any) -> Any:
        return collect(None, sources, sources)

    return new_like


def new_type(typ: Any) -> Any:
    """Return the type of a new array for an entry of this type."""
    if not isinstance(typ, types.Array):
        return typ
    return types.Array(typ.dtype, typ.ndim, "F" if typ.layout == "F" else "C")
