"""A kernel and its signature, which a driver compiles, loads and launches."""

from collections.abc import Callable
from functools import cache
from typing import Any

from numba import float64, int64


class Kernel:
    """A kernel for certain choices, such as the element types of a list."""

    def __init__(self, body: Any, name: str, types: tuple[Any, ...]) -> None:
        self.body = body
        self.name = name  # unique among the kernels
        self.types = types  # of the arguments: int64 or float64
        self.loaded: dict[int, Any] = {}  # by device: the handle that the driver launches


def kernel(
    signature: Callable[..., tuple[Any, ...]],
) -> Callable[[Callable[..., Any]], Callable[..., Kernel]]:
    """Turn a function that returns the body of a kernel into one that returns a `Kernel`.

    Both take the choices, such as typecodes; `signature` takes them too, and returns the types of the
    arguments.
    """

    def decorate(make: Callable[..., Any]) -> Callable[..., Kernel]:
        @cache
        def made(*choices: Any) -> Kernel:
            return Kernel(make(*choices), f"{make.__name__}{choices}", signature(*choices))

        return made

    return decorate


def number_type(typecode: int | None) -> Any:
    """Return the type of a number of the caller: a float64, or an address if it lies on the device."""
    return float64 if typecode is None else int64
