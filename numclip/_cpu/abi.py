"""The layout of Python's and NumPy's objects in memory, and the addresses of some, for compiled code.

To read an array's type, dtype, flags and address from Python is slow for small arrays. Compiled code reads
the fields of NumPy's public C structure `PyArrayObject_fields` by offset: every compiled extension relies on
their layout. If a release changes it, `is_as_expected` detects that when this module is imported, and lists
are packed in Python.
"""

import ctypes
from typing import Any

import numpy as np

from numclip._core.dtypes import ELEMENT_TYPES, FLOAT64, element_type

# Offsets in any object, and in an array after the header that every object has.
TYPE = object.__basicsize__ - 8
DATA = object.__basicsize__
AXES = object.__basicsize__ + 8
SHAPE = object.__basicsize__ + 16
DTYPE = object.__basicsize__ + 40
FLAGS = object.__basicsize__ + 48
C_CONTIGUOUS, F_CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x2, 0x100, 0x400

# Places in the table of NumPy's C interface, and the version of that which has them there.
_GET_VERSION, SCALAR, NEW_LIKE = 0, 60, 277
_VERSION = 0x02000000


def function(place: int) -> int:
    """Return the address of a function of NumPy's C interface."""
    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    get_pointer = prototype(("PyCapsule_GetPointer", ctypes.pythonapi))
    table = get_pointer(np._core._multiarray_umath._ARRAY_API, None)  # type: ignore[attr-defined]
    return int(ctypes.cast(table, ctypes.POINTER(ctypes.c_size_t))[place])


# The objects that compiled code recognises, at a fixed address: None, the array type and `PyArray_Scalar`;
# then a row for each element type: its dtype, typecode and reals. NumPy has one object for each of its
# dtypes.
ROWS, COLUMNS = 1 + len(ELEMENT_TYPES), 3
_ROW_OF = {element.name: row for row, element in enumerate(ELEMENT_TYPES, 1)}
_table = np.zeros((ROWS, COLUMNS), np.int64)
_table[0] = id(None), id(np.ndarray), function(SCALAR)
_dtypes: dict[str, np.dtype[Any]] = {}  # keeps alive the dtypes whose addresses are in the table
ADDRESS = int(_table.ctypes.data)


def register(dtype: np.dtype[Any]) -> None:
    """Let compiled code recognise a dtype of native byte order, such as bfloat16 of ml_dtypes."""
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
    """Return the addresses of `PyArray_Scalar`, and of the dtype that the norm of such a list has."""
    name = "float64" if typecode == FLOAT64 else "float32"
    return int(_table[0, 2]), int(_table[_ROW_OF[name], 0])


def _fields_agree(array: np.ndarray[Any, Any]) -> bool:
    """Tell whether the fields in memory are those that Python sees; a pointer is checked before its use."""

    def word(address: int) -> int:
        return int(ctypes.c_int64.from_address(address).value)

    def half_word(address: int) -> int:
        return int(ctypes.c_int32.from_address(address).value)

    start, flags = id(array), array.flags
    orders = C_CONTIGUOUS * flags.c_contiguous | F_CONTIGUOUS * flags.f_contiguous
    others = ALIGNED * flags.aligned | WRITEABLE * flags.writeable
    mask = C_CONTIGUOUS | F_CONTIGUOUS | ALIGNED | WRITEABLE
    if not (
        word(start + TYPE) == id(np.ndarray)
        and word(start + DATA) == array.ctypes.data
        and half_word(start + AXES) == array.ndim
        and word(start + DTYPE) == id(array.dtype)
        and half_word(start + FLAGS) & mask == orders | others
    ):
        return False
    # NumPy stores the strides directly after the shape: if they are there, SHAPE is a valid pointer.
    shape = word(start + SHAPE)
    if array.ndim == 0 or shape + 8 * array.ndim != word(start + SHAPE + 8):
        return array.ndim == 0
    return [word(shape + 8 * axis) for axis in range(array.ndim)] == [*array.shape]


def is_as_expected() -> bool:
    """Tell whether known arrays have these fields at these offsets, and NumPy's C interface its version."""
    arrays: list[np.ndarray[Any, Any]] = [
        np.zeros((2, 3), np.float32),
        np.zeros((3, 2, 1)).T,
        np.zeros((), np.complex64),
        np.ones(9)[1::2],
    ]
    arrays[1].flags.writeable = False
    version = ctypes.CFUNCTYPE(ctypes.c_uint)(function(_GET_VERSION))()
    return version == _VERSION and all(map(_fields_agree, arrays))


IS_AS_EXPECTED = is_as_expected()
