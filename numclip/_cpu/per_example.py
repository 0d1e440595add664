"""Per-example clipping of a list of arrays, checked and packed for the kernels of `examples`."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import checks
from numclip._arrays.labels import LIST
from numclip._arrays.memory import count_nonfinite
from numclip._core import contract
from numclip._core.contract import COLUMNS, FIRST_CHUNK, LENGTH
from numclip._core.dtypes import BY_NAME, FLOAT32, FLOAT64, ITEM_SIZE, REALS, ElementType, native
from numclip._cpu.examples import clip_examples, round_to

Array = NDArray[Any]

# The bytes of a block, and its fewest examples: a sum is read and written once for four examples of a block.
BLOCK, FEWEST = 1 << 19, 4


def clip_per_example(t_list: Any, clip_norm: Any, nonfinite: str) -> tuple[list[Any], int, Array]:
    """Return the sums of the clipped examples, how many were clipped, and their norms."""
    limit = checks.clip_norm(clip_norm)
    arrays = [
        None if entry is None else checks.source(entry, LIST.entry(i))
        for i, entry in enumerate(checks.sequence(t_list, "t_list"))
    ]
    elements = [None if array is None else BY_NAME[array.dtype.name] for array in arrays]
    examples = _number_of_examples(arrays)
    typecodes = {element.typecode for element in elements if element is not None}
    # A list of several element types, which is rare, is widened to one that has them all.
    typecode = typecodes.pop() if len(typecodes) == 1 else FLOAT64 if FLOAT64 in typecodes else FLOAT32
    flat = [
        None if array is None or element is None else reals_of(array, element, typecode)
        for array, element in zip(arrays, elements, strict=True)
    ]
    lengths = [
        0 if array is None or element is None else math.prod(array.shape[1:]) * element.reals
        for array, element in zip(arrays, elements, strict=True)
    ]
    rows = rows_of(flat, lengths, typecode)
    columns = sum(lengths)
    norms, sums = np.zeros(examples), np.zeros(columns)
    clipped = 0
    if examples and columns:
        item = ITEM_SIZE[typecode]
        block = min(max(BLOCK // (columns * item), FEWEST), examples)
        chunks = int(rows[-1, FIRST_CHUNK]) + contract.chunks_of(int(rows[-1, LENGTH]))
        clipped, end = clip_examples(typecode)(
            *(rows, typecode, item, block, limit, nonfinite == "zero", norms),
            *(np.empty(2 * (chunks + len(rows) + block)), np.empty(2 * block, np.int64), sums),
        )
        if end < examples:
            _refuse(arrays, end)
    results: list[Any] = []
    column = 0
    for array, element, length in zip(arrays, elements, lengths, strict=True):
        if array is None or element is None:
            results.append(None)
        else:
            results.append(_rounded(sums[column:], np.empty(array.shape[1:], native(array.dtype)), element))
        column += length
    if typecode != FLOAT64:
        norms = _rounded(norms, np.empty(examples, np.float32), BY_NAME["float32"])
    return results, clipped, norms


def _number_of_examples(arrays: list[Any]) -> int:
    first, examples = -1, 0
    for i, array in enumerate(arrays):
        if array is None:
            continue
        if array.ndim == 0:
            raise ValueError(f"{LIST.entry(i)} is 0-d, expected an axis of examples in front")
        if first < 0:
            first, examples = i, len(array)
        elif len(array) != examples:
            raise ValueError(f"{LIST.entry(i)} has {len(array)} examples, {LIST.entry(first)} has {examples}")
    return examples


def reals_of(array: Array, element: ElementType, typecode: int) -> Array:
    """Return the real numbers of an array in C order, of this typecode."""
    if not (array.flags.carray and array.dtype.isnative):
        array = np.require(array, native(array.dtype), ["C", "ALIGNED"])
    reals = array.reshape(-1)
    if element.reals == 2:
        reals = reals.view(reals.real.dtype)
    return reals if element.typecode == typecode else reals.astype(REALS[typecode].name)


def rows_of(flat: list[Any], lengths: list[int], typecode: int) -> Array:
    """Pack the first example of the arrays; `lengths` has the number of reals of an example of each."""
    rows = np.zeros((len(flat), COLUMNS), np.int64)
    chunks = 0
    for row, reals, length in zip(rows, flat, lengths, strict=True):
        row[:] = 0 if reals is None else reals.ctypes.data, 0, length, typecode, chunks
        chunks += contract.chunks_of(length)
    return rows


def _rounded(sums: Array, result: Array, element: ElementType) -> Array:
    """Return an array of this element type, filled with the first of the sums, each rounded once."""
    length = result.size * element.reals
    round_to(element.typecode)(sums.ctypes.data, result.ctypes.data, length, element.typecode)
    return result


def _refuse(arrays: list[Any], example: int) -> None:
    """Raise for an example whose norm is not finite, naming its entries."""
    named = [
        f"{LIST.entry(i)} has {nans} NaN and {infinities} infinite elements"
        for i, array in enumerate(arrays)
        if array is not None
        for nans, infinities in [count_nonfinite(array[example])]
        if nans or infinities
    ]
    more = f"; and {len(named) - 5} more entries" if len(named) > 5 else ""
    raise FloatingPointError(f"in example {example} {'; '.join(named[:5])}{more}")
