"""What a leaf of a tree can be."""

from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from numclip._arrays import devices, slices, sparse

_PROTOCOLS = (
    "__array__",
    "__dlpack__",
    "__array_interface__",
    "__array_struct__",
    "__cuda_array_interface__",
)
_TEXT = (str, bytes, bytearray)


def is_surely(value: Any) -> bool:
    """Tell whether a value is a leaf whatever else its class is."""
    # The class, not `__class__`: a proxy is what it is, whatever it says.
    known = (np.ndarray, np.generic, int, float, complex, *_TEXT)
    return issubclass(type(value), known) or slices.is_slices(value) or sparse.is_sparse(value)


def has_identity(value: Any) -> bool:
    """Tell whether an object at two places means the same thing at both, which an equal number need not."""
    anybodys = (type(None), np.generic, int, float, complex, *_TEXT, type, FunctionType, ModuleType)
    return not issubclass(type(value), anybodys)


def has_protocol(value: Any) -> bool:
    """Tell whether a value can be read as an array by one of the protocols of arrays."""
    if any(hasattr(type(value), name) for name in _PROTOCOLS):
        return True
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def is_arraylike(value: Any) -> bool:
    """Tell whether a value is an array, or something that stands for one; its dtype may still be wrong."""
    if issubclass(type(value), _TEXT):
        return False
    if is_surely(value) or has_protocol(value):
        return True
    # An object may describe its memory itself, without its class.
    return devices.is_cuda(value) or "__array_interface__" in getattr(value, "__dict__", {})
