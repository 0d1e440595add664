"""Checks of arguments: every error of a caller is raised here, before anything is written."""

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import devices, foreign
from numclip._arrays.errors import brief, brief_shape, class_of, dtype_name
from numclip._core.dtypes import element_type
from numclip._core.scalars import as_float

Array = NDArray[Any]


def sequence(value: Any, name: str) -> list[Any]:
    """Return a new list of the entries."""
    if type(value) is list:
        return value.copy()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview | range):
        return list(value)
    raise TypeError(f"{name} should be a sequence of arrays. Received {class_of(value)}{_remedy(value)}")


def _remedy(value: Any) -> str:
    """Return how to pass a value that is not a sequence."""
    if isinstance(value, Mapping):
        return ". Pass its values, list(grads.values()), or use numclip.tree.clip_by_global_norm"
    if isinstance(value, numbers.Number | np.generic) or foreign.lends(value) or devices.is_cuda(value):
        return "" if isinstance(value, bool) else ". Wrap it, [t], or use clip_by_norm"
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return ". Pass list(...) of it"
    return ""


def is_real(dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype is one of real numbers."""
    return dtype.kind in "fiu" or dtype.name == "bfloat16"


def real(value: Any, name: str) -> float:
    """Return a real number or 0-d array, also one of another library, as a float64."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool | np.generic):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name} should fit into a float64. Received {brief(value)}") from None
    number = value
    if foreign.lends(value) and not isinstance(value, np.ndarray | np.generic):
        number = foreign.read(value, name)
    is_array = isinstance(number, np.ndarray | np.generic) and not isinstance(number, np.ma.MaskedArray)
    if is_array and number.ndim == 0 and is_real(number.dtype):
        return as_float(number)
    raise TypeError(f"{name} should be a real number or 0-d array. Received {brief(value)}")


def clip_norm(value: Any) -> float:
    """Return a clip_norm as a float64."""
    if value is None:
        remedy = 'To switch clipping off, pass float("inf")'
        raise TypeError(f"clip_norm should be a real number or 0-d array. Received None. {remedy}")
    number = value if type(value) is float else real(value, "clip_norm")
    if number >= 0.0:
        return number
    if math.isnan(number):
        raise ValueError("clip_norm should not be NaN")
    raise ValueError(f"clip_norm should be non-negative. Received {number}")


def use_norm(value: Any) -> float:
    """Return a use_norm as a float64; it may be infinite or NaN."""
    number = real(value, "use_norm")
    if number < 0.0:
        raise ValueError(f"use_norm should be non-negative. Received {number}")
    return number


def real_array(value: Any, name: str) -> Array:
    """Return a real number, or an array of them, as an array of its own dtype."""
    refuse_masked(value, name)
    array = value if isinstance(value, np.ndarray) else foreign.read(value, name, "a real number or an array")
    if not is_real(array.dtype):
        raise TypeError(f"{name} should be real. Received an array of dtype {dtype_name(array.dtype)}")
    return array


def reals(value: Any, name: str) -> Array:
    """Return a real number, or an array of them, as float64."""
    wide: Array = real_array(value, name).astype(np.float64)
    if np.isnan(wide).any():
        raise ValueError(f"{name} should not be NaN")
    return wide


def single(value: Any, name: str, ndim: int) -> Any:
    """Return the element of an array, or nested lists, of one element; anything else as it is."""
    element = value
    for _ in range(ndim):
        if _has_items(element) and len(element) == 1:
            element = element[0]
    return value if _has_items(element) else element


def _has_items(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def broadcast(array: Array, shape: tuple[int, ...], name: str) -> Array:
    """Return an array broadcast to a shape."""
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        message = (
            f"{name} has shape {brief_shape(array.shape)}, which does not broadcast to {brief_shape(shape)}"
        )
        raise ValueError(message) from None


def refuse_masked(value: Any, name: str) -> None:
    """Raise for a masked array: its mask would be ignored."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: clip its data, or fill it first")


def source(entry: Any, name: str, *, values: bool = False) -> Array:
    """Return an entry of a list as a NumPy array of its own dtype, a view if the entry has memory.

    With `values`, elements have to be ordered: reals, and integers of up to 64 bits.
    """
    refuse_masked(entry, name)
    if isinstance(entry, np.ndarray):
        array = np.ndarray.view(entry, np.ndarray)  # a subclass may have a `view` of its own
    else:
        devices.refuse_cuda(entry, name)
        array = foreign.read(entry, name)
    known = element_type(array.dtype) is not None
    if values:
        known = (known and array.dtype.kind != "c") or array.dtype.kind in "iu"
    if not known:
        if array.dtype.type in (np.longdouble, np.clongdouble):
            kind = "np.longdouble" if array.dtype.kind == "f" else "np.clongdouble"
            raise TypeError(f"{name} has dtype {array.dtype}: {array.dtype.name} ({kind}) is not supported")
        expected = "a floating or integer dtype" if values else "a floating or complex dtype"
        raise TypeError(f"{name} has dtype {dtype_name(array.dtype)}, expected {expected}")
    return array


def target(value: Any, array: Array, name: str, source_name: str) -> Array:
    """Return an entry of `out` as the array to be written."""
    refuse_masked(value, name)
    if isinstance(value, np.ndarray):
        value = np.ndarray.view(value, np.ndarray)  # before the checks: a subclass may lie about its shape
    else:
        devices.refuse_cuda(value, name)
        value = foreign.memory(value, name)
    if value.shape != array.shape:
        shapes = f"{brief_shape(value.shape)}, {source_name} has shape {brief_shape(array.shape)}"
        raise ValueError(f"{name} has shape {shapes}")
    if value.dtype != array.dtype:
        dtypes = f"{dtype_name(value.dtype)}, {source_name} has dtype {array.dtype}"
        raise TypeError(f"{name} has dtype {dtypes}")
    if not value.flags.writeable:
        raise ValueError(f"{name} is read-only")
    if overlaps_itself(value):
        raise ValueError(f"{name} has elements that share memory")
    plain: Array = value
    return plain


def overlaps_itself(array: Array) -> bool:
    """Tell whether elements may overlap: a stride is less than the extent of the axes of smaller strides."""
    if array.size == 0 or array.flags.forc:
        return False
    covered = array.itemsize
    steps = zip(array.strides, array.shape, strict=True)
    for stride, length in sorted((abs(stride), length) for stride, length in steps):
        if length > 1:
            if stride < covered:
                return True
            covered = stride * (length - 1) + covered
    return False
