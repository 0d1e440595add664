"""The default floating-point environment for computations of NumPy; compiled code sets it for itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from numclip._core import apart


@cache
def _switches() -> tuple[Callable[..., Any], Callable[..., Any]]:
    def load() -> Any:
        from numclip._core import fpenv

        return fpenv

    fpenv = apart.run("environment", load)
    return fpenv.set_default(), fpenv.restore()


@contextmanager
def default_environment() -> Iterator[None]:
    """Compute in the default environment, and restore that of the caller: see `fpenv`."""
    set_default, restore = _switches()
    saved = set_default()
    try:
        yield
    finally:
        restore(saved)
