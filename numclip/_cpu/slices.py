"""The slices of a dense array, each clipped by its own norm: compiled code without a table of rows.

The array is viewed, in the order of its memory, with shape (outer, length, inner): a slice is [i, :, j].
`pieces` clips contiguous slices (inner = 1), `tiles` those that lie side by side.
"""

from typing import Any

import numpy as np
from numba import types

from numclip._core.contract import COLUMNS, LANES, SOURCE, TARGET
from numclip._core.jit import helper, kernel
from numclip._cpu import pack
from numclip._cpu.abi import AXES, C_CONTIGUOUS, FLAGS, SHAPE
from numclip._cpu.blocks import chunks_of, view
from numclip._cpu.pieces import BLOCK, clip_pieces
from numclip._cpu.pyobjects import py_list, py_list_item, read_half_word, read_word
from numclip._cpu.tiles import TILE, clip_tiles
from numclip._cpu.typecodes import compensated_alone, number, typecode_type
from numclip._cpu.unowned import keep, unowned

_INT, _FLOAT = types.int64, types.float64
_NUMBERS = types.Array(types.float64, 1, "C")


@helper
def _clip(
    source_address: int, target_address: int, length: int, inner: int, typecode: Any, clip_norms: Any
) -> None:
    size = clip_norms.size * length
    source, target = view(source_address, size, typecode), view(target_address, size, typecode)
    in_place, compensated = source_address == target_address, compensated_alone(typecode)
    chunks = chunks_of(length)
    if inner == 1:
        sums, errors, totals, lost = np.empty(chunks), np.empty(chunks), np.empty(BLOCK), np.empty(BLOCK)
        clip_pieces(
            source,
            target,
            in_place,
            length,
            compensated,
            clip_norms,
            unowned(sums),
            unowned(errors),
            unowned(totals),
            unowned(lost),
        )
    else:
        sums, errors = np.empty(LANES * TILE), np.zeros(LANES * TILE)
        totals, lost = np.empty(chunks * TILE), np.empty(chunks * TILE)
        piece = np.empty(length, source.dtype)
        clip_tiles(
            source,
            target,
            in_place,
            length,
            inner,
            compensated,
            clip_norms,
            unowned(sums),
            unowned(errors),
            unowned(totals),
            unowned(lost),
            unowned(piece),
        )
        keep(piece)
    keep(sums)
    keep(errors)
    keep(totals)
    keep(lost)


@kernel(lambda typecode: (_INT, _INT, _INT, _INT, typecode_type(typecode), _NUMBERS))
def clip_slices(
    source_address: int, target_address: int, length: int, inner: int, typecode: Any, clip_norms: Any
) -> None:
    """Clip the slices of `length` reals of a dense array, as many as there are clip_norms."""
    _clip(source_address, target_address, length, inner, typecode, clip_norms)


@kernel(
    lambda typecode: (py_list, py_list, _INT, _INT, typecode_type(typecode), _INT, _FLOAT),
    nogil=False,
)
def clip_axis(
    sources: Any, targets: Any, known_address: int, mode: int, typecode: Any, axis: int, clip_norm: float
) -> bool:
    """Clip the one array of a list along an axis; return False, with nothing written, if it is not plain.

    It is plain if it and its target are in C order, of one real to an element, and have that axis.
    """
    table = np.empty((1, COLUMNS), np.int64)
    rows = unowned(table)
    done, typecodes, total, overlaps = pack.pack(sources, targets, known_address, rows, 0, mode)
    if done != 1 or overlaps or total == 0 or typecodes != 1 << number(typecode):
        return False
    source, target = py_list_item(sources, 0), py_list_item(targets, 0)
    orders = read_half_word(source + FLAGS) & read_half_word(target + FLAGS)
    axes, shape = read_half_word(source + AXES), read_word(source + SHAPE)
    if axis < 0:
        axis += axes
    if not (orders & C_CONTIGUOUS and 0 <= axis < axes):
        return False
    length, inner = read_word(shape + 8 * axis), 1
    for i in range(axis + 1, axes):
        inner *= read_word(shape + 8 * i)
    clip_norms = np.empty(total // length)
    clip_norms[:] = clip_norm
    _clip(rows[0, SOURCE], rows[0, TARGET], length, inner, typecode, clip_norms)
    keep(table)
    return True
