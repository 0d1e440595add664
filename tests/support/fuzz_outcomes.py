"""The expected outcome of a call on any list, from the addresses of all bytes, and from the oracle."""

import numpy as np
from fuzz_lists import address, array_of
from oracle import as_norm, as_reals, factor, native, ordered_root, scaled

from numclip import IndexedSlices


def byte_addresses(array):
    """The address of each byte of each element."""
    first = np.int64(address(array))
    for side, stride in zip(array.shape, array.strides, strict=True):
        first = np.add.outer(first, np.arange(side) * stride)
    return np.add.outer(first, np.arange(array.itemsize)).reshape(-1)


def layout_of(array):
    """A key that two arrays of one shape share if they are views of the same elements."""
    steps = zip(array.strides, array.shape, strict=True)
    return address(array), array.dtype, [(step, side) for step, side in steps if side > 1]


def fits(source, target):
    """Tell whether a target fits this source; None if either answer is correct."""
    if source.entry is None or target.entry is None:
        return source.entry is target.entry
    if source.array is None or target.array is None:
        return False
    if isinstance(source.entry, IndexedSlices) != isinstance(target.entry, IndexedSlices):
        return False
    if not isinstance(array_of(target), np.ndarray):
        return False
    array, other = target.array, source.array
    if array.shape != other.shape or array.dtype != other.dtype or not array.flags.writeable:
        return False
    if np.unique(byte_addresses(array)).size < array.nbytes:
        return False
    # Strides that interleave without overlap may be refused too: to prove that they do not overlap is hard.
    return True if array.flags.c_contiguous or array.flags.f_contiguous else None


def disjoint(sources, targets):
    """Tell whether no target overlaps the memory of another entry; None if either answer is correct."""
    written, read, seen, answer = [], [], {}, True
    for source, target in zip(sources, targets, strict=True):
        if source.array is None or source.array.size == 0:
            continue
        place = byte_addresses(target.array)
        layout = layout_of(target.array)
        if layout_of(source.array) == layout:
            # The same elements twice in place are scaled once; in another order, or as other numbers of the
            # same bytes, they may be refused.
            before = seen.setdefault(np.sort(place).tobytes(), layout)
            if before is not layout:
                answer = answer and (True if before == layout else None)
                continue
        else:
            read.append(byte_addresses(source.array))
        written.append(place)
    if not written:
        return answer
    every = np.concatenate(written)
    if np.unique(every).size < every.size:
        return False
    # A source that is copied before the kernels may be written after that.
    return None if read and np.isin(np.concatenate(read), every).any() else answer


def every(answers):
    answers = list(answers)
    return False if False in answers else None if None in answers else True


def should_be_taken(sources, targets):
    """Tell whether a list should be clipped; `targets` is None for new arrays. None if either is correct."""
    if any(given.array is None and given.entry is not None for given in sources):
        return False
    if targets is None:
        return True
    if len(targets) != len(sources):
        return False
    answer = every(fits(*pair) for pair in zip(sources, targets, strict=True))
    return answer if answer is False else every((answer, disjoint(sources, targets)))


def same_numbers(actual, expected):
    if native(actual).tobytes() == expected.tobytes():
        return True
    actual, expected = as_reals(actual), as_reals(expected)
    numbers = ~np.isnan(expected)
    same_signs = np.array_equal(np.signbit(actual[numbers]), np.signbit(expected[numbers]))
    return same_signs and np.array_equal(actual, expected, equal_nan=True)


def expectation(sources, clip_norm, use_norm):
    """Return (arrays, norm, factor) of the oracle; None but for the norm if only that is guaranteed."""
    arrays = [given.array for given in sources]
    with np.errstate(all="ignore"):
        root, unit = ordered_root(arrays) if use_norm is None else (float(use_norm), 1.0)
        norm = as_norm(root / unit, arrays) if use_norm is None else use_norm
        try:
            by = factor(root, unit, norm, float(clip_norm))
        except ValueError:
            return None, norm, None
        return [None if array is None else scaled(array, by) for array in arrays], norm, by
