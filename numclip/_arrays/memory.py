"""The memory of an array: whether it is valid and stays so, and how the elements lie in it."""

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from numclip._core.dtypes import native

Array = NDArray[Any]


def lies_inside(array: Array) -> bool:
    """Tell whether all elements of an array lie in the buffer that it was made from, if there is one.

    NumPy does not check the shape, strides and offset of ``__array_interface__``, even against a buffer that
    comes with it.
    """
    base = array.base
    if base is None or isinstance(base, np.ndarray) or array.size == 0:
        return True
    try:
        memory = memoryview(base)
    except TypeError:  # the object gave an address, which nothing can check
        return True
    if memory.nbytes == 0 or not memory.contiguous:
        return memory.nbytes > 0
    low, high = byte_bounds(array)
    first, last = byte_bounds(np.frombuffer(memory, np.uint8))
    return bool(first <= low and high <= last)


def guards(entries: Iterable[Any]) -> list[weakref.ref[Any]]:
    """Return weak references to all arrays among the entries, and to the arrays that these are views of.

    NumPy never resizes an array that has a weak reference, even with ``refcheck=False``: its address stays
    valid.
    """
    references = []
    for entry in entries:
        array = entry
        while isinstance(array, np.ndarray):
            references.append(weakref.ref(array))
            array = array.base
    return references


def dense_axes(array: Array) -> tuple[int, ...]:
    """Return the order of axes in which a dense array lies in memory; that of the array for any other."""
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    axes = tuple(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))
    return axes if array.transpose(axes).flags.c_contiguous else tuple(range(array.ndim))


def flat_view(array: Array, axes: tuple[int, ...]) -> Array | None:
    """Return the elements, axes in this order, as a 1-d view; None unless contiguous, aligned and native."""
    ordered = array.transpose(axes)
    if not (ordered.flags.c_contiguous and array.flags.aligned and array.dtype.isnative):
        return None
    return ordered.view(native(array.dtype)).reshape(-1)


def axis_steps(array: Array) -> list[tuple[int, int]]:
    """Return the stride and the length of each axis of more than one element."""
    return [(step, length) for step, length in zip(array.strides, array.shape, strict=True) if length > 1]


def same_elements(array: Array, other: Array) -> bool:
    """Tell whether two arrays of one shape are views of the same elements, each at the same place."""
    if array.size > 0 and not np.may_share_memory(array, other):  # an address takes a microsecond
        return False
    same_start = array.ctypes.data == other.ctypes.data
    return same_start and array.dtype == other.dtype and axis_steps(array) == axis_steps(other)


def count_nonfinite(array: Array) -> tuple[int, int]:
    """Count the NaN and the infinite elements of an array; a complex one with both counts as NaN."""
    with np.errstate(all="ignore"):
        wide = array if array.dtype.kind in "fc" else array.astype(np.float32)
        nans, infinities = np.isnan(wide), np.isinf(wide)
    return int(nans.sum()), int((infinities & ~nans).sum())
