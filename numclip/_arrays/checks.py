"""What the arguments may be: every error a caller can make is raised here, before anything is written."""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import devices, foreign
from numclip._core.dtypes import element_type
from numclip._core.scalars import as_float

Array = NDArray[Any]


def sequence(value: Any, name: str) -> list[Any]:
    """Return a new list of the entries."""
    if type(value) is list:
        return value.copy()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview | range):
        return list(value)
    message = f"{name} should be a sequence of arrays. Received {type(value)}"
    if isinstance(value, Mapping):
        message += ". Pass its values, list(grads.values()), or use numclip.clip_tree_by_global_norm"
    raise TypeError(message)


def real(value: Any, name: str) -> float:
    """Return a real number, or a 0-d array of one, as a float."""
    if isinstance(value, np.ndarray | np.generic):
        if value.ndim == 0 and (value.dtype.kind in "fiu" or value.dtype.name == "bfloat16"):
            return as_float(value)
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name} should fit into a float64. Received {value!r}") from None
    received = f"{type(value)}" if isinstance(value, np.ndarray) else repr(value)
    raise TypeError(f"{name} should be a real number or 0-d array. Received {received}")


def clip_norm(value: Any) -> float:
    """Return a clip_norm as a float64."""
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


def reals(value: Any, name: str) -> Array:
    """Return a real number, or an array of them, as float64."""
    array = value if isinstance(value, np.ndarray) else foreign.read(value, name)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise TypeError(f"{name} should be real. Received an array of dtype {array.dtype}")
    wide: Array = array.astype(np.float64)
    if np.isnan(wide).any():
        raise ValueError(f"{name} should not be NaN")
    return wide


def broadcast(array: Array, shape: tuple[int, ...], name: str) -> Array:
    """Return an array broadcast to a shape."""
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{name} has shape {array.shape}, which does not broadcast to {shape}") from None


def source(entry: Any, name: str) -> Array:
    """Return an entry of a list as a NumPy array of its own dtype, without a copy where it has memory."""
    if isinstance(entry, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: clip its data, or fill it first")
    if isinstance(entry, np.ndarray):
        array = np.ndarray.view(entry, np.ndarray)  # a subclass may have a `view` of its own
    else:
        devices.refuse_cuda(entry, name)
        array = foreign.read(entry, name)
    if element_type(array.dtype) is None:
        raise TypeError(f"{name} has dtype {array.dtype}, expected a floating or complex dtype")
    return array


def target(value: Any, array: Array, name: str, source_name: str) -> Array:
    """Return an entry of `out` as the array to be written."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: clip its data, or fill it first")
    if isinstance(value, np.ndarray):
        value = np.ndarray.view(value, np.ndarray)  # before the checks: a subclass may lie about its shape
    else:
        devices.refuse_cuda(value, name)
        value = foreign.memory(value, name)
    if value.shape != array.shape:
        raise ValueError(f"{name} has shape {value.shape}, {source_name} has shape {array.shape}")
    if value.dtype != array.dtype:
        raise TypeError(f"{name} has dtype {value.dtype}, {source_name} has dtype {array.dtype}")
    if not value.flags.writeable:
        raise ValueError(f"{name} is read-only")
    if _repeats_itself(value):
        raise ValueError(f"{name} has elements that share memory")
    plain: Array = value
    return plain


def _repeats_itself(array: Array) -> bool:
    """Tell whether a step along an axis can land inside what the axes of smaller steps cover."""
    if array.size == 0:
        return False
    covered = array.itemsize
    steps = zip(array.strides, array.shape, strict=True)
    for stride, length in sorted((abs(stride), length) for stride, length in steps):
        if length > 1:
            if stride < covered:
                return True
            covered = stride * (length - 1) + covered
    return False
