"""The element types: one table, from which everything else about them follows.

Another one takes a row here and its conversions in `half`. A complex array is an array of twice as many
reals. Numba's CPU target has no 16-bit floats: their bits travel in a carrier, an integer of their size.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Typecodes: each row of a packed list holds one, and a kernel is compiled for each.
NOTHING, FLOAT32, FLOAT64, FLOAT16, BFLOAT16 = range(5)


class ElementType(NamedTuple):
    """The properties of an element type."""

    name: str
    typecode: int  # of its real numbers
    reals: int  # in one element
    item_size: int  # bytes of a real
    carrier: str  # the type that its bits have in compiled code
    home: str = "numpy"  # the package that defines it


ELEMENT_TYPES = (
    ElementType("float32", FLOAT32, 1, 4, "float32"),
    ElementType("float64", FLOAT64, 1, 8, "float64"),
    ElementType("float16", FLOAT16, 1, 2, "uint16"),
    ElementType("bfloat16", BFLOAT16, 1, 2, "int16", "ml_dtypes"),
    ElementType("complex64", FLOAT32, 2, 4, "float32"),
    ElementType("complex128", FLOAT64, 2, 8, "float64"),
)
BY_NAME = {element.name: element for element in ELEMENT_TYPES}
# A shortcut: the name of a dtype takes a microsecond.
_BY_TYPE = {getattr(np, element.name): element for element in ELEMENT_TYPES if element.home == "numpy"}
# The real type of each typecode.
REALS = {element.typecode: element for element in ELEMENT_TYPES if element.reals == 1}
ITEM_SIZE = tuple(REALS[code].item_size if code else 0 for code in range(1 + max(REALS)))
CARRIER = {code: element.carrier for code, element in REALS.items()}


def element_type(dtype: np.dtype[Any]) -> ElementType | None:
    """Return the row of a dtype, of either byte order; None for one that is not clipped."""
    element = _BY_TYPE.get(dtype.type)
    return BY_NAME.get(dtype.name) if element is None else element


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype in native byte order, without metadata."""
    return np.dtype(dtype.type)


def rounded(wide: Array, dtype: np.dtype[Any]) -> Array:
    """Round float64 or complex128 elements to a dtype, once, to nearest even."""
    with np.errstate(all="ignore"):
        if dtype.name == "bfloat16":
            wide = _rounded_to_odd(wide)
        return wide.astype(dtype)


def _rounded_to_odd(wide: Array) -> Array:
    """Round float64 to float32 to odd: truncate, and set the last bit if the number is inexact.

    ml_dtypes rounds to bfloat16 by way of float32. After rounding to odd, the second rounding gives the
    result of one (Boldo and Melquiond, 2008).
    """
    single = wide.astype(np.float32)
    back = single.astype(np.float64)
    bits = single.view(np.int32)
    bits -= np.abs(back) > np.abs(wide)
    bits |= back != wide
    return single
