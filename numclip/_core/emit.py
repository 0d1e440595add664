"""Functions of compiled code that are written in LLVM's terms."""

from collections.abc import Callable, Iterable
from inspect import Parameter, Signature, signature
from typing import Any, NamedTuple


class Emit(NamedTuple):
    """Where the instructions of one call are emitted."""

    context: Any
    builder: Any
    signature: Any


def described(definition: Any, function: Callable[..., Any], parameters: Iterable[str]) -> Any:
    """Give the definition of an intrinsic the name and the parameters of `function`, which Numba reads."""
    names = ["typingctx", *parameters]
    definition.__signature__ = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names])
    definition.__name__ = definition.__qualname__ = function.__name__
    definition.__doc__, definition.__module__ = function.__doc__, function.__module__
    return definition


def emitter(intrinsic: Any) -> Any:
    """Return `emits` for the target whose `intrinsic` decorator this is.

    `emits(typing)` makes an intrinsic of a function that emits instructions: `typing` takes the types of
    the arguments and returns the signature; the function takes an `Emit` and the values of the arguments, and
    returns the value of the result, or None for a void.
    """

    def emits(typing: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
        def decorate(function: Callable[..., Any]) -> Any:
            def definition(typingctx: Any, *arguments: Any) -> Any:
                def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                    result = function(Emit(context, builder, signature), *values)
                    return context.get_dummy_value() if result is None else result

                return typing(*arguments), codegen

            _, *parameters = signature(function).parameters
            return intrinsic(described(definition, function, parameters))

        return decorate

    return emits
