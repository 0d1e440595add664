"""Flat views of arrays: any dense array is one run of memory, in whatever order its axes lie."""

from typing import Any

from numpy.typing import NDArray

from numclip._known import native

Array = NDArray[Any]


def dense_axes(array: Array) -> tuple[int, ...]:
    """Return the order of axes in which a dense array lies in memory; that of the array for any other."""
    axes = tuple(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))
    return axes if array.transpose(axes).flags.c_contiguous else tuple(range(array.ndim))


def flat_view(array: Array, axes: tuple[int, ...]) -> Array | None:
    """Return the elements with the axes in this order as one aligned, native run; None if they are not."""
    ordered = array.transpose(axes)
    if not (ordered.flags.c_contiguous and array.flags.aligned and array.dtype.isnative):
        return None
    return ordered.view(native(array.dtype)).reshape(-1)
