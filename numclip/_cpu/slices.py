"""The slices of a dense array, each clipped by its own norm: compiled code without a table of rows.

The array is viewed, in the order of its memory, with shape (outer, length, inner): a slice is [i, :, j].
Contiguous slices (inner = 1) are summed one after the other. Others are summed side by side, a tile of them
at a time, each in its own 32 lanes in the defined order: the same bits.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from numclip._core.contract import CHUNK, LANES
from numclip._core.emit import emitter
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import choosing_helper, helper, kernel
from numclip._cpu.blocks import chunks_of, view
from numclip._cpu.decision import scale_factor, square_root
from numclip._cpu.kernels import prescale_for, returned_norm
from numclip._cpu.scaling import scale_segment
from numclip._cpu.simd import WIDTH, add, add_square, lanes, multiply, square, square_error
from numclip._cpu.simd_memory import load, load_masked, store, store_masked
from numclip._cpu.sums import add_pairs, fold, horizontal_sum, horizontal_sum_of_pairs, sum_of_squares
from numclip._cpu.typecodes import compensated_alone, typecode_type
from numclip._cpu.unowned import keep, unowned

# Slices that are summed side by side: their lanes fit into the level-1 cache, and a row of them fills cache
# lines.
TILE = 64
SHORT = 256

_INT = types.int64
_NUMBERS = types.Array(types.float64, 1, "C")

emits = emitter(intrinsic)


@emits(lambda left, right: lanes(lanes, lanes))
def _multiply_lanes(emit: Any, left: Any, right: Any) -> Any:
    """Return left * right, lane by lane."""
    return emit.builder.fmul(left, right)


# --- one slice ----------------------------------------------------------------------------------------------


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
def _decide(
    total: float, error: float, prescale: float, clip_norm: float, compensated: Any
) -> tuple[float, float]:
    norm_hi, norm_lo = square_root(total, error)
    norm = returned_norm(norm_hi, norm_lo, prescale, 1.0, compensated is not None)
    return scale_factor(norm_hi, norm_lo, prescale, norm, clip_norm, 0.0, 1.0)


@helper
def _decide_piece(
    values: Any, start: int, stop: int, clip_norm: float, compensated: Any, sums: Any, errors: Any
) -> tuple[float, float]:
    """Return (factor, prefactor) of a contiguous slice whose squares overflow or underflow."""
    total, error = _sum(values, start, stop, 1.0, compensated, sums, errors)
    prescale = prescale_for(total)
    if prescale != 1.0:
        total, error = _sum(values, start, stop, prescale, compensated, sums, errors)
    return _decide(total, error, prescale, clip_norm, compensated)


@choosing_helper
def _sum_short(values: Any, start: int, length: int, compensated: Any) -> tuple[float, float]:
    """Return what `_sum` returns, for at most eight elements: all other lanes are zeros."""
    value = load(values, start) if length == WIDTH else load_masked(values, start, length)
    if compensated is None:
        return horizontal_sum(square(value))
    squared = square(value)
    return horizontal_sum_of_pairs((squared, square_error(value, squared)))


@default_fpenv
@helper
def _clip_pieces(
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
    # A tile of slices at a time, so that the decisions of several slices overlap in the pipeline.
    for block in range(0, clip_norms.size, TILE):
        end = min(block + TILE, clip_norms.size)
        for i in range(block, end):
            k, start = i - block, i * length
            if length <= WIDTH:
                totals[k], lost[k] = _sum_short(source, start, length, compensated)
            else:
                totals[k], lost[k] = _sum(source, start, start + length, 1.0, compensated, sums, errors)
        for i in range(block, end):
            k, start = i - block, i * length
            if compensated is not None and prescale_for(totals[k]) != 1.0:
                factor, prefactor = _decide_piece(
                    source, start, start + length, clip_norms[i], compensated, sums, errors
                )
            else:
                factor, prefactor = _decide(totals[k], lost[k], 1.0, clip_norms[i], compensated)
            totals[k], lost[k] = factor, prefactor
        for i in range(block, end):
            k, start = i - block, i * length
            if length % WIDTH == 0 and length <= SHORT and lost[k] == 1.0 and target.itemsize > 2:
                # Slicing the arrays for `scale_segment` would cost more than scaling the elements.
                if not (in_place and totals[k] == 1.0):
                    for j in range(start, start + length, WIDTH):
                        store(target, j, multiply(load(source, j), totals[k]))
            else:
                stop = start + length
                scale_segment(source[start:stop], target[start:stop], in_place, 1, totals[k], lost[k])


# --- slices side by side ------------------------------------------------------------------------------------


@choosing_helper
def _add_row(
    values: Any, index: int, count: int, lane: int, compensated: Any, sums: Any, errors: Any
) -> None:
    """Add the square of one element of each slice of a tile to a lane of that slice."""
    for i in range(0, count, WIDTH):
        left = count - i
        value = load(values, index + i) if left >= WIDTH else load_masked(values, index + i, left)
        k = lane * TILE + i
        if compensated is None:
            store(sums, k, add_square(load(sums, k), value, values))
        else:
            squared = square(value)
            pair = add_pairs((load(sums, k), load(errors, k)), (squared, square_error(value, squared)))
            store(sums, k, pair[0])
            store(errors, k, pair[1])


@choosing_helper
def _add_lane(to: int, lane: int, count: int, compensated: Any, sums: Any, errors: Any) -> None:
    """Add lane `lane` of each slice to its lane `to`."""
    for i in range(0, count, WIDTH):
        k, m = to * TILE + i, lane * TILE + i
        if compensated is None:
            store(sums, k, add(load(sums, k), load(sums, m)))
        else:
            pair = add_pairs((load(sums, k), load(errors, k)), (load(sums, m), load(errors, m)))
            store(sums, k, pair[0])
            store(errors, k, pair[1])


@helper
def _halve_lanes(count: int, compensated: Any, sums: Any, errors: Any) -> None:
    half = LANES // 2
    while half > 0:
        for lane in range(half):
            _add_lane(lane, lane + half, count, compensated, sums, errors)
        half //= 2


@helper
def _sum_tile(
    values: Any,
    start: int,
    length: int,
    inner: int,
    count: int,
    compensated: Any,
    sums: Any,
    errors: Any,
    totals: Any,
    lost: Any,
) -> None:
    """Set totals[i] and lost[i] to the sum of squares of slice i of a tile, and to its error."""
    chunks = chunks_of(length)
    for chunk in range(chunks):
        sums[:] = 0.0
        if compensated is not None:
            errors[:] = 0.0
        begin = chunk * CHUNK
        for k in range(begin, min(begin + CHUNK, length)):
            _add_row(values, start + k * inner, count, (k - begin) % LANES, compensated, sums, errors)
        _halve_lanes(count, compensated, sums, errors)
        for i in range(count):
            totals[i * chunks + chunk], lost[i * chunks + chunk] = sums[i], errors[i]
    for i in range(count):
        total, error = fold(totals, lost, i * chunks, (i + 1) * chunks, compensated)
        sums[i], errors[i] = total, error


@helper
def _copy_slice(values: Any, start: int, length: int, inner: int, piece: Any) -> None:
    for k in range(length):
        piece[k] = values[start + k * inner]


@default_fpenv
@helper
def _clip_tiles(
    source: Any,
    target: Any,
    in_place: bool,
    length: int,
    inner: int,
    compensated: Any,
    clip_norms: Any,
    sums: Any,
    errors: Any,
    totals: Any,
    lost: Any,
    factors: Any,
    piece: Any,
) -> None:
    for outer in range(clip_norms.size // inner):
        for first in range(0, inner, TILE):
            count, start = min(TILE, inner - first), outer * length * inner + first
            _sum_tile(source, start, length, inner, count, compensated, sums, errors, totals, lost)
            kept, once = True, True
            for i in range(count):
                limit = clip_norms[outer * inner + first + i]
                if compensated is not None and prescale_for(sums[i]) != 1.0:
                    _copy_slice(source, start + i, length, inner, piece)
                    factor, prefactor = _decide_piece(piece, 0, length, limit, compensated, totals, lost)
                else:
                    factor, prefactor = _decide(sums[i], errors[i], 1.0, limit, compensated)
                factors[i], factors[TILE + i] = factor, prefactor
                kept = kept and factor == 1.0 and prefactor == 1.0
                once = once and prefactor == 1.0
            if kept and in_place:
                continue
            for k in range(length):
                index = start + k * inner
                for i in range(0, count, WIDTH):
                    left = count - i
                    value = load(source, index + i) if left >= WIDTH else load_masked(source, index + i, left)
                    if not once:
                        value = _multiply_lanes(value, load(factors, TILE + i))
                    value = _multiply_lanes(value, load(factors, i))
                    if left >= WIDTH:
                        store(target, index + i, value)
                    else:
                        store_masked(target, index + i, left, value)


# --- the kernel ---------------------------------------------------------------------------------------------


@kernel(lambda typecode: (_INT, _INT, _INT, _INT, typecode_type(typecode), _NUMBERS))
def clip_slices(
    source_address: int, target_address: int, length: int, inner: int, typecode: Any, clip_norms: Any
) -> None:
    """Clip the slices of `length` reals of a dense array, as many as there are clip_norms."""
    size = clip_norms.size * length
    source, target = view(source_address, size, typecode), view(target_address, size, typecode)
    in_place, compensated = source_address == target_address, compensated_alone(typecode)
    chunks = chunks_of(length)
    if inner == 1:
        sums, errors, totals, lost = np.empty(chunks), np.empty(chunks), np.empty(TILE), np.empty(TILE)
        _clip_pieces(
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
        keep(sums)
        keep(errors)
        keep(totals)
        keep(lost)
    else:
        lane_sums, lane_errors = np.empty(LANES * TILE), np.zeros(LANES * TILE)
        totals, lost, factors = np.empty(chunks * TILE), np.empty(chunks * TILE), np.empty(2 * TILE)
        piece = np.empty(length, source.dtype)
        _clip_tiles(
            source,
            target,
            in_place,
            length,
            inner,
            compensated,
            clip_norms,
            unowned(lane_sums),
            unowned(lane_errors),
            unowned(totals),
            unowned(lost),
            unowned(factors),
            unowned(piece),
        )
        keep(lane_sums)
        keep(lane_errors)
        keep(totals)
        keep(lost)
        keep(factors)
        keep(piece)
