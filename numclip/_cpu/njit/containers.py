"""Typed lists, lists and tuples: what is done with each of their entries, and new ones for results."""

from functools import partial
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.typed import List

from numclip._core.jit import helper, named_helper
from numclip._cpu.njit.arguments import entries_of
from numclip._cpu.unowned import keep, unowned, without_owner


def over_tuples(function: Any) -> Any:
    """Make `function(state, i, source, target)` over all entries of two tuples but None."""

    @intrinsic
    def over_tuples(typingctx: Any, state: Any, sources: Any, targets: Any) -> Any:
        callee = types.Dispatcher(function)
        calls = [
            (i, typingctx.resolve_function_type(callee, (state, types.intp, source, target), {}))
            for i, (source, target) in enumerate(zip(sources, targets, strict=True))
            if not isinstance(source, types.NoneType)
        ]

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            for i, signature_of_call in calls:
                call = context.get_function(callee, signature_of_call)
                context.add_linking_libs(getattr(call, "libs", ()))
                entries = [builder.extract_value(value, i) for value in arguments[1:]]
                borrowed = map(partial(without_owner, context, builder), signature_of_call.args[2:], entries)
                call(builder, (arguments[0], context.get_constant(types.intp, i), *borrowed))
            return context.get_dummy_value()

        return types.void(state, sources, targets), codegen

    return over_tuples


def over_lists(function: Any) -> Any:
    """Make `function(state, i, source, target)` over all entries of two lists."""

    @named_helper(f"_over_lists{function.py_func.__name__}")
    def over_lists(state: Any, sources: Any, targets: Any) -> None:
        if len(sources) != len(targets):
            raise ValueError("out has another length than t_list", len(targets), len(sources))
        for i in range(len(sources)):
            source, target = sources[i], targets[i]
            function(state, i, unowned(source), unowned(target))
            keep(source)
            keep(target)

    return over_lists


@helper
def _new_array(array: Any) -> Any:
    return np.empty_like(array)


@intrinsic
def _new_tuple(typingctx: Any, sources: Any, out: Any) -> Any:
    """Return a tuple with a new array for each of `sources`, None for None."""
    callee = types.Dispatcher(_new_array)
    calls = [
        None if isinstance(source, types.NoneType) else typingctx.resolve_function_type(callee, (source,), {})
        for source in sources
    ]
    result = types.Tuple([types.none if call is None else call.return_type for call in calls])

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = []
        for i, signature_of_call in enumerate(calls):
            if signature_of_call is None:
                values.append(context.get_dummy_value())
                continue
            call = context.get_function(callee, signature_of_call)
            context.add_linking_libs(getattr(call, "libs", ()))
            values.append(call(builder, (builder.extract_value(arguments[0], i),)))
        return context.make_tuple(builder, signature.return_type, values)

    return result(sources, out), codegen


@helper
def _new_typed_list(sources: Any, out: None) -> Any:
    results = List()
    for source in sources:
        results.append(np.empty_like(source))
    return results


@helper
def _new_list(sources: Any, out: None) -> Any:
    return [np.empty_like(source) for source in sources]


def new_like(container: Any) -> Any:
    """Return what makes new arrays for the entries of a container of this type."""
    if isinstance(container, types.BaseTuple):
        return _new_tuple
    return _new_typed_list if isinstance(container, types.ListType) else _new_list


def new_type(container: Any) -> Any:
    """Return a tuple type with the types of the new arrays, by which layouts are compared."""
    return types.Tuple([_new_array_type(typ) for _, typ in entries_of(container, "t_list")])


def _new_array_type(typ: Any) -> Any:
    if not isinstance(typ, types.Array):
        return typ
    return types.Array(typ.dtype, typ.ndim, "F" if typ.layout == "F" else "C")
