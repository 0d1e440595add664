"""A shortcut for lists with strided arrays: dense copies in their place, for the kernel of dense lists.

It takes only lists of plain arrays. Any other list is left to `plan.Plan`, which does the same for entries of
every kind, and names the fault of an entry.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import checks, memory, pool
from numclip._core.dtypes import element_type
from numclip._cpu.pack import GIVEN_TARGETS, NEW_TARGETS, NO_TARGETS

Array = NDArray[Any]

# Each strided array is compared with every other one, to see if they overlap; a plan takes linear time.
_MOST_GIVEN = 8


class Dense(NamedTuple):
    """A list of dense arrays, its targets and their mode; strided arrays and their clipped copies."""

    sources: list[Any]
    targets: list[Any]
    mode: int
    in_place: list[tuple[Array, Array]]

    def store(self, factor: float) -> None:
        """Write the results of strided arrays that are clipped in place; a factor of 1 changes nothing."""
        if factor != 1.0:
            for array, copy in self.in_place:
                np.copyto(array, copy)


def dense(sources: list[Any], targets: list[Any], mode: int, most: int) -> Dense | None:
    """Return a list with copies of the strided arrays in their place; None for a list that needs all checks.

    New results of strided arrays are put into `targets`. No array has more than `most` elements.
    """
    found = [i for i, array in enumerate(sources) if type(array) is np.ndarray and not array.flags.forc]
    if not found or (mode == GIVEN_TARGETS and len(sources) > _MOST_GIVEN):
        return None
    read, written, in_place = sources.copy(), targets.copy(), []
    for i in found:
        array = sources[i]
        if array.size > most or not _is_plain(array):
            return None
        if mode == NEW_TARGETS:
            # The copy is made in the result, and clipped there.
            if targets[i] is None:
                targets[i] = pool.empty_like(np.empty_like(array))
            copy = written[i] = targets[i]
            if not copy.flags.c_contiguous:
                return None
        else:
            copy = pool.empty(array.size, array.dtype).reshape(array.shape)
        if mode == GIVEN_TARGETS:
            if not _is_apart(i, sources, targets):
                return None
            if targets[i] is array:
                written[i] = copy
                in_place.append((array, copy))
        np.copyto(copy, array)
        read[i] = copy
    return Dense(read, written, NO_TARGETS if mode == NO_TARGETS else GIVEN_TARGETS, in_place)


def _is_plain(array: Array) -> bool:
    """Tell whether the elements are summed in C order, as those of a copy are, and have an element type."""
    if element_type(array.dtype) is None or not (array.dtype.isnative and array.flags.aligned):
        return False
    # A dense array of two axes is in C or Fortran order.
    return array.ndim <= 2 or memory.dense_axes(array) == tuple(range(array.ndim))


def _is_apart(i: int, sources: list[Any], targets: list[Any]) -> bool:
    """Tell whether a strided array shares no memory with a target, or with any entry if it is a target."""
    array, target = sources[i], targets[i]
    others = [*targets[:i], *targets[i + 1 :]]
    if target is array:
        if not array.flags.writeable or checks.overlaps_itself(array):
            return False
        others += [*sources[:i], *sources[i + 1 :]]
    else:
        others.append(target)
    return not any(isinstance(other, np.ndarray) and np.may_share_memory(array, other) for other in others)
