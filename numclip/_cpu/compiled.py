"""The compiled entry points: one machine code for each kind of array, chosen by name and never by chance.

Numba's dispatcher would compile again for each layout and each read-only flag. Every array travels as a row
of integers here, so each signature below is the only one there is, and the entry point is called directly.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types

from numclip._core import process
from numclip._core.dtypes import CARRIER, FLOAT64
from numclip._core.jit import entry
from numclip._cpu import kernels
from numclip._cpu.pack import pack_list, py_list

Kernel = Callable[..., Any]

# Numba's CPU target has no 16-bit floats: their bits travel as integers.
_CARRIER = {typecode: getattr(types, name) for typecode, name in CARRIER.items()}
# What a kernel for one kind is called with: (kind, dtype, wide).
KIND_ARGUMENTS = {
    kind: (kind, np.dtype(carrier.name), True if kind == FLOAT64 else None)
    for kind, carrier in _CARRIER.items()
}
# How a kernel is told whether its list has 64-bit elements: by None or True, so that the compiler knows.
_WIDE = {False: types.none, True: types.boolean}
_ROWS = types.Array(types.int64, 2, "C")
_SUMS = types.Array(types.float64, 1, "C")

_pack = entry(pack_list, nogil=False)
_clip_list = entry(kernels.clip_list, nogil=False)
_clip_rows = entry(kernels.clip_rows, nogil=False)
_clip_each = entry(kernels.clip_each)
_combine = entry(kernels.combine)
_decide = entry(kernels.decide)
_square_sums = {parallel: entry(kernels.square_sums, parallel=parallel) for parallel in (False, True)}
_scale_all = {parallel: entry(kernels.scale_all, parallel=parallel) for parallel in (False, True)}


@cache
def pack() -> Kernel:
    """Return `pack.pack_list`."""
    lists = (py_list, py_list)
    return _compiled(_pack, (*lists, types.int64, _ROWS, types.int64, types.int64))


@cache
def clip_list(kind: int) -> Kernel:
    """Return `kernels.clip_list` for one kind."""
    lists = (py_list, py_list, types.int64, types.int64)
    return _compiled(_clip_list, (*lists, *_types_of(kind), types.float64, types.int64))


@cache
def clip_rows(kind: int) -> Kernel:
    """Return `kernels.clip_rows` for one kind."""
    integers = [types.int64] * 2
    return _compiled(_clip_rows, (*integers, *_types_of(kind), *integers, types.float64))


@cache
def clip_each(kind: int) -> Kernel:
    """Return `kernels.clip_each` for one kind."""
    return _compiled(_clip_each, (_ROWS, *_types_of(kind), _SUMS, _SUMS))


@cache
def square_sums(kind: int, wide: bool, parallel: bool) -> Kernel:
    """Return `kernels.square_sums` for one kind, in a list that has 64-bit elements or not."""
    numbers = (types.int64, types.float64, _WIDE[wide], _SUMS, _SUMS)
    return _compiled(_square_sums[parallel], (_ROWS, *_types_of(kind)[:2], *numbers))


@cache
def scale_all(kind: int, parallel: bool) -> Kernel:
    """Return `kernels.scale_all` for one kind."""
    numbers = (types.int64, types.float64, types.float64)
    return _compiled(_scale_all[parallel], (_ROWS, *_types_of(kind)[:2], *numbers))


@cache
def combine(wide: bool) -> Kernel:
    """Return `kernels.combine`, for a list that has 64-bit elements or not."""
    return _compiled(_combine, (_SUMS, _SUMS, _WIDE[wide]))


@cache
def decide() -> Kernel:
    """Return `kernels.decide`."""
    return _compiled(_decide, (*[types.float64] * 4, types.boolean))


def compile_ahead(kinds: set[int], parallel: bool) -> None:
    """Compile every entry point for these kinds; those that start threads only where some may be started."""
    for kind in sorted(kinds):
        for kernel in (clip_list, clip_rows):
            kernel(kind)
        for twin in (False, True)[: 1 + parallel]:
            for wide in {kind == FLOAT64, FLOAT64 in kinds}:
                square_sums(kind, wide, twin)
            scale_all(kind, twin)
    for wide in {FLOAT64 in kinds, kinds == {FLOAT64}}:
        combine(wide)
    pack()
    decide()


def _types_of(kind: int) -> tuple[Any, Any, Any]:
    return types.int64, types.DType(_CARRIER[kind]), _WIDE[kind == FLOAT64]


def _compiled(dispatcher: Any, signature: tuple[Any, ...]) -> Kernel:
    with process.uninterrupted():
        kernel: Kernel = dispatcher.compile(signature)
    return kernel
