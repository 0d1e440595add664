"""Norms along axes: an array as a list of its slices, each clipped by itself."""

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import NDArray

from numclip._arrays import checks, entries
from numclip._arrays.errors import brief
from numclip._arrays.memory import same_elements
from numclip._core.contract import COLUMNS, FIRST_CHUNK, LENGTH, SOURCE, TARGET, TYPECODE
from numclip._core.dtypes import BY_NAME, native
from numclip._core.environment import default_environment
from numclip._cpu import kernels

Array = NDArray[Any]


def clip_along(t: Any, clip_norm: Any, axes: Any, out: Any) -> Any:
    """Clip the slices of an array along `axes`, each by its own norm."""
    source, target, result = entries.resolve_one(t, out)
    summed = _normal(axes, source.ndim)
    limits = _limits(clip_norm, tuple(1 if i in summed else side for i, side in enumerate(source.shape)))
    if source.size == 0:
        return result
    kept = tuple(axis for axis in range(source.ndim) if axis not in summed)
    order = (*kept, *summed)
    ordered = source.transpose(order)
    values = np.require(ordered, native(source.dtype), ["C", "ALIGNED"])
    clipped = np.empty_like(values)
    factors = _clip_each(values, clipped, limits.transpose(order).reshape(-1))
    changed: Any = True
    if same_elements(source, target):
        changed = (factors != 1.0).reshape(ordered.shape[: len(kept)] + (1,) * len(summed))
    np.copyto(target.transpose(order), clipped, where=changed)
    return result


def _normal(axes: Any, ndim: int) -> tuple[int, ...]:
    try:
        return tuple(sorted(normalize_axis_tuple(axes, ndim, "axes")))
    except ValueError as error:  # of an axis that is not there, or twice
        raise error.with_traceback(None) from None
    except (TypeError, OverflowError):
        raise TypeError(f"axes should be an int or a sequence of ints. Received {brief(axes)}") from None


def _limits(clip_norm: Any, shape: tuple[int, ...]) -> Array:
    """Return a clip_norm for each norm; the norms have this shape."""
    with default_environment():
        limits = checks.reals(clip_norm, "clip_norm")
    if (limits < 0.0).any():
        raise ValueError(f"clip_norm should be non-negative. Received {limits.min()}")
    return checks.broadcast(limits, shape, "clip_norm")


def _clip_each(values: Array, clipped: Array, limits: Array) -> Array:
    """Clip equal parts of a dense array, as many as there are limits, and return their factors."""
    element = BY_NAME[values.dtype.name]
    parts = len(limits)
    offsets = np.arange(parts) * (values.nbytes // parts)
    rows = np.empty((parts, COLUMNS), np.int64)
    rows[:, SOURCE] = values.ctypes.data + offsets
    rows[:, TARGET] = clipped.ctypes.data + offsets
    rows[:, LENGTH] = values.size // parts * element.reals
    rows[:, TYPECODE] = element.typecode
    rows[:, FIRST_CHUNK] = 0  # each row is a list of its own
    factors = np.empty(parts)
    clip_each = kernels.clip_each(element.typecode)
    clip_each(rows, element.typecode, np.ascontiguousarray(limits), factors)
    return factors
