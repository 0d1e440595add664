"""The dtypes that the kernels know, and the addresses by which the native walk recognises them."""

import ctypes
from typing import Any

import numpy as np

from numclip._core.contract import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

# dtype name -> (kind, real numbers per element)
KINDS = {
    "float32": (FLOAT32, 1),
    "float64": (FLOAT64, 1),
    "float16": (FLOAT16, 1),
    "bfloat16": (BFLOAT16, 1),
    "complex64": (FLOAT32, 2),
    "complex128": (FLOAT64, 2),
}


def _row(dtype: np.dtype[Any]) -> tuple[int, int, int]:
    return (id(dtype), *KINDS[dtype.name])


def _scalar_function() -> int:
    """Return the address of `PyArray_Scalar`, which has place 60 in the table of NumPy's C interface."""
    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    get_pointer = prototype(("PyCapsule_GetPointer", ctypes.pythonapi))
    table = get_pointer(np._core._multiarray_umath._ARRAY_API, None)  # type: ignore[attr-defined]
    return int(ctypes.cast(table, ctypes.POINTER(ctypes.c_size_t))[60])


# What compiled code has to know of this process, at an address that stays the same: the addresses of None, of
# the array type and of a function; then those of the dtypes, by which the native walk recognises arrays, with
# float32 and float64 in the rows of their kinds. NumPy keeps one object for each of its own dtypes; that of
# ml_dtypes joins when its first array comes by.
ROWS, COLUMNS = 1 + len(KINDS), 3
_table = np.zeros((ROWS, COLUMNS), np.int64)
_own = [np.dtype(name) for name in KINDS if name != "bfloat16"]
_table[:-1] = [(id(None), id(np.ndarray), _scalar_function()), *map(_row, _own)]
_dtypes = [*_own]
ADDRESS = int(_table.ctypes.data)


def scalar_addresses(dtype: Any) -> tuple[int, int]:
    """Return the addresses of the function that makes a NumPy scalar, and of its dtype."""
    return int(_table[0, 2]), id(np.dtype(dtype))


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype as the native walk knows it: native byte order, no metadata."""
    dtype = np.dtype(dtype.type)
    if all(dtype is not known for known in _dtypes):
        _dtypes.append(dtype)
        _table[-1] = _row(dtype)
    return dtype
