"""The dtypes that the kernels know, and the addresses by which the native walk recognises them."""

import ctypes
from typing import Any

import numpy as np

from numclip._table import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

# dtype name -> (kind, real numbers per element)
KINDS = {
    "float32": (FLOAT32, 1),
    "float64": (FLOAT64, 1),
    "float16": (FLOAT16, 1),
    "bfloat16": (BFLOAT16, 1),
    "complex64": (FLOAT32, 2),
    "complex128": (FLOAT64, 2),
}

# NumPy keeps one object for each of its own dtypes; that of ml_dtypes joins when its first array comes by.
_dtypes = [np.dtype(name) for name in KINDS if name != "bfloat16"]


def _row(dtype: np.dtype[Any]) -> tuple[int, int, int]:
    return (id(dtype), *KINDS[dtype.name])


def _scalar_function() -> int:
    """Return the address of `PyArray_Scalar`, which has place 60 in the table of NumPy's C interface."""
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    table = get_pointer(np._core._multiarray_umath._ARRAY_API, None)  # type: ignore[attr-defined]
    return int(ctypes.cast(table, ctypes.POINTER(ctypes.c_size_t))[60])


# What compiled code has to know of this process: the addresses of None, of the array type and of a function;
# then those of the dtypes, by which the native walk recognises arrays, with that of kind k in row k.
known = np.array([(id(None), id(np.ndarray), _scalar_function()), *map(_row, _dtypes)], np.int64)


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype as the native walk knows it: native byte order, no metadata."""
    global known  # noqa: PLW0603 a new table, not a longer one: another thread may be reading
    dtype = np.dtype(dtype.type)
    if all(dtype is not other for other in _dtypes):
        _dtypes.append(dtype)
        known = np.vstack((known, np.array(_row(dtype), np.int64)))
    return dtype
