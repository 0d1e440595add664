"""The arrays of a container as rows, checked for overlap."""

from functools import cache
from typing import Any

import numpy as np
from numba import types
from numba.typed import List

from numclip._core.contract import LENGTH, SOURCE, TARGET, TYPECODE
from numclip._core.dtypes import ITEM_SIZE
from numclip._core.jit import helper, named_helper
from numclip._cpu import pack
from numclip._cpu.njit.containers import over_lists, over_tuples
from numclip._cpu.njit.rows import fill_pair, fill_source, fill_strided
from numclip._cpu.unowned import unowned

# By whether they are tuples: what is done with all entries.
_FILL_SOURCES = {False: over_lists(fill_source), True: over_tuples(fill_source)}
_FILL_PAIRS = {False: over_lists(fill_pair), True: over_tuples(fill_pair)}
_FILL_STRIDED = {False: over_lists(fill_strided), True: over_tuples(fill_strided)}

_BYTES = types.Array(types.uint8, 1, "C")

# Up to so many arrays, comparing each with each is quicker than sorting them by address.
_FEW = 12


@helper
def _are_apart(rows: Any) -> bool:
    """Tell of a few blocks in place whether they are apart; False where it takes more to tell."""
    if len(rows) > _FEW:
        return False
    for i in range(len(rows)):
        begin, end = rows[i, SOURCE], rows[i, SOURCE] + _bytes(rows, i)
        if rows[i, TARGET] != begin:
            return False
        for k in range(i):
            if rows[k, SOURCE] < end and begin < rows[k, SOURCE] + _bytes(rows, k):
                return False
    return True


@helper
def _bytes(rows: Any, i: int) -> int:
    return rows[i, LENGTH] * ITEM_SIZE[rows[i, TYPECODE]]


@helper
def _refuse_overlap(overlaps: bool) -> None:
    if overlaps:
        raise ValueError("an entry of out overlaps another entry in memory")


@cache
def pack_rows_of(is_tuple: bool, output: str, strided: bool) -> Any:
    """Make what fills the rows; it returns the buffers of strided arrays, if there may be any.

    `output` is "none", "new" or "given".
    """
    fill = (_FILL_SOURCES if output == "none" else _FILL_PAIRS)[is_tuple]
    fill_strided, given, writes = _FILL_STRIDED[is_tuple], output == "given", output != "none"

    @named_helper(f"_pack_blocks_{is_tuple}_{output}")
    def pack_blocks(rows: Any, sources: Any, targets: Any) -> None:
        fill(unowned(rows), sources, targets)
        _, _, overlaps = pack.summarise(rows, given and not _are_apart(rows))
        _refuse_overlap(overlaps)

    @named_helper(f"_pack_strided_{is_tuple}_{output}")
    def pack_strided(rows: Any, sources: Any, targets: Any) -> Any:
        buffers = List.empty_list(_BYTES)
        for _ in range(len(rows)):
            buffers.append(np.empty(0, np.uint8))
        fill_strided((rows, buffers), sources, targets)
        # What the kernels do not write takes no part in the check.
        written = rows.copy()
        for i in range(len(rows)):
            if rows[i, TARGET] == 0:
                written[i, LENGTH] = 0
        _, _, overlaps = pack.summarise(written, given)
        _refuse_overlap(overlaps)
        for i in range(len(rows)):
            rows[i, TARGET] = written[i, TARGET] if writes else 0
        pack.summarise(rows, False)
        return buffers

    return pack_strided if strided else pack_blocks
