"""The default floating-point environment around what NumPy computes, as compiled code sets it for itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from numclip._core import process


@cache
def _switches() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    with process.loading, process.uninterrupted():
        from numba import types

        from numclip._core import fpenv
        from numclip._core.jit import entry

        def enter() -> Any:
            return fpenv.enter()

        def leave(saved: Any) -> None:
            fpenv.leave(saved)

        return entry(enter, nogil=False).compile(()), entry(leave, nogil=False).compile((types.uint64,))


@contextmanager
def default_environment() -> Iterator[None]:
    """Compute in the default environment, and restore that of the caller: see `_fpenv`."""
    enter, leave = _switches()
    saved = enter()
    try:
        yield
    finally:
        leave(saved)
