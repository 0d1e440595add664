"""The kernels that Python calls, over a packed list, each compiled for one typecode.

Every road is sum, decide, scale. A list of one typecode that one thread handles takes all three in one call,
from its rows as they are (`clip_rows`). Other lists take them one by one: `sum_squares` and
`scale` run for each typecode, on the typed list of its rows, and share its chunks among threads by `prange`.
"""

from typing import Any

import numpy as np
from numba import prange, types

from numclip._core import contract
from numclip._core.contract import FIRST_CHUNK, LENGTH
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import callback, helper, kernel, named_helper
from numclip._cpu import pack
from numclip._cpu.blocks import (
    bounds,
    chunks_of,
    floats_at,
    gather,
    rows_at,
    scale_block,
    scale_chunks,
    sum_block,
    sum_chunks,
    typed_list,
)
from numclip._cpu.pyobjects import (
    py_list,
    release_lock,
    stored,
    take_lock,
)
from numclip._cpu.sums import fold
from numclip._cpu.typecodes import compensated_alone, compensation, typecode_type

# A call of up to LOCKED_CHUNKS chunks holds the GIL: to release and acquire it would cost more.
LOCKED_CHUNKS = 16

_INT, _FLOAT = types.int64, types.float64
_ROWS = types.Array(types.int64, 2, "C")
_SUMS = types.Array(types.float64, 1, "C")

prescale_for = helper(contract.prescale_for)
square_root = helper(contract.square_root)
returned_norm = helper(contract.returned_norm)
scale_factor = named_helper("scale_factor")(contract.scale_factor_by(helper(contract.quotient)))


gather_block = default_fpenv(gather)


# --- the parts: sum, decide, scale --------------------------------------------------------------------------


@kernel(lambda: (py_list, py_list, _INT, _ROWS, _INT, _INT), nogil=False)
def pack_list(
    sources: Any, targets: Any, known_address: int, rows: Any, start: int, mode: int
) -> tuple[int, int, int, bool]:
    """Fill the rows from `start` on; see `pack.pack`."""
    return pack.pack(sources, targets, known_address, rows, start, mode)


@kernel(lambda: (_ROWS, types.boolean), nogil=False)
def summarise(rows: Any, given: bool) -> tuple[int, int, bool]:
    """Number the chunks of a packed list consecutively; see `pack.summarise`."""
    return pack.summarise(rows, given)


@kernel(
    lambda typecode, compensated: (
        *(_ROWS, typecode_type(typecode), _INT, _FLOAT),
        *(compensation(compensated), _SUMS, _SUMS),
    ),
    parallel=True,
)
def sum_squares(
    rows: Any, typecode: Any, blocks: int, prescale: float, compensated: Any, sums: Any, errors: Any
) -> None:
    """Set sums[i] to the sum of squares of row i, and errors[i] to its error, for rows of this typecode."""
    items, chunks = typed_list(rows, typecode)
    chunk_sums, chunk_errors = np.empty(chunks), np.empty(chunks)
    for block in prange(blocks):
        start, stop = bounds(block, blocks, chunks)
        sum_block(items, typecode, start, stop, prescale, compensated, chunk_sums, chunk_errors)
    gather_block(items, chunk_sums, chunk_errors, compensated, sums, errors, 0)


@default_fpenv
@helper
def _total_of(sums: Any, errors: Any, compensated: Any) -> tuple[float, float]:
    return fold(sums, errors, 0, sums.size, compensated)


@kernel(lambda compensated: (_SUMS, _SUMS, compensation(compensated)))
def total_of(sums: Any, errors: Any, compensated: Any) -> tuple[float, float]:
    """Return the sum of the sums of the arrays, in the order of the list, and its error."""
    return _total_of(sums.copy(), errors.copy(), compensated)


@default_fpenv
@helper
def _norm_of_sums(sums: Any, errors: Any, compensated: Any) -> tuple[float, float, float]:
    total, error = fold(sums, errors, 0, sums.size, compensated)
    norm_hi, norm_lo = square_root(total, error)
    return norm_hi, norm_lo, 1.0 if compensated is None else prescale_for(total)


@kernel(lambda compensated: (_SUMS, _SUMS, compensation(compensated)))
def norm_of_sums(sums: Any, errors: Any, compensated: Any) -> tuple[float, float, float]:
    """Return (norm_hi, norm_lo, prescale) from the sums of the arrays, in the order of the list.

    If the prescale is not 1, the sums must be computed again, over elements multiplied by it.
    """
    return _norm_of_sums(sums.copy(), errors.copy(), compensated)


@default_fpenv
@helper
def _norms_of_rows(sums: Any, errors: Any, prescale: float, norms: Any) -> None:
    for i in range(norms.size):
        norm_hi, norm_lo = square_root(sums[i], errors[i])
        norms[i] = (norm_hi + norm_lo) / prescale


