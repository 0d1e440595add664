"""Contiguous slices of a dense array, one after the other."""

from typing import Any

from numclip._core.contract import CHUNK
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import choosing_helper, helper
from numclip._cpu.blocks import chunks_of
from numclip._cpu.decision import decide, decide_group
from numclip._cpu.kernels import prescale_for
from numclip._cpu.scaling import scale_segment
from numclip._cpu.simd import WIDTH, multiply, square, square_error
from numclip._cpu.simd_memory import load, load_masked, store, store_masked
from numclip._cpu.sums import fold, horizontal_sum, horizontal_sum_of_pairs, sum_of_squares

# Slices that are summed before their decisions are made, and the length up to which a slice is short.
BLOCK = 64
SHORT = 256


@helper
def _sum(
    values: Any, start: int, stop: int, prescale: float, compensated: Any, sums: Any, errors: Any
) -> tuple[float, float]:
    """Return the sum of squares of a contiguous slice, and its error."""
    if stop - start <= CHUNK:
        return sum_of_squares(values, start, stop, prescale, compensated)
    chunks = chunks_of(stop - start)
    for chunk in range(chunks):
        begin = start + chunk * CHUNK
        sums[chunk], errors[chunk] = sum_of_squares(
            values, begin, min(begin + CHUNK, stop), prescale, compensated
        )
    return fold(sums, errors, 0, chunks, compensated)


@helper
def decide_piece(
    values: Any, start: int, stop: int, clip_norm: float, compensated: Any, sums: Any, errors: Any
) -> tuple[float, float]:
    """Return (factor, prefactor) of a contiguous slice whose squares overflow or underflow."""
    total, error = _sum(values, start, stop, 1.0, compensated, sums, errors)
    prescale = prescale_for(total)
    if prescale != 1.0:
        total, error = _sum(values, start, stop, prescale, compensated, sums, errors)
    return decide(total, error, prescale, clip_norm, compensated)


@choosing_helper
def _sum_short(values: Any, start: int, length: int, compensated: Any) -> tuple[float, float]:
    """Return what `_sum` returns, for at most eight elements: all other lanes are zeros."""
    value = load(values, start) if length == WIDTH else load_masked(values, start, length)
    if compensated is None:
        return horizontal_sum(square(value))
    squared = square(value)
    return horizontal_sum_of_pairs((squared, square_error(value, squared)))


@helper
def _scale_short(source: Any, target: Any, start: int, length: int, factor: float) -> None:
    """Write the clipped values of a short slice: slicing the arrays for `scale_segment` would cost more."""
    stop = start + length
    whole = stop - length % WIDTH
    for i in range(start, whole, WIDTH):
        store(target, i, multiply(load(source, i), factor))
    if whole < stop:
        value = load_masked(source, whole, stop - whole)
        store_masked(target, whole, stop - whole, multiply(value, factor))


@default_fpenv
@helper
def clip_pieces(
    source: Any,
    target: Any,
    in_place: bool,
    length: int,
    compensated: Any,
    clip_norms: Any,
    sums: Any,
    errors: Any,
    totals: Any,
    lost: Any,
) -> None:
    """Clip the slices of an array, which lie one after the other, as many as there are clip_norms."""
    # A block of slices at a time, so that the decisions of several slices overlap in the pipeline.
    for block in range(0, clip_norms.size, BLOCK):
        count = min(BLOCK, clip_norms.size - block)
        for k in range(count):
            start = (block + k) * length
            if length <= WIDTH:
                totals[k], lost[k] = _sum_short(source, start, length, compensated)
            else:
                totals[k], lost[k] = _sum(source, start, start + length, 1.0, compensated, sums, errors)
        for k in range(0, count, WIDTH):
            if not decide_group(totals, lost, k, count, clip_norms, block + k, compensated):
                for i in range(k, min(k + WIDTH, count)):
                    start, limit = (block + i) * length, clip_norms[block + i]
                    totals[i], lost[i] = decide_piece(
                        source, start, start + length, limit, compensated, sums, errors
                    )
        for k in range(count):
            start = (block + k) * length
            if length <= SHORT and lost[k] == 1.0 and target.itemsize > 2:
                if not (in_place and totals[k] == 1.0):
                    _scale_short(source, target, start, length, totals[k])
            else:
                stop = start + length
                scale_segment(source[start:stop], target[start:stop], in_place, 1, totals[k], lost[k])
