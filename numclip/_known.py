"""The dtypes that the kernels know, and the addresses by which the native walk recognises them."""

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


_table = np.array([(id(None), id(np.ndarray), 0), *map(_row, _dtypes)], np.int64)


def table() -> Any:
    """Return what the native walk compares objects with: addresses of None, the array type and the dtypes."""
    return _table


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype as the native walk knows it: native byte order, no metadata."""
    global _table  # noqa: PLW0603 a new table, not a longer one: another thread may be reading
    dtype = np.dtype(dtype.type)
    if all(dtype is not known for known in _dtypes):
        _dtypes.append(dtype)
        _table = np.vstack((_table, np.array(_row(dtype), np.int64)))
    return dtype
