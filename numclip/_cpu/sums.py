"""The sum of squares in the order that numclip defines, and its error.

An array is summed in chunks of 4096 elements. A chunk is 32 float64 lanes, lane l taking elements l, l + 32,
l + 64 and so on; then the lanes are halved until one is left. The sums of the chunks are summed in the same
way, and so are the sums of the arrays. The order does not depend on threads: every distribution of the chunks
to blocks gives the same bits.

In a list with elements of 64 bits, the last bits of that sum would show in the results. There the sums are
compensated: each lane also adds up the rounding errors of its squares and sums, which are exact. The sum is
as accurate as if computed in twice the precision (Ogita, Rump and Oishi, "Accurate sum and dot product", SIAM
J. Sci. Comput. 26, 2005).
"""

from typing import Any

from numclip._core.contract import CHUNK, LANES
from numclip._core.jit import choosing_helper, helper, named_helper
from numclip._cpu.simd import (
    WIDTH,
    absolute,
    add,
    add_square,
    first_lane,
    larger_magnitude,
    maximum,
    minimum,
    multiply,
    shift_lanes_down,
    square,
    square_error,
    subtract,
    zeros,
)
from numclip._cpu.simd_memory import load, load_masked, prefetch


@helper
def _add_term(lanes: Any, value: Any, error: Any, prescale: float, values: Any) -> Any:
    return add(lanes, value)


@helper
def _add_square(lanes: Any, value: Any, error: Any, prescale: float, values: Any) -> Any:
    return add_square(lanes, value, values)


@helper
def horizontal_sum(lanes: Any) -> tuple[float, float]:
    lanes = add(lanes, shift_lanes_down(lanes, 4))
    lanes = add(lanes, shift_lanes_down(lanes, 2))
    return first_lane(add(lanes, shift_lanes_down(lanes, 1))), 0.0


@helper
def _no_pairs() -> Any:
    return zeros(), zeros()


@helper
def add_pairs(lanes: Any, others: Any) -> Any:
    """Add pairs of a sum and its error; as no sum is negative, the rounding error of their sum is exact."""
    total = add(lanes[0], others[0])
    lost = subtract(minimum(lanes[0], others[0]), subtract(total, maximum(lanes[0], others[0])))
    return total, add(lanes[1], add(others[1], lost))


@helper
def _add_pair(lanes: Any, value: Any, error: Any, prescale: float, values: Any) -> Any:
    return add_pairs(lanes, (value, error))


@helper
def _add_square_pair(lanes: Any, value: Any, error: Any, prescale: float, values: Any) -> Any:
    squared = square(value)
    return add_pairs(lanes, (squared, square_error(value, squared)))


@helper
def _add_prescaled_square_pair(lanes: Any, value: Any, error: Any, prescale: float, values: Any) -> Any:
    return _add_square_pair(lanes, multiply(value, prescale), error, prescale, values)


@helper
def horizontal_sum_of_pairs(lanes: Any) -> tuple[float, float]:
    lanes = add_pairs(lanes, (shift_lanes_down(lanes[0], 4), shift_lanes_down(lanes[1], 4)))
    lanes = add_pairs(lanes, (shift_lanes_down(lanes[0], 2), shift_lanes_down(lanes[1], 2)))
    lanes = add_pairs(lanes, (shift_lanes_down(lanes[0], 1), shift_lanes_down(lanes[1], 1)))
    return first_lane(lanes[0]), first_lane(lanes[1])


def _sum32(name: str, empty: Any, accumulate: Any, join: Any, finish: Any) -> Any:
    """Make the sum of one kind of term; functions as arguments at run time could not be cached on disk."""

    @named_helper(name)
    def sum32(values: Any, errors: Any, start: int, stop: int, prescale: float) -> tuple[float, float]:
        a, b, c, d = empty(), empty(), empty(), empty()
        whole = stop - (stop - start) % LANES
        for i in range(start, whole, LANES):
            j, k, m = i + WIDTH, i + 2 * WIDTH, i + 3 * WIDTH
            prefetch(values, i)
            a = accumulate(a, load(values, i), load(errors, i), prescale, values)
            b = accumulate(b, load(values, j), load(errors, j), prescale, values)
            c = accumulate(c, load(values, k), load(errors, k), prescale, values)
            d = accumulate(d, load(values, m), load(errors, m), prescale, values)
        if whole < stop:
            i, j, k, m = whole, whole + WIDTH, whole + 2 * WIDTH, whole + 3 * WIDTH
            a = accumulate(
                a, load_masked(values, i, stop - i), load_masked(errors, i, stop - i), prescale, values
            )
            b = accumulate(
                b, load_masked(values, j, stop - j), load_masked(errors, j, stop - j), prescale, values
            )
            c = accumulate(
                c, load_masked(values, k, stop - k), load_masked(errors, k, stop - k), prescale, values
            )
            d = accumulate(
                d, load_masked(values, m, stop - m), load_masked(errors, m, stop - m), prescale, values
            )
        return finish(join(join(a, c), join(b, d)))

    return sum32


