"""What compiled code has to know of this process: the addresses of objects that it recognises or makes."""

import ctypes
from typing import Any

import numpy as np

from numclip._core.dtypes import ELEMENT_TYPES, FLOAT64, element_type


def _scalar_function() -> int:
    """Return the address of `PyArray_Scalar`, which has place 60 in the table of NumPy's C interface."""
    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    get_pointer = prototype(("PyCapsule_GetPointer", ctypes.pythonapi))
    table = get_pointer(np._core._multiarray_umath._ARRAY_API, None)  # type: ignore[attr-defined]
    return int(ctypes.cast(table, ctypes.POINTER(ctypes.c_size_t))[60])


# At an address that stays the same: the addresses of None, of the array type and of a function; then a row
# for each element type, with the address of its dtype. NumPy keeps one object for each of its own dtypes.
ROWS, COLUMNS = 1 + len(ELEMENT_TYPES), 3
_ROW_OF = {element.name: row for row, element in enumerate(ELEMENT_TYPES, 1)}
FLOAT32_ROW, FLOAT64_ROW = _ROW_OF["float32"], _ROW_OF["float64"]
_table = np.zeros((ROWS, COLUMNS), np.int64)
_table[0] = id(None), id(np.ndarray), _scalar_function()
_dtypes: dict[str, np.dtype[Any]] = {}  # which keeps them alive
ADDRESS = int(_table.ctypes.data)


def register(dtype: np.dtype[Any]) -> None:
    """Let the native walk recognise a dtype of native byte order, such as that of another package."""
    element = element_type(dtype)
    if element is None:
        raise TypeError(f"{dtype} is no element type")
    if _dtypes.get(element.name) is not dtype:
        _dtypes[element.name] = dtype
        _table[_ROW_OF[element.name]] = id(dtype), element.typecode, element.reals


for _element in ELEMENT_TYPES:
    if _element.home == "numpy":
        register(np.dtype(_element.name))


def scalar_addresses(typecode: int) -> tuple[int, int]:
    """Return the addresses of the function that makes a NumPy scalar, and of the dtype of a norm."""
    row = FLOAT64_ROW if typecode == FLOAT64 else FLOAT32_ROW
    return int(_table[0, 2]), int(_table[row, 0])
