"""The array that an entry stands for, and the array that its result goes to."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import checks, memory, overlap, sparse
from numclip._arrays.labels import ARRAY
from numclip._arrays.pool import empty_like
from numclip._arrays.slices import IndexedSlices
from numclip._core.dtypes import native

Array = NDArray[Any]


def source(entry: Any, name: str) -> Array:
    """Return the array of an entry."""
    if isinstance(entry, IndexedSlices):
        return checks.source(entry.values, f"{name}.values")
    if sparse.is_sparse(entry):
        return checks.source(sparse.data(entry, name), f"{name}.data")
    return checks.source(entry, name)


def new_target(entry: Any, array: Array, name: str) -> tuple[Array, Any]:
    """Return a new array for the result, and what holds it: the like of the entry."""
    if sparse.is_sparse(entry):
        # Its structure is copied too: methods of SciPy sort indices and drop zeros in place.
        copied = entry.copy()
        return sparse.data(copied, name), copied
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
    elif sparse.is_sparse(entry):
        sparse.check_structure(target, entry, target_name, name)
        target = sparse.data(target, target_name)
        name, target_name = f"{name}.data", f"{target_name}.data"
    return array, checks.target(target, array, target_name, name)


def resolve(t: Any, out: Any) -> tuple[Array, Array, Any]:
    """Return the array of a single entry, that of its target, and what holds the target."""
    name, target_name = ARRAY.entry(0), ARRAY.target(0)
    if out is None:
        array = source(t, name)
        return array, *new_target(t, array, name)
    array, target = pair(t, out, name, target_name)
    overlap.check([array], [target], ARRAY)
    return array, target, out


class Prepared(NamedTuple):
    """One entry as flat, plain arrays, with what is to be copied before and after the kernels."""

    source: Array
    target: Array | None
    flat_source: Array
    flat_target: Array | None
    result: Any
    loads: list[tuple[Array, Array]]
    stores: list[tuple[Array, Array, bool]]


def prepare(entry: Any, target_entry: Any, name: str, target_name: str, new: bool) -> Prepared:
    """Check an entry and its target, raising for what is wrong, and flatten both.

    `new` asks for a new target; else a target of ``...`` stands for none.
    """
    if new:
        array = source(entry, name)
        return _flatten(array, *new_target(entry, array, name))
    if target_entry is ...:
        return _flatten(source(entry, name), None, None)
    array, target = pair(entry, target_entry, name, target_name)
    return _flatten(array, target, target_entry)


def _flatten(source: Array, target: Array | None, result: Any) -> Prepared:
    axes = memory.dense_axes(source)
    flat = memory.flat_view(source, axes)
    loads, stores = [], []
    if flat is None:
        ordered = source.transpose(axes)
        buffer = np.empty(ordered.shape, native(source.dtype))
        flat = buffer.reshape(-1)
        loads.append((buffer, ordered))
    flat_target = None
    if target is not None:
        flat_target = memory.flat_view(target, axes)
        if flat_target is None:
            flat_target = flat if loads else np.empty_like(flat)
            ordered = target.transpose(axes)
            in_place = overlap.same_elements(source, target)
            stores.append((ordered, flat_target.reshape(ordered.shape), in_place))
    return Prepared(source, target, flat, flat_target, result, loads, stores)
