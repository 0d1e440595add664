"""Interpreters beside the first of a process, such as those of mod_wsgi: calls of machine code in them.

Machine code that releases an array asks Python for the lock by ``PyGILState_Ensure``, which takes the thread
for one of the interpreter that has used it first: in any other interpreter it waits for ever. A thread that
this interpreter has started is its own.
"""

import ctypes
import threading
from collections.abc import Callable
from functools import cache, wraps
from typing import Any


@cache
def is_subinterpreter() -> bool:
    """Tell whether this interpreter is not the first of its process."""
    return _address("PyInterpreterState_Get") != _address("PyInterpreterState_Main")


def _address(function: str) -> int | None:
    """Return what a function of Python's C interface returns."""
    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p)
    address: int | None = prototype((function, ctypes.pythonapi))()
    return address


def in_own_thread(code: Callable[..., Any]) -> Callable[..., Any]:
    """Return machine code that is called in a thread of this interpreter, another one where that must be."""

    @wraps(code)
    def call(*arguments: Any) -> Any:
        if _address("PyGILState_GetThisThreadState") == _address("PyThreadState_Get"):
            return code(*arguments)
        results: list[Any] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(code(*arguments))
            except BaseException as error:  # it is raised below
                errors.append(error)

        thread = threading.Thread(target=work, name="numclip")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    return call
