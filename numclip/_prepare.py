"""Entries that the native walk does not take as they are, brought into the form that it does."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numclip import _layout, _operands, _overlap
from numclip._known import native

Array = NDArray[Any]


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
        source = _operands.source(entry, name)
        return _flatten(source, *_operands.new_target(entry, source, name))
    if target_entry is ...:
        return _flatten(_operands.source(entry, name), None, None)
    source, target = _operands.pair(entry, target_entry, name, target_name)
    return _flatten(source, target, target_entry)


def _flatten(source: Array, target: Array | None, result: Any) -> Prepared:
    axes = _layout.dense_axes(source)
    flat = _layout.flat_view(source, axes)
    loads, stores = [], []
    if flat is None:
        ordered = source.transpose(axes)
        buffer = np.empty(ordered.shape, native(source.dtype))
        flat = buffer.reshape(-1)
        loads.append((buffer, ordered))
    flat_target = None
    if target is not None:
        flat_target = _layout.flat_view(target, axes)
        if flat_target is None:
            flat_target = flat if loads else np.empty_like(flat)
            ordered = target.transpose(axes)
            in_place = _overlap.same_elements(source, target)
            stores.append((ordered, flat_target.reshape(ordered.shape), in_place))
    return Prepared(source, target, flat, flat_target, result, loads, stores)
