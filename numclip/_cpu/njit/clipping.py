"""Sum, decide and scale rows as the calls of Python do it: the same helpers, and so the same bits."""

from functools import cache
from typing import Any

import numpy as np
from numba.extending import intrinsic

from numclip._core.contract import FIRST_CHUNK, LENGTH, TYPECODE
from numclip._core.dtypes import FLOAT32, FLOAT64
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import helper, named_helper, outlined_helper
from numclip._cpu.blocks import chunks_of, gather, scale_chunks, sum_chunks
from numclip._cpu.kernels import prescale_for, returned_norm, scale_factor, square_root
from numclip._cpu.sums import fold
from numclip._cpu.typecodes import typecode_type


@cache
def _constant(code: int) -> Any:
    """Make a function for compiled code that returns a typecode."""

    @intrinsic
    def constant(typingctx: Any) -> Any:
        return typecode_type(code)(), lambda context, *_: context.get_dummy_value()

    return constant


_single, _double = _constant(FLOAT32), _constant(FLOAT64)


@helper
def _sum_alone(
    rows: Any, typecode: Any, chunks: int, prescale: float, compensated: Any, sums: Any, errors: Any
) -> None:
    """Sum rows of one typecode: that of row i goes to sums[chunks + i], after those of the chunks."""
    sum_chunks(rows, typecode, 0, chunks, prescale, compensated, sums, errors)
    gather(rows, sums, errors, compensated, sums, errors, chunks)


@helper
def _scale_alone(rows: Any, typecode: Any, chunks: int, factor: float, prefactor: float) -> None:
    """Scale rows of one typecode."""
    scale_chunks(rows, chunks, typecode, 0, chunks, factor, prefactor)


@helper
def _sum_both(
    rows: Any, unused: Any, chunks: int, prescale: float, compensated: Any, sums: Any, errors: Any
) -> None:
    """Sum rows of float32 and float64, as `_sum_alone`."""
    for i in range(len(rows)):
        row, start = rows[i : i + 1], rows[i, FIRST_CHUNK]
        stop = start + chunks_of(rows[i, LENGTH])
        if rows[i, TYPECODE] == FLOAT32:
            sum_chunks(row, _single(), start, stop, prescale, compensated, sums, errors)
        elif rows[i, TYPECODE] == FLOAT64:
            sum_chunks(row, _double(), start, stop, prescale, compensated, sums, errors)
        gather(row, sums, errors, compensated, sums, errors, chunks + i)


@helper
def _scale_both(rows: Any, unused: Any, chunks: int, factor: float, prefactor: float) -> None:
    """Scale rows of float32 and float64."""
    for i in range(len(rows)):
        row, start = rows[i : i + 1], rows[i, FIRST_CHUNK]
        stop = start + chunks_of(rows[i, LENGTH])
        if rows[i, TYPECODE] == FLOAT32:
            scale_chunks(row, chunks, _single(), start, stop, factor, prefactor)
        elif rows[i, TYPECODE] == FLOAT64:
            scale_chunks(row, chunks, _double(), start, stop, factor, prefactor)


@helper
def _given(rows: Any, chunks: int, sums: Any, errors: Any, norm: float) -> tuple[float, float, float]:
    return norm, 0.0, 1.0


@cache
def _norm_of(codes: tuple[int, ...]) -> Any:
    """Make a function that returns (norm_hi, norm_lo, prescale) of rows of these typecodes, one or both."""
    typecode, sum_rows = _constant(codes[0]), _sum_alone if len(codes) == 1 else _sum_both
    is_compensated, compensated = FLOAT64 in codes, True if FLOAT64 in codes else None

    @named_helper(f"_norm_of_{'_'.join(map(str, codes))}")
    def norm_of(rows: Any, chunks: int, sums: Any, errors: Any, given: float) -> tuple[float, float, float]:
        prescale = 1.0
        while True:
            sum_rows(rows, typecode(), chunks, prescale, compensated, sums, errors)
            total, error = fold(sums, errors, chunks, sums.size, compensated)
            needed = prescale_for(total)
            if not is_compensated or prescale != 1.0 or needed == 1.0:
                break
            prescale = needed
        norm_hi, norm_lo = square_root(total, error)
        return norm_hi, norm_lo, prescale

    return norm_of


@cache
def clip_rows_of(codes: tuple[int, ...], is_given: bool) -> Any:
    """Make a function that clips rows of these typecodes, one or both, and returns the norm and the factor.

    The norm is computed or given. `sums` and `errors` have room for those of the chunks, and after them for
    those of the rows.
    """
    typecode, scale_rows = _constant(codes[0]), _scale_alone if len(codes) == 1 else _scale_both
    norm_of, is_wide = _given if is_given else _norm_of(codes), is_given or FLOAT64 in codes
    as_norm = np.float64 if is_wide else np.float32

    @default_fpenv
    @named_helper(f"_clip_rows_{'_'.join(map(str, codes))}_{is_given}", outlined_helper)
    def clip_rows(
        rows: Any,
        chunks: int,
        sums: Any,
        errors: Any,
        given: float,
        limit: float,
        eps: float,
        loss_scale: float,
    ) -> tuple[Any, float]:
        norm_hi, norm_lo, prescale = norm_of(rows, chunks, sums, errors, given)
        norm = returned_norm(norm_hi, norm_lo, prescale, loss_scale, is_wide)
        factor, prefactor = scale_factor(norm_hi, norm_lo, prescale, norm, limit, eps, loss_scale)
        scale_rows(rows, typecode(), chunks, factor, prefactor)
        return as_norm(norm), factor * prefactor

    return clip_rows
