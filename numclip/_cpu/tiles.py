"""Slices of a dense array that lie side by side: a tile of them at a time, each in its own 32 lanes.

The order of the sum is the defined one, so that the bits are those of a contiguous slice.
"""

from typing import Any

from numclip._core.contract import CHUNK, LANES
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import choosing_helper, helper
from numclip._cpu.blocks import chunks_of
from numclip._cpu.decision import decide_group, multiply_lanes
from numclip._cpu.pieces import decide_piece
from numclip._cpu.simd import WIDTH, add, add_square, square, square_error
from numclip._cpu.simd_memory import load, load_masked, store, store_masked
from numclip._cpu.sums import add_pairs, fold

# The lanes of a tile fit into the level-1 cache, and a row of it fills cache lines.
TILE = 64


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
    """Set sums[i] and errors[i] to the sum of squares of slice i of a tile, and to its error."""
    chunks = chunks_of(length)
    for chunk in range(chunks):
        sums[:] = 0.0
        if compensated is not None:
            errors[:] = 0.0
        begin = chunk * CHUNK
        for k in range(begin, min(begin + CHUNK, length)):
            _add_row(values, start + k * inner, count, (k - begin) % LANES, compensated, sums, errors)
        _halve_lanes(count, compensated, sums, errors)
        if compensated is None:
            for i in range(count):  # where a tile before has its prefactors
                errors[i] = 0.0
        if chunks == 1:
            return
        for i in range(count):
            totals[i * chunks + chunk], lost[i * chunks + chunk] = sums[i], errors[i]
    for i in range(count):
        total, error = fold(totals, lost, i * chunks, (i + 1) * chunks, compensated)
        sums[i], errors[i] = total, error


@helper
def _copy_slice(values: Any, start: int, length: int, inner: int, piece: Any) -> None:
    for k in range(length):
        piece[k] = values[start + k * inner]


@helper
def _scale_tile(
    source: Any,
    target: Any,
    start: int,
    length: int,
    inner: int,
    count: int,
    once: bool,
    factors: Any,
    prefactors: Any,
) -> None:
    for k in range(length):
        index = start + k * inner
        for i in range(0, count, WIDTH):
            left = count - i
            value = load(source, index + i) if left >= WIDTH else load_masked(source, index + i, left)
            if not once:
                value = multiply_lanes(value, load(prefactors, i))
            value = multiply_lanes(value, load(factors, i))
            if left >= WIDTH:
                store(target, index + i, value)
            else:
                store_masked(target, index + i, left, value)


@default_fpenv
@helper
def clip_tiles(
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
    piece: Any,
) -> None:
    """Clip the slices of an array, of which `inner` lie side by side, as many as there are clip_norms."""
    for outer in range(clip_norms.size // inner):
        for first in range(0, inner, TILE):
            count, start = min(TILE, inner - first), outer * length * inner + first
            _sum_tile(source, start, length, inner, count, compensated, sums, errors, totals, lost)
            for k in range(0, count, WIDTH):
                limits = outer * inner + first + k
                if not decide_group(sums, errors, k, count, clip_norms, limits, compensated):
                    for i in range(k, min(k + WIDTH, count)):
                        _copy_slice(source, start + i, length, inner, piece)
                        limit = clip_norms[limits + i - k]
                        sums[i], errors[i] = decide_piece(piece, 0, length, limit, compensated, totals, lost)
            kept, once = True, True
            for i in range(count):
                kept = kept and sums[i] == 1.0 and errors[i] == 1.0
                once = once and errors[i] == 1.0
            if not (kept and in_place):
                _scale_tile(source, target, start, length, inner, count, once, sums, errors)
