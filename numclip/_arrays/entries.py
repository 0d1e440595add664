"""The array of an entry, and the array for its result."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import checks, counterparts, memory, overlap, sparse
from numclip._arrays.labels import ARRAY
from numclip._arrays.output import NEW, NONE
from numclip._arrays.pool import empty, empty_like
from numclip._arrays.slices import is_slices
from numclip._core.dtypes import element_type, native

Array = NDArray[Any]


def source(entry: Any, label: str, *, values: bool = False) -> Array:
    """Return the array of an entry; see `checks.source`."""
    if is_slices(entry):
        return checks.source(entry.values, f"{label}.values", values=values)
    if sparse.is_sparse(entry):
        return checks.source(sparse.data(entry, label), f"{label}.data", values=values)
    return checks.source(entry, label, values=values)


def new_target(entry: Any, array: Array, label: str) -> tuple[Array, Any]:
    """Return a new array for the result, and the counterpart of the entry that holds it."""
    if sparse.is_sparse(entry):
        # The structure is copied too: methods of SciPy sort indices and drop zeros in place.
        copied = entry.copy()
        return sparse.data(copied, label), copied
    target = empty_like(array)
    return target, counterparts.like(entry, target)


def pair(
    entry: Any, target: Any, label: str, target_label: str, *, values: bool = False
) -> tuple[Array, Array]:
    """Return the array of an entry and that of the target that the caller gave for it."""
    counterparts.check(target, entry, target_label, label)
    array = source(entry, label, values=values)
    if is_slices(entry):
        label, target_label, target = f"{label}.values", f"{target_label}.values", target.values
    elif sparse.is_sparse(entry):
        sparse.check_structure(target, entry, target_label, label)
        target = sparse.data(target, target_label)
        label, target_label = f"{label}.data", f"{target_label}.data"
    return array, checks.target(target, array, target_label, label)


def resolve_one(t: Any, out: Any, *, values: bool = False) -> tuple[Array, Array, Any]:
    """Return the array of a single entry, that of its target, and the counterpart that holds the target."""
    label, target_label = ARRAY.entry(0), ARRAY.target(0)
    if out is None:
        array = source(t, label, values=values)
        return array, *new_target(t, array, label)
    array, target = pair(t, out, label, target_label, values=values)
    if out is not t and np.may_share_memory(array, target):
        overlap.check([array], [target], ARRAY)
    return array, target, out


def resolve_plain(t: Any, out: Any) -> tuple[Array, Array, Array] | None:
    """Return what `resolve_one` returns, for plain arrays; None for arguments that need all its checks."""
    if not _is_plain(t):
        return None
    if out is None:
        result = empty_like(t)
        return t, result, result
    return (t, out, out) if _is_plain_target(out, t) else None


def _is_plain(t: Any) -> bool:
    return type(t) is np.ndarray and t.dtype.kind in "fiu" and t.dtype.type is not np.longdouble


def _is_plain_target(out: Any, t: Array) -> bool:
    """Tell whether a target is `t` itself, or a dense array like it elsewhere in memory."""
    if out is t:
        return t.flags.writeable and not checks.overlaps_itself(t)
    if type(out) is not np.ndarray or out.dtype != t.dtype or out.shape != t.shape:
        return False
    flags = out.flags
    return bool(flags.forc and flags.writeable) and not np.may_share_memory(t, out)


class Prepared(NamedTuple):
    """One entry as flat, plain arrays, with the copies to be made before and after the kernels."""

    source: Array
    target: Array | None
    flat_source: Array
    flat_target: Array | None
    result: Any
    loads: list[tuple[Array, Array]]
    stores: list[tuple[Array, Array, bool]]


def prepare(entry: Any, output: Any, label: str, target_label: str) -> Prepared:
    """Check an entry and its target, and flatten both.

    `output` is an `Output`, or the target.
    """
    # Fast path: an array of NumPy's own class, which is here because it is strided.
    if type(entry) is np.ndarray and element_type(entry.dtype) is not None:
        if output is NONE:
            return _flatten(entry, None, None)
        if output is NEW:
            result = empty_like(entry)
            return _flatten(entry, result, result, is_new=True)
        if _is_plain_target(output, entry):
            return _flatten(entry, output, output)
    if output is NONE:
        return _flatten(source(entry, label), None, None)
    if output is NEW:
        array = source(entry, label)
        return _flatten(array, *new_target(entry, array, label), is_new=True)
    return _flatten(*pair(entry, output, label, target_label), output)


def _flatten(source: Array, target: Array | None, result: Any, *, is_new: bool = False) -> Prepared:
    axes = memory.dense_axes(source)
    flat, flat_target = memory.flat_view(source, axes), None
    if target is not None:
        flat_target = memory.flat_view(target, axes)
    loads, stores = [], []
    if flat is None:
        ordered = source.transpose(axes)
        # A new result is a buffer too: the elements are loaded into it, and clipped there.
        flat = flat_target if is_new and flat_target is not None else empty(source.size, native(source.dtype))
        loads.append((flat.reshape(ordered.shape), ordered))
    if target is not None and flat_target is None:
        flat_target = flat if loads else empty(flat.size, flat.dtype)
        ordered = target.transpose(axes)
        in_place = memory.same_elements(source, target)
        stores.append((ordered, flat_target.reshape(ordered.shape), in_place))
    return Prepared(source, target, flat, flat_target, result, loads, stores)