def _make_fold(name: str, sum_of_sums: Any) -> Any:
    @named_helper(name)
    def fold(sums: Any, errors: Any, begin: int, end: int) -> tuple[float, float]:
        count = end - begin
        if count == 0:
            return 0.0, 0.0
        while count > 1:
            chunks = (count + CHUNK - 1) // CHUNK
            for chunk in range(chunks):
                start = begin + chunk * CHUNK
                stop = min(start + CHUNK, begin + count)
                sums[begin + chunk], errors[begin + chunk] = sum_of_sums(sums, errors, start, stop, 1.0)
            count = chunks
        return sums[begin], errors[begin]

    return fold


# Each takes `values`, their errors, and the range to sum, and returns (sum, error). Sums that ignore errors
# are given the values in their place, and return 0 as the error.
_sum_of_squares = _sum32("_sum_of_squares", zeros, _add_square, add, horizontal_sum)
_sum_of_sums = _sum32("_sum_of_sums", zeros, _add_term, add, horizontal_sum)


def _sum32_of_pairs(name: str, accumulate: Any) -> Any:
    return _sum32(name, _no_pairs, accumulate, add_pairs, horizontal_sum_of_pairs)


_sum_of_square_pairs = _sum32_of_pairs("_sum_of_square_pairs", _add_square_pair)
_sum_of_prescaled_square_pairs = _sum32_of_pairs("_sum_of_prescaled_square_pairs", _add_prescaled_square_pair)
_sum_of_pairs = _sum32_of_pairs("_sum_of_pairs", _add_pair)
_fold, _fold_pairs = _make_fold("_fold_sums", _sum_of_sums), _make_fold("_fold_pairs", _sum_of_pairs)


@choosing_helper
def sum_of_squares(
    values: Any, start: int, stop: int, prescale: float, compensated: Any
) -> tuple[float, float]:
    """Return the sum of the squares of a chunk, of elements multiplied by `prescale`, and its error.

    `compensated` is None, a type that the compiler knows, for a list without 64-bit elements: the error is 0,
    and the prescale is 1.
    """
    if compensated is None:
        return _sum_of_squares(values, values, start, stop, prescale)
    if prescale == 1.0:
        return _sum_of_square_pairs(values, values, start, stop, prescale)
    return _sum_of_prescaled_square_pairs(values, values, start, stop, prescale)


@choosing_helper
def fold(sums: Any, errors: Any, begin: int, end: int, compensated: Any) -> tuple[float, float]:
    """Sum the sums from `begin` to `end`, in chunks again and again until one is left; they are overwritten.

    The arguments are a range, not a slice: slicing counts references, which takes longer than a short sum.
    """
    if compensated is None:
        return _fold(sums, errors, begin, end)
    return _fold_pairs(sums, errors, begin, end)


# --- other orders of the norm than 2, in the same order of the elements -------------------------------------


@helper
def _add_absolute(lanes: Any, value: Any, error: Any, prescale: float, values: Any) -> Any:
    return add(lanes, absolute(value))


@helper
def _add_absolute_pair(lanes: Any, value: Any, error: Any, prescale: float, values: Any) -> Any:
    return add_pairs(lanes, (absolute(value), zeros()))


@helper
def _keep_larger(lanes: Any, value: Any, error: Any, prescale: float, values: Any) -> Any:
    return larger_magnitude(lanes, absolute(value))


@helper
def _horizontal_maximum(lanes: Any) -> tuple[float, float]:
    lanes = larger_magnitude(lanes, shift_lanes_down(lanes, 4))
    lanes = larger_magnitude(lanes, shift_lanes_down(lanes, 2))
    return first_lane(larger_magnitude(lanes, shift_lanes_down(lanes, 1))), 0.0


_sum_of_absolutes = _sum32("_sum_of_absolutes", zeros, _add_absolute, add, horizontal_sum)
_sum_of_absolute_pairs = _sum32_of_pairs("_sum_of_absolute_pairs", _add_absolute_pair)
_largest = _sum32("_largest", zeros, _keep_larger, larger_magnitude, _horizontal_maximum)


@choosing_helper
def sum_of_absolutes(
    values: Any, start: int, stop: int, prescale: float, compensated: Any
) -> tuple[float, float]:
    """Return the sum of the absolute values of a chunk, and its error."""
    if compensated is None:
        return _sum_of_absolutes(values, values, start, stop, prescale)
    return _sum_of_absolute_pairs(values, values, start, stop, prescale)


@helper
def largest_absolute(
    values: Any, start: int, stop: int, prescale: float, compensated: Any
) -> tuple[float, float]:
    """Return the largest absolute value of a chunk, NaN if it has one; and 0."""
    return _largest(values, values, start, stop, prescale)
