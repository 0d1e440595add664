"""Per-example clipping: the first axis of all arrays of a list is that of examples, each with its own norm.

The examples are taken in blocks that fit into the level-2 cache: the sums of squares bring a block there, and
the sum of its clipped examples reads it again. No clipped example is stored.
"""

import math
from typing import Any

from numba import types

from numclip._core.contract import FIRST_CHUNK, LENGTH, SOURCE
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import choosing_helper, helper, kernel
from numclip._cpu.blocks import chunks_of, floats_at, gather, sum_chunks, view
from numclip._cpu.decision import scale_factor, square_root
from numclip._cpu.kernels import prescale_for, returned_norm
from numclip._cpu.simd import WIDTH, add, multiply
from numclip._cpu.simd_memory import load, load_masked, store, store_masked
from numclip._cpu.sums import fold
from numclip._cpu.typecodes import compensated_alone, typecode_type
from numclip._cpu.unowned import unowned

# Columns whose sums stay in the level-1 cache while the examples of a block are added to them.
TILE = 1024

_INT, _FLOAT = types.int64, types.float64
_ROWS = types.Array(types.int64, 2, "C")
_INDICES = types.Array(types.int64, 1, "C")
_NUMBERS = types.Array(types.float64, 1, "C")


@choosing_helper
def _clipped(value: Any, factor: float, prefactor: float, compensated: Any) -> Any:
    """Return the clipped values of eight elements: a prefactor is for 64-bit elements alone."""
    if compensated is None:
        return multiply(value, factor)
    return multiply(multiply(value, prefactor), factor)


@helper
def _add_one(
    values: Any,
    start: int,
    size: int,
    factor: float,
    prefactor: float,
    compensated: Any,
    sums: Any,
    column: int,
) -> None:
    for i in range(0, size, WIDTH):
        value = _clipped(load(values, start + i), factor, prefactor, compensated)
        store(sums, column + i, add(load(sums, column + i), value))


@helper
def _add_four(
    values: Any,
    starts: Any,
    size: int,
    factors: Any,
    prefactors: Any,
    compensated: Any,
    sums: Any,
    column: int,
) -> None:
    """Do what `_add_one` does for four examples in their order, with one load and store of each sum."""
    a, b, c, d = starts
    # Read once: the compiler cannot tell that a store to the sums leaves them as they are.
    f, g, h, k = factors[0], factors[1], factors[2], factors[3]
    p, q, r, s = prefactors[0], prefactors[1], prefactors[2], prefactors[3]
    for i in range(0, size, WIDTH):
        total = load(sums, column + i)
        total = add(total, _clipped(load(values, a + i), f, p, compensated))
        total = add(total, _clipped(load(values, b + i), g, q, compensated))
        total = add(total, _clipped(load(values, c + i), h, r, compensated))
        total = add(total, _clipped(load(values, d + i), k, s, compensated))
        store(sums, column + i, total)


@helper
def _add_examples(
    values: Any,
    length: int,
    starts: Any,
    count: int,
    factors: Any,
    prefactors: Any,
    compensated: Any,
    sums: Any,
    column: int,
) -> None:
    """Add the clipped examples of one array, which begin at `starts`, to the sums in their order."""
    whole, fours = length - length % WIDTH, count - count % 4
    for begin in range(0, whole, TILE):
        size = min(TILE, whole - begin)
        for k in range(0, fours, 4):
            four = starts[k] + begin, starts[k + 1] + begin, starts[k + 2] + begin, starts[k + 3] + begin
            _add_four(values, four, size, factors[k:], prefactors[k:], compensated, sums, column + begin)
        for k in range(fours, count):
            start = starts[k] + begin
            _add_one(values, start, size, factors[k], prefactors[k], compensated, sums, column + begin)
    if whole < length:
        left = length - whole
        total = load_masked(sums, column + whole, left)
        for k in range(count):
            value = load_masked(values, starts[k] + whole, left)
            total = add(total, _clipped(value, factors[k], prefactors[k], compensated))
        store_masked(sums, column + whole, left, total)


