"""Packing a list in Python, if NumPy lays arrays out in memory otherwise than compiled code expects."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._core.contract import LENGTH, SOURCE, TARGET, TYPECODE
from numclip._core.dtypes import element_type
from numclip._cpu import kernels
from numclip._cpu.pack import GIVEN_TARGETS, NO_TARGETS

Array = NDArray[Any]


def pack_list(
    sources: list[Any], targets: list[Any], known_address: int, rows: Array, start: int, mode: int
) -> tuple[int, int, int, bool]:
    """Do what `kernels.pack_list` does."""
    for i in range(start, len(sources)):
        if not _pack_entry(sources[i], None if mode == NO_TARGETS else targets[i], rows[i], mode):
            return i, 0, 0, False
    typecodes, total, overlaps = kernels.summarise()(rows, mode == GIVEN_TARGETS)
    return len(sources), typecodes, total, overlaps


def _pack_entry(source: Any, target: Any, row: Array, mode: int) -> bool:
    row[:] = 0
    if source is None:
        return target is None
    if type(source) is not np.ndarray or not source.flags.aligned:
        return False
    orders = source.flags.c_contiguous, source.flags.f_contiguous
    if mode != NO_TARGETS:
        if type(target) is not np.ndarray or target.dtype is not source.dtype:
            return False
        if not (target.flags.behaved and target.shape == source.shape):
            return False
        orders = orders[0] and target.flags.c_contiguous, orders[1] and target.flags.f_contiguous
        row[TARGET] = target.ctypes.data
    element = element_type(source.dtype)
    if not any(orders) or element is None or not source.dtype.isnative:
        return False
    row[SOURCE], row[TYPECODE], row[LENGTH] = (
        source.ctypes.data,
        element.typecode,
        source.size * element.reals,
    )
    return True
