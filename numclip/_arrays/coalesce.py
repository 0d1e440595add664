"""The sum of the rows of IndexedSlices that have the same index."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import checks, foreign
from numclip._arrays.errors import brief, brief_shape, dtype_name
from numclip._core.dtypes import rounded
from numclip._core.environment import default_environment

Array = NDArray[Any]


def coalesce(values: Any, indices: Any, dense_shape: Any) -> tuple[Array, Array]:
    """Return the values with the rows of equal indices added up, and their indices, sorted."""
    values = checks.source(values, "values")
    indices = _rows(indices, values)
    if dense_shape is not None:
        _check_shape(dense_shape, indices, values)
    with default_environment():
        return _summed(values, indices)


def _summed(values: Array, indices: Array) -> tuple[Array, Array]:
    order = np.argsort(indices, kind="stable")
    indices = indices[order]
    starts = np.flatnonzero(np.concatenate(([True], indices[1:] != indices[:-1]))[: indices.size])
    wide = values[order].astype(np.complex128 if values.dtype.kind == "c" else np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.add.reduceat(wide, starts, axis=0)
    return rounded(sums, values.dtype), indices[starts]


def _rows(indices: Any, values: Array) -> Array:
    """Return the indices as an array, all checked except their upper limit."""
    array = np.asarray(indices) if isinstance(indices, np.ndarray) else foreign.read(indices, "indices")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"indices has dtype {dtype_name(array.dtype)}, expected integers")
    if values.ndim == 0:
        raise ValueError("values has shape (), expected a row for each of indices")
    if array.shape != values.shape[:1]:
        raise ValueError(
            f"indices has shape {brief_shape(array.shape)}, values has shape {brief_shape(values.shape)}"
        )
    if array.size and array.min() < 0:
        raise ValueError(f"indices has a negative element: {array.min()}")
    return array


def _check_shape(dense_shape: Any, indices: Array, values: Array) -> None:
    shape = foreign.read(dense_shape, "dense_shape")
    if shape.ndim != 1 or shape.dtype.kind not in "iu":
        raise TypeError(f"dense_shape should be a sequence of integers. Received {brief(dense_shape)}")
    sides = tuple(shape.tolist())
    if len(sides) != values.ndim or sides[1:] != values.shape[1:]:
        raise ValueError(f"dense_shape is {brief_shape(sides)}, values has shape {brief_shape(values.shape)}")
    if indices.size and indices.max() >= sides[0]:
        raise ValueError(
            f"indices has {indices.max()}, which is out of range for dense_shape {brief_shape(sides)}"
        )