@helper
def norm_of_example(
    rows: Any, typecode: Any, chunks: int, compensated: Any, sums: Any, errors: Any
) -> tuple[float, float, float]:
    """Return the norm of an example as (norm_hi, norm_lo, prescale), in the order of `kernels.clip_list`."""
    prescale, count = 1.0, len(rows)
    while True:
        sum_chunks(rows, typecode, 0, chunks, prescale, compensated, sums, errors)
        gather(rows, sums, errors, compensated, sums, errors, chunks)
        total, error = fold(sums, errors, chunks, chunks + count, compensated)
        needed = prescale_for(total)
        if compensated is None or prescale != 1.0 or needed == 1.0:
            break
        prescale = needed
    norm_hi, norm_lo = square_root(total, error)
    return norm_hi, norm_lo, prescale


@default_fpenv
@helper
def _clip_examples(
    rows: Any,
    typecode: Any,
    step: int,
    block: int,
    clip_norm: float,
    skips: bool,
    norms: Any,
    scratch: Any,
    indices: Any,
    sums: Any,
) -> tuple[int, int]:
    count, examples, compensated = len(rows), norms.size, compensated_alone(typecode)
    chunks = rows[count - 1, FIRST_CHUNK] + chunks_of(rows[count - 1, LENGTH])
    size = chunks + count
    chunk_sums, chunk_errors = scratch[:size], scratch[size : 2 * size]
    factors, prefactors = scratch[2 * size : 2 * size + block], scratch[2 * size + block :]
    taken, starts = indices[:block], indices[block:]
    clipped = 0
    for begin in range(0, examples, block):
        end, found = min(begin + block, examples), 0
        for example in range(begin, end):
            norm_hi, norm_lo, prescale = norm_of_example(
                rows, typecode, chunks, compensated, chunk_sums, chunk_errors
            )
            for i in range(count):
                rows[i, SOURCE] += rows[i, LENGTH] * step
            norm = returned_norm(norm_hi, norm_lo, prescale, 1.0, compensated is not None)
            norms[example] = norm
            if math.isfinite(norm_hi):
                factor, prefactor = scale_factor(norm_hi, norm_lo, prescale, norm, clip_norm, 0.0, 1.0)
                clipped += factor * prefactor != 1.0 and norm > 0.0
                taken[found], factors[found], prefactors[found] = example, factor, prefactor
                found += 1
            elif not skips:
                return clipped, example
        column = 0
        for i in range(count):
            length = rows[i, LENGTH]
            values = view(rows[i, SOURCE] - end * length * step, examples * length, typecode)
            for k in range(found):
                starts[k] = taken[k] * length
            _add_examples(values, length, starts, found, factors, prefactors, compensated, sums, column)
            column += length
    return clipped, examples


@kernel(
    lambda typecode: (
        *(_ROWS, typecode_type(typecode), _INT, _INT, _FLOAT, types.boolean),
        *(_NUMBERS, _NUMBERS, _INDICES, _NUMBERS),
    )
)
def clip_examples(
    rows: Any,
    typecode: Any,
    step: int,
    block: int,
    clip_norm: float,
    skips: bool,
    norms: Any,
    scratch: Any,
    indices: Any,
    sums: Any,
) -> tuple[int, int]:
    """Set the norm of each example, and add up the clipped ones; return (number clipped, where it ended).

    The rows are those of the first example, whose reals take `step` bytes. It ends at an example whose norm
    is not finite, unless it skips these.
    """
    # The caller keeps the arrays.
    rows, norms, scratch = unowned(rows), unowned(norms), unowned(scratch)
    indices, sums = unowned(indices), unowned(sums)
    return _clip_examples(rows, typecode, step, block, clip_norm, skips, norms, scratch, indices, sums)


@default_fpenv
@helper
def _round(source: Any, target: Any) -> None:
    whole = source.size - source.size % WIDTH
    for i in range(0, whole, WIDTH):
        store(target, i, load(source, i))
    if whole < source.size:
        left = source.size - whole
        store_masked(target, whole, left, load_masked(source, whole, left))


@kernel(lambda typecode: (_INT, _INT, _INT, typecode_type(typecode)))
def round_to(source: int, target: int, length: int, typecode: Any) -> None:
    """Round the float64 numbers at one address to this element type, once, at another address."""
    _round(floats_at(source, length), view(target, length, typecode))
