"""The array that an entry stands for, and the array that its result goes to."""

from typing import Any

from numpy.typing import NDArray

from numclip import _check, _overlap, _sparse
from numclip._names import ARRAY
from numclip._recycle import empty_like
from numclip._slices import IndexedSlices

Array = NDArray[Any]


def source(entry: Any, name: str) -> Array:
    """Return the array of an entry."""
    if isinstance(entry, IndexedSlices):
        return _check.source(entry.values, f"{name}.values")
    if _sparse.is_sparse(entry):
        return _check.source(_sparse.data(entry, name), f"{name}.data")
    return _check.source(entry, name)


def new_target(entry: Any, array: Array, name: str) -> tuple[Array, Any]:
    """Return a new array for the result, and what holds it: the like of the entry."""
    if _sparse.is_sparse(entry):
        # Its structure is copied too: methods of SciPy sort indices and drop zeros in place.
        copied = entry.copy()
        return _sparse.data(copied, name), copied
    target = empty_like(array)
    if isinstance(entry, IndexedSlices):
        return target, IndexedSlices(target, entry.indices, entry.dense_shape)
    return target, target


def pair(entry: Any, target: Any, name: str, target_name: str) -> tuple[Array, Array]:
    """Return the array of an entry and that of the target that the caller gave for it."""
    if entry is None:
        raise TypeError(f"{target_name} should be None, as {name} is None")
    array = source(entry, name)
    if isinstance(entry, IndexedSlices):
        if not isinstance(target, IndexedSlices):
            raise TypeError(f"{target_name} should be an IndexedSlices, as {name} is")
        name, target_name, target = f"{name}.values", f"{target_name}.values", target.values
    elif _sparse.is_sparse(entry):
        _sparse.check_structure(target, entry, target_name, name)
        target = _sparse.data(target, target_name)
        name, target_name = f"{name}.data", f"{target_name}.data"
    return array, _check.target(target, array, target_name, name)


def resolve(t: Any, out: Any) -> tuple[Array, Array, Any]:
    """Return the array of a single entry, that of its target, and what holds the target."""
    name, target_name = ARRAY.entry(0), ARRAY.target(0)
    if out is None:
        array = source(t, name)
        return array, *new_target(t, array, name)
    array, target = pair(t, out, name, target_name)
    _overlap.check([array], [target], ARRAY)
    return array, target, out
