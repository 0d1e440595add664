"""Norms along axes: a dense array as slices, each clipped by itself."""

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import NDArray

from numclip._arrays import checks, entries
from numclip._arrays.errors import brief
from numclip._arrays.memory import dense_axes, same_elements
from numclip._arrays.pool import results_like
from numclip._core.contract import CHUNK
from numclip._core.dtypes import BY_NAME, FLOAT16, FLOAT32, FLOAT64, native
from numclip._core.environment import default_environment
from numclip._cpu import abi, slices
from numclip._cpu.kernels import LOCKED_CHUNKS
from numclip._cpu.pack import GIVEN_TARGETS, NEW_TARGETS

Array = NDArray[Any]

# Up to here the interpreter's lock is held, as for lists.
SMALL = LOCKED_CHUNKS * CHUNK

# The typecodes of NumPy's own real types.
_TYPECODES = {np.float32: FLOAT32, np.float64: FLOAT64, np.float16: FLOAT16}


def clip_along(t: Any, clip_norm: Any, axes: Any, out: Any) -> Any:
    """Clip the slices of an array along `axes`, each by its own norm."""
    # Fast path: one axis of a small plain array, and one clip_norm. The array is checked in compiled code.
    if type(axes) is int and type(clip_norm) is float and type(t) is np.ndarray and t.size <= SMALL:
        typecode = _TYPECODES.get(t.dtype.type)
        if typecode is not None and -t.ndim <= axes < t.ndim and abi.IS_AS_EXPECTED:
            limit, sources = checks.clip_norm(clip_norm), [t]
            targets, mode = (results_like(sources), NEW_TARGETS) if out is None else ([out], GIVEN_TARGETS)
            clip_axis = slices.clip_axis(typecode)
            if clip_axis(sources, targets, abi.ADDRESS, mode, typecode, axes, limit):
                return targets[0]
    source, target, result = entries.resolve_one(t, out)
    summed = _normal(axes, source.ndim)
    limits = _limits(clip_norm, tuple(1 if i in summed else side for i, side in enumerate(source.shape)))
    if source.size == 0:
        return result
    in_place = same_elements(source, target)
    layout = _layout(source, summed)
    direct = layout is not None and (in_place or _is_laid_out(target, layout[0]))
    if layout is None:
        # Copy the array, with the axes of the norms last, in their order.
        order = (*(axis for axis in range(source.ndim) if axis not in summed), *summed)
        layout = order, math.prod(source.shape[axis] for axis in summed), 1
    order, length, inner = layout
    limits = np.ascontiguousarray(limits.transpose(order)).reshape(-1)
    values = np.require(source.transpose(order), native(source.dtype), ["C", "ALIGNED"])
    clipped = target.transpose(order) if direct else np.empty_like(values)
    element = BY_NAME[values.dtype.name]
    # A complex array has inner == 1 here: the two reals of an element belong to one slice.
    clip_slices = slices.clip_slices(element.typecode)
    clip_slices(
        values.ctypes.data, clipped.ctypes.data, length * element.reals, inner, element.typecode, limits
    )
    if not direct:
        np.copyto(target.transpose(order), clipped)
    return result


def _layout(array: Array, summed: tuple[int, ...]) -> tuple[tuple[int, ...], int, int] | None:
    """Return the axes in the order of memory, the elements of a slice and how many slices lie side by side.

    None unless a dense, plain array has the axes of the norms next to each other, and in their order.
    """
    if not (array.flags.aligned and array.dtype.isnative):
        return None
    order = dense_axes(array)
    if not array.transpose(order).flags.c_contiguous:
        return None
    places = [order.index(axis) for axis in summed]
    first = places[0] if places else len(order)
    if places != list(range(first, first + len(places))):
        return None
    inner = math.prod(array.shape[axis] for axis in order[first + len(places) :])
    if inner > 1 and array.dtype.kind == "c":
        return None
    return order, math.prod(array.shape[axis] for axis in summed), inner


def _is_laid_out(array: Array, order: tuple[int, ...]) -> bool:
    """Tell whether an array is dense and plain, with its axes in this order."""
    flags = array.transpose(order).flags
    return bool(flags.c_contiguous and flags.aligned and array.dtype.isnative)


def _normal(axes: Any, ndim: int) -> tuple[int, ...]:
    try:
        return tuple(sorted(normalize_axis_tuple(axes, ndim, "axes")))
    except ValueError as error:  # an axis is out of range, or given twice
        raise error.with_traceback(None) from None
    except (TypeError, OverflowError):
        raise TypeError(f"axes should be an int or a sequence of ints. Received {brief(axes)}") from None


def _limits(clip_norm: Any, shape: tuple[int, ...]) -> Array:
    """Return the clip_norm of each slice; their norms have this shape."""
    if type(clip_norm) in (int, float):
        return np.full(shape, checks.clip_norm(clip_norm))
    with default_environment():
        limits = checks.reals(clip_norm, "clip_norm")
    if (limits < 0.0).any():
        raise ValueError(f"clip_norm should be non-negative. Received {limits.min()}")
    return checks.broadcast(limits, shape, "clip_norm")
