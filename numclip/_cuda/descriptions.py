"""Device memory described as a NumPy array that must not be read, and dtypes by their names."""

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._core.dtypes import BY_NAME

Array = NDArray[Any]


class _Memory:
    """Device memory in the terms of NumPy's array interface."""

    def __init__(self, address: int, shape: Any, strides: Any, typestr: str, read_only: bool) -> None:
        self.__array_interface__ = {
            "version": 3,
            "data": (address, read_only),
            "shape": tuple(shape),
            "strides": None if strides is None else tuple(strides),
            "typestr": typestr,
        }


def description(
    label: str, address: int, shape: Any, strides: Any, dtype: np.dtype[Any], read_only: bool = False
) -> Array:
    """Return device memory as an array: for checks of shape, layout and overlap.

    The strides are bytes, or None in C order.
    """
    if not address and math.prod(shape):
        # Such as a DTensor or a FakeTensor: their elements lie in other arrays, or nowhere.
        raise TypeError(f"{label} has no memory of its own: pass its local tensor, .to_local() of a DTensor")
    # NumPy requires an address even without elements. The type is void: the interface cannot name bfloat16.
    memory = _Memory(address or dtype.alignment, shape, strides, f"|V{dtype.itemsize}", read_only)
    return np.asarray(memory).view(dtype)


@cache
def named_dtype(name: str) -> np.dtype[Any]:
    """Return a dtype by its name; without ml_dtypes, that of bfloat16 has one field, with this name."""
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        return np.dtype([("bfloat16", np.uint16)])
    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16


def name_of(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype in the table of element types."""
    return "bfloat16" if dtype.names == ("bfloat16",) else dtype.name


@cache
def element_of(dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """Return (typecode, real numbers per element), or None for a dtype that the kernels do not know."""
    element = BY_NAME.get(name_of(dtype)) if dtype.isnative else None
    return None if element is None else (element.typecode, element.reals)
