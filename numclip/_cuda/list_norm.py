"""The norm of a list, computed by the last block to arrive, from the sums of its arrays."""

import math
from functools import cache
from typing import Any

from numclip._core import contract
from numclip._core.contract import LANES
from numclip._cuda.arithmetic import power, root
from numclip._cuda.decision import square_root
from numclip._cuda.folds import large_sums, list_sum
from numclip._cuda.grid import THREADS, device, load_double, load_int, store_double
from numclip._cuda.orders import (
    ABSOLUTES,
    MAGNITUDES,
    POWERS,
    PRESCALED_SQUARES,
    SQUARES,
    half_prescale,
)
from numclip._cuda.table import ARRAY_SUMS, NORM_HI, NORMS, PRESCALE, SUM
from numclip._cuda.target import intrinsics
from numclip._cuda.terms import COMPENSATED, PLAIN, Terms, value_of

multiply, sync_block = intrinsics.multiply, intrinsics.sync_block
prescale_for = device(contract.prescale_for)


@cache
def list_norm(summand: str, terms: Terms) -> Any:
    """Make norm(workspace, count, warp, lane, order): a block calls it.

    It returns the norm of the elements as (norm_hi, norm_lo, prescale), as in `contract`.
    """
    sum_large, norms_of_arrays, sum_list = large_sums(terms), _norms_of_arrays(summand), list_sum(terms)
    parts_of = _parts(summand, terms)

    @device
    def norm_of_list(workspace, count, warp, lane, order):
        sum_large(workspace, count, warp, lane)
        prescale = norms_of_arrays(workspace, count, warp, lane, order)
        return parts_of(workspace, sum_list(workspace, count, warp, lane), prescale, order)

    return norm_of_list


@cache
def _norms_of_arrays(summand: str) -> Any:
    """Make the device function that prepares the sums of the arrays for the sum of the list.

    Largest magnitudes are stored, for the powers. Sums of powers are converted to norms; then powers of the
    norms, divided by about the largest magnitude of the list, are summed.
    """

    @device
    def nothing(workspace, count, warp, lane, order):
        return 1.0

    @device
    def keep(workspace, count, warp, lane, order):
        sums, norms = load_int(workspace + 8 * ARRAY_SUMS), load_int(workspace + 8 * NORMS)
        for row in range(LANES * warp + lane, count, THREADS):
            store_double(norms + 8 * row, load_double(sums + SUM * row))
        return 1.0

    @device
    def powers(workspace, count, warp, lane, order):
        sums, norms = load_int(workspace + 8 * ARRAY_SUMS), load_int(workspace + 8 * NORMS)
        of_list = half_prescale(load_double(workspace + 8 * NORM_HI))
        for row in range(LANES * warp + lane, count, THREADS):
            norm = load_double(norms + 8 * row)
            if norm != 0.0 and math.isfinite(norm):
                prescale = half_prescale(norm)
                total = value_of(COMPENSATED.load(sums + SUM * row))
                norm = root(total, order) / prescale / prescale
                store_double(norms + 8 * row, norm)
            store_double(sums + SUM * row, power(multiply(multiply(norm, of_list), of_list), order))
            store_double(sums + SUM * row + 8, 0.0)
        sync_block()
        return of_list

    return {MAGNITUDES: keep, POWERS: powers}.get(summand, nothing)


@cache
def _parts(summand: str, terms: Terms) -> Any:
    """Make parts(workspace, total, prescale, order): the norm in three parts, from the sum of the list."""

    @device
    def of_squares(workspace, total, prescale, order):
        norm_hi, norm_lo = square_root(total, 0.0)
        return norm_hi, norm_lo, 1.0

    @device
    def of_square_pairs(workspace, total, prescale, order):
        norm_hi, norm_lo = square_root(total[0], total[1])
        return norm_hi, norm_lo, prescale_for(total[0])

    @device
    def of_prescaled_squares(workspace, total, prescale, order):
        norm_hi, norm_lo = square_root(total[0], total[1])
        return norm_hi, norm_lo, load_double(workspace + 8 * PRESCALE)

    @device
    def as_it_is(workspace, total, prescale, order):
        return total, 0.0, 1.0

    @device
    def of_pairs(workspace, total, prescale, order):
        return total[0], total[1] if math.isfinite(total[0]) else 0.0, 1.0

    @device
    def of_powers(workspace, total, prescale, order):
        return root(value_of(total), order) / prescale / prescale, 0.0, 1.0

    return {
        (SQUARES, PLAIN): of_squares,
        (SQUARES, COMPENSATED): of_square_pairs,
        (PRESCALED_SQUARES, COMPENSATED): of_prescaled_squares,
        (ABSOLUTES, COMPENSATED): of_pairs,
        (POWERS, COMPENSATED): of_powers,
    }.get((summand, terms), as_it_is)