@kernel(lambda: (_SUMS, _SUMS, _FLOAT, _SUMS))
def norms_of_rows(sums: Any, errors: Any, prescale: float, norms: Any) -> None:
    """Set norms[i] to the norm of the array whose sum is sums[i]."""
    _norms_of_rows(sums, errors, prescale, norms)


@default_fpenv
@helper
def _decide(
    norm_hi: float,
    norm_lo: float,
    prescale: float,
    clip_norm: float,
    eps: float,
    loss_scale: float,
    compensated: bool,
) -> tuple[float, float, float, float]:
    norm = returned_norm(norm_hi, norm_lo, prescale, loss_scale, compensated)
    factor, prefactor = scale_factor(norm_hi, norm_lo, prescale, norm, clip_norm, eps, loss_scale)
    return norm, factor, prefactor, factor * prefactor


@kernel(lambda: (*[_FLOAT] * 6, types.boolean))
def decide(
    norm_hi: float,
    norm_lo: float,
    prescale: float,
    clip_norm: float,
    eps: float,
    loss_scale: float,
    compensated: bool,
) -> tuple[float, float, float, float]:
    """Return (norm, factor, prefactor, factor * prefactor)."""
    return _decide(norm_hi, norm_lo, prescale, clip_norm, eps, loss_scale, compensated)


@kernel(lambda typecode: (_ROWS, typecode_type(typecode), _INT, _FLOAT, _FLOAT), parallel=True)
def scale(rows: Any, typecode: Any, blocks: int, factor: float, prefactor: float) -> None:
    """Write the clipped values of each row of this typecode; in place, write nothing if the factor is 1."""
    items, chunks = typed_list(rows, typecode)
    for block in prange(blocks):
        start, stop = bounds(block, blocks, chunks)
        scale_block(items, chunks, typecode, start, stop, factor, prefactor)


# --- all in one, for a list of one typecode and one thread --------------------------------------------------


@default_fpenv
@helper
def _clip(
    rows: Any,
    chunks: int,
    typecode: Any,
    compensated: Any,
    sums: Any,
    errors: Any,
    clip_norm: float,
    eps: float,
    loss_scale: float,
) -> tuple[float, float, float]:
    """Sum, decide and scale. Must not allocate: without the GIL, a MemoryError could not be raised.

    Returns the norm, as `stored` has it, the factor and the prescale. `sums` and `errors` have room for those
    of the chunks, and after them twice for those of the rows: `fold` overwrites the first copy only.
    """
    prescale, is_compensated, count = 1.0, compensated is not None, len(rows)
    while True:
        sum_chunks(rows, typecode, 0, chunks, prescale, compensated, sums, errors)
        gather(rows, sums, errors, compensated, sums, errors, chunks)
        for i in range(chunks, chunks + count):
            sums[i + count], errors[i + count] = sums[i], errors[i]
        total, error = fold(sums, errors, chunks, chunks + count, compensated)
        needed = prescale_for(total)
        if not is_compensated or prescale != 1.0 or needed == 1.0:
            break
        prescale = needed
    norm_hi, norm_lo = square_root(total, error)
    norm = returned_norm(norm_hi, norm_lo, prescale, loss_scale, is_compensated)
    factor, prefactor = scale_factor(norm_hi, norm_lo, prescale, norm, clip_norm, eps, loss_scale)
    scale_chunks(rows, chunks, typecode, 0, chunks, factor, prefactor)
    return stored(norm, not is_compensated), factor * prefactor, prescale


@helper
def words(chunks: int, count: int) -> int:
    """Return how many float64 `clip_rows` needs for so many chunks and rows."""
    return 2 + 2 * (chunks + 2 * count)


@callback(lambda typecode: (_INT, _INT, typecode_type(typecode), _INT, _INT, *[_FLOAT] * 3))
def clip_rows(
    address: int,
    count: int,
    typecode: Any,
    memory: int,
    kept: int,
    clip_norm: float,
    eps: float,
    loss_scale: float,
) -> int:
    """Clip the packed list of one typecode at an address, by one thread.

    The first two float64 of the given memory become the norm, as `stored` has it, and the factor. The sums of
    the rows, their errors and the prescale go to the address `kept`, if that is not 0.
    """
    rows = rows_at(address, count)
    chunks = rows[-1, FIRST_CHUNK] + chunks_of(rows[-1, LENGTH])
    answer, room = floats_at(memory, 2), chunks + 2 * count
    sums, errors = floats_at(memory + 16, room), floats_at(memory + 16 + 8 * room, room)
    state = release_lock(chunks > LOCKED_CHUNKS)
    answer[0], answer[1], prescale = _clip(
        rows, chunks, typecode, compensated_alone(typecode), sums, errors, clip_norm, eps, loss_scale
    )
    take_lock(state)
    if kept != 0:
        kept_sums = floats_at(kept, 2 * count + 1)
        kept_sums[2 * count] = prescale
        for i in range(count):
            kept_sums[i], kept_sums[count + i] = sums[chunks + count + i], errors[chunks + count + i]
    return 0
