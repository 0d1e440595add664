"""Whether the targets share bytes with each other or with other sources."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from numclip._arrays.labels import Labels
from numclip._arrays.memory import axis_steps, same_elements

Array = NDArray[Any]


class Span(NamedTuple):
    """The memory between the first and the last byte of an array."""

    low: int
    high: int
    entry: int
    is_target: bool
    array: Array


def _identity(array: Array) -> tuple[Any, ...]:
    """Return a key that is equal for views of the same elements, whatever the order of their axes."""
    return (array.ctypes.data, array.dtype, tuple(sorted(axis_steps(array))))


def check(sources: Iterable[Array | None], targets: Iterable[Array | None], labels: Labels) -> None:
    """Raise for a target that shares a byte with another entry; the same array twice in place is allowed.

    Each array marks its bytes in a map of the memory. The time is linear in the memory that overlapping spans
    cover: many interleaved columns of one matrix cost no more than the matrix.
    """
    entries = [
        (index, source, target)
        for index, (source, target) in enumerate(zip(sources, targets, strict=True))
        if source is not None and target is not None and source.size > 0
    ]
    if len(entries) == 1 and entries[0][1] is entries[0][2]:
        return  # one array, in place
    spans, seen = [], set()
    for index, source, target in entries:
        if same_elements(source, target):
            if _identity(target) in seen:
                continue
            seen.add(_identity(target))
        else:
            spans.append(Span(*byte_bounds(source), index, False, source))
        spans.append(Span(*byte_bounds(target), index, True, target))
    clusters = _clusters(sorted(spans, key=lambda span: span.low))
    conflicts = [_conflict(cluster) for cluster in clusters if len(cluster) > 1]
    for first, second in sorted(filter(None, conflicts), key=lambda pair: pair[0].entry):
        label = labels.target(first.entry)
        if second.is_target:
            raise ValueError(f"{label} and {labels.target(second.entry)} overlap in memory")
        raise ValueError(f"{label} overlaps {labels.entry(second.entry)} in memory")


def _clusters(spans: list[Span]) -> Iterable[list[Span]]:
    """Group spans, sorted by address, that overlap in a chain."""
    cluster: list[Span] = []
    end = 0
    for span in spans:
        if span.low >= end:
            if cluster:
                yield cluster
            cluster = []
        cluster.append(span)
        end = max(end, span.high)
    if cluster:
        yield cluster


def _conflict(cluster: list[Span]) -> tuple[Span, Span] | None:
    """Mark the bytes of the targets of a cluster; return the first target that meets another entry."""
    low = cluster[0].low
    marked = np.zeros(max(span.high for span in cluster) - low, np.uint8)
    targets: list[Span] = []
    for span in sorted(cluster, key=lambda span: (not span.is_target, span.entry)):
        marks = _marks_of(marked, span.array, low)
        if marks.any():
            return next(target for target in targets if np.shares_memory(target.array, span.array)), span
        if span.is_target:
            marks[...] = 1
            targets.append(span)
    return None


def _marks_of(marked: Array, array: Array, low: int) -> Array:
    """Return the marks of the bytes of an array, as a strided view."""
    offset = array.ctypes.data - low
    shape, strides = (*array.shape, array.itemsize), (*array.strides, 1)
    return np.ndarray(shape, np.uint8, marked, offset, strides)
