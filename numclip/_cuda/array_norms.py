"""The CUDA kernel that computes the norm of each array of a list, from the sums in the workspace."""

from functools import cache
from typing import Any

from numba import cuda, float64, int64

from numclip._core.contract import LANES
from numclip._core.dtypes import FLOAT32, FLOAT64, NOTHING
from numclip._cuda.decision import square_root
from numclip._cuda.folds import fold
from numclip._cuda.grid import WARPS, column, device, load_double, load_int, store_double
from numclip._cuda.kernel import kernel
from numclip._cuda.list_norm import prescale_for
from numclip._cuda.orders import ABSOLUTES, PRESCALED_SQUARES, SQUARES, terms_of
from numclip._cuda.sums import chunk_sum
from numclip._cuda.table import (
    ARRAY_SUMS,
    CHUNK_SUMS,
    FACTOR,
    FIRST_CHUNK,
    NORMS,
    PREFACTOR,
    PRESCALE,
    SOURCE,
    SUM,
    TARGET,
    TYPECODE,
)
from numclip._cuda.target import intrinsics
from numclip._cuda.terms import COMPENSATED, value_of

sync_block = intrinsics.sync_block
store_float, to_float = intrinsics.store(FLOAT32), intrinsics.narrow(FLOAT32)


@cache
def sum_again(typecodes: tuple[int, ...]) -> Any:
    """Make the device function by which a block sums the squares of an array, of prescaled elements."""
    sum_chunk = chunk_sum(PRESCALED_SQUARES, typecodes, False)
    store, load, fold_sums = COMPENSATED.store, COMPENSATED.load, fold(COMPENSATED)

    @device
    def sum_array(workspace, count, row, prescale, warp, lane):
        firsts = column(workspace, count, FIRST_CHUNK) + 8 * row
        begin, end = load_int(firsts), load_int(firsts + 8)
        sums = load_int(workspace + 8 * CHUNK_SUMS)
        for chunk in range(begin + warp, end, WARPS):
            total = sum_chunk(workspace, count, row, chunk, lane, prescale, 2.0)
            if lane == 0:
                store(sums + SUM * chunk, total)
        sync_block()
        if warp == 0:
            fold_sums(sums + SUM * begin, end - begin, lane)
        sync_block()
        total = load(sums + SUM * begin)
        sync_block()
        return total

    return sum_array


@cache
def norm_of_squares(typecodes: tuple[int, ...]) -> Any:
    """Make the norm of order 2 of an array, in a list with 64-bit elements.

    An array whose sum has left the range of float64, though that of the list has not, is summed again: the
    norm of an array that was clipped in place is then divided by the factor.
    """
    again = sum_again(typecodes)

    @device
    def norm(workspace, count, row, warp, lane):
        firsts = column(workspace, count, FIRST_CHUNK) + 8 * row
        if load_int(firsts) == load_int(firsts + 8):
            return 0.0
        address = load_int(workspace + 8 * ARRAY_SUMS) + SUM * row
        total, error = COMPENSATED.load(address)
        prescale = load_double(workspace + 8 * PRESCALE)
        if prescale_for(total) == 1.0:
            norm_hi, norm_lo = square_root(total, error)
            return (norm_hi + norm_lo) / prescale
        if prescale != 1.0:
            total, error = again(workspace, count, row, 1.0, warp, lane)
        prescale = prescale_for(total)
        if prescale != 1.0:
            total, error = again(workspace, count, row, prescale, warp, lane)
        norm_hi, norm_lo = square_root(total, error)
        value = (norm_hi + norm_lo) / prescale
        source = load_int(column(workspace, count, SOURCE) + 8 * row)
        if source == load_int(column(workspace, count, TARGET) + 8 * row):
            value /= load_double(workspace + 8 * FACTOR)
            value /= load_double(workspace + 8 * PREFACTOR)
        return value

    return norm


@cache
def norm_of_array(summand: str, typecodes: tuple[int, ...], has_complex: bool) -> Any:
    """Make norm(workspace, count, row, warp, lane)."""
    compensated = terms_of(summand, typecodes, has_complex) is COMPENSATED

    @device
    def of_narrow_squares(workspace, count, row, warp, lane):
        norm_hi, norm_lo = square_root(load_double(load_int(workspace + 8 * ARRAY_SUMS) + SUM * row), 0.0)
        return norm_hi + norm_lo

    @device
    def of_absolutes(workspace, count, row, warp, lane):
        return load_double(load_int(workspace + 8 * ARRAY_SUMS) + SUM * row)

    @device
    def of_absolute_pairs(workspace, count, row, warp, lane):
        return value_of(COMPENSATED.load(load_int(workspace + 8 * ARRAY_SUMS) + SUM * row))

    @device
    def as_kept(workspace, count, row, warp, lane):
        return load_double(load_int(workspace + 8 * NORMS) + 8 * row)

    if summand == SQUARES:
        return norm_of_squares(typecodes) if compensated else of_narrow_squares
    if summand == ABSOLUTES:
        return of_absolute_pairs if compensated else of_absolutes
    return as_kept


@kernel(lambda summand, typecodes, has_complex: (int64, int64, float64, int64, int64))
def norms_of_arrays(summand: str, typecodes: tuple[int, ...], has_complex: bool) -> Any:
    """Make the kernel; a block takes an array. `summand` is that of the last sums, SQUARES also if prescaled.

    A norm is divided by `loss_scale`, and is written to the array of float64 at `doubles` if the elements
    have 64 bits, else to that of float32 at `floats`.
    """
    norm = norm_of_array(summand, typecodes, has_complex)

    @cuda.jit
    def write_norms(workspace, count, loss_scale, floats, doubles):
        row = int64(cuda.blockIdx.x)
        warp, lane = int64(cuda.threadIdx.x // LANES), int64(cuda.threadIdx.x % LANES)
        typecode = load_int(column(workspace, count, TYPECODE) + 8 * row)
        if typecode == NOTHING:
            return
        value = norm(workspace, count, row, warp, lane) / loss_scale
        if warp == 0 and lane == 0:
            if typecode == FLOAT64:
                store_double(doubles + 8 * row, value)
            else:
                store_float(floats + 4 * row, to_float(value))

    return write_norms
