"""What the arguments may be: every error a caller can make is raised here, before anything is written."""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip import _dispatch
from numclip._buffer import lies_inside
from numclip._scalars import as_float
from numclip._slices import IndexedSlices

Array = NDArray[Any]


def sequence(value: Any, name: str) -> list[Any]:
    """Return a new list of the entries."""
    if type(value) is list:
        return value.copy()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview | range):
        return list(value)
    message = f"{name} should be a sequence of arrays. Received {type(value)}"
    if isinstance(value, Mapping):
        message += ". Pass its values: list(grads.values())"
    raise TypeError(message)


def _real(value: Any, name: str) -> float:
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
    number = value if type(value) is float else _real(value, "clip_norm")
    if number >= 0.0:
        return number
    if math.isnan(number):
        raise ValueError("clip_norm should not be NaN")
    raise ValueError(f"clip_norm should be non-negative. Received {number}")


def use_norm(value: Any) -> float:
    """Return a use_norm as a float64; it may be infinite or NaN."""
    number = _real(value, "use_norm")
    if number < 0.0:
        raise ValueError(f"use_norm should be non-negative. Received {number}")
    return number


def source(entry: Any, name: str) -> Array:
    """Return an entry of a list as a NumPy array of its own dtype, without a copy where it has memory."""
    if isinstance(entry, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: clip its data, or fill it first")
    if isinstance(entry, np.ndarray):
        array = entry.view(np.ndarray)
    else:
        _dispatch.refuse_cuda(entry, name)
        try:
            array = np.asarray(entry)
        except (ValueError, TypeError) as error:
            raise TypeError(f"{name} cannot be read as an array: {error}") from error
        if not lies_inside(array):
            raise ValueError(f"{name} claims memory outside of its buffer")
    if array.dtype.name not in ("float16", "float32", "float64", "complex64", "complex128", "bfloat16"):
        raise TypeError(f"{name} has dtype {array.dtype}, expected a floating or complex dtype")
    return array


def counterpart(value: Any, entry: Any, name: str, source_name: str) -> None:
    """Raise where an entry of `out` is None or IndexedSlices and that of `t_list` is not, or the reverse."""
    if entry is None:
        raise TypeError(f"{name} should be None, as {source_name} is None")
    if isinstance(entry, IndexedSlices) and not isinstance(value, IndexedSlices):
        raise TypeError(f"{name} should be an IndexedSlices, as {source_name} is")


def target(value: Any, array: Array, name: str, source_name: str) -> Array:
    """Return an entry of `out` as the array to be written."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} should be an array, received {type(value)}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: clip its data, or fill it first")
    if value.shape != array.shape:
        raise ValueError(f"{name} has shape {value.shape}, {source_name} has shape {array.shape}")
    if value.dtype != array.dtype:
        raise TypeError(f"{name} has dtype {value.dtype}, {source_name} has dtype {array.dtype}")
    if not value.flags.writeable:
        raise ValueError(f"{name} is read-only")
    if _repeats_itself(value):
        raise ValueError(f"{name} has elements that share memory")
    return value.view(np.ndarray)


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
