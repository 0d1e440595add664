"""Built-in functions for Python, made of C functions by their addresses."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

_METH_FASTCALL = 0x0080


class _MethodDef(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@cache
def _definition(address: int) -> _MethodDef:
    """Return a definition that stays where it is: every function refers to its own."""
    return _MethodDef(b"numclip", address, _METH_FASTCALL, None)


def builtin(address: int, own: Any) -> Callable[..., Any]:
    """Return the function that calls f(own, arguments, number of arguments) with addresses of objects.

    `own` lives as long as the function. f returns a new reference, or 0 with an error set.
    """
    prototype = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    new = prototype(("PyCFunction_NewEx", ctypes.pythonapi))
    function: Callable[..., Any] = new(ctypes.addressof(_definition(address)), own, None)
    return function
