"""Calls of machine code in sub-interpreters, such as those of mod_wsgi.

Machine code that releases an array acquires the GIL by ``PyGILState_Ensure``, which assigns a thread to the
interpreter that used it first: called in any other interpreter, it waits for ever. A thread that a
sub-interpreter has started belongs to it.
"""

import ctypes
import threading
from collections.abc import Callable
from functools import cache, wraps
from typing import Any


@cache
def is_subinterpreter() -> bool:
    """Tell whether this interpreter is not the main one of its process."""
    return _address("PyInterpreterState_Get") != _address("PyInterpreterState_Main")


def refusal(error: ImportError) -> ImportError:
    """Return the error for a sub-interpreter in which Numba cannot be loaded."""
    refused = ImportError(
        "numclip cannot load Numba in a sub-interpreter: from Python 3.13 on, Python initializes Numba's "
        "extensions in the main interpreter, and NumPy in one interpreter of a process alone. Call numclip "
        "in the main interpreter: under mod_wsgi by WSGIApplicationGroup %{GLOBAL}"
    )
    refused.__cause__ = error
    return refused


def _address(function: str) -> int | None:
    """Return what a function of Python's C interface returns."""
    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p)
    address: int | None = prototype((function, ctypes.pythonapi))()
    return address


def in_own_thread(code: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls machine code in a thread of this interpreter, a new one if necessary."""

    @wraps(code)
    def call(*arguments: Any) -> Any:
        if _address("PyGILState_GetThisThreadState") == _address("PyThreadState_Get"):
            return code(*arguments)
        results: list[Any] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(code(*arguments))
            except BaseException as error:  # raised below
                errors.append(error)

        thread = threading.Thread(target=work, name="numclip")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    return call
