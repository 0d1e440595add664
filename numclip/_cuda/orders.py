"""What is summed for a norm of each order: squares, absolute values, the largest of them, or powers."""

import math
from functools import cache
from typing import Any

from numclip._core.dtypes import FLOAT64
from numclip._cuda.arithmetic import power
from numclip._cuda.grid import device, load_double, load_int
from numclip._cuda.table import NORMS, PRESCALE
from numclip._cuda.target import intrinsics
from numclip._cuda.terms import COMPENSATED, LARGEST, PLAIN, Terms

multiply, fused_multiply_add = intrinsics.multiply, intrinsics.fused_multiply_add

# The kinds of sums. A kernel takes one; the norm of a list takes one or two, one after the other.
SQUARES, PRESCALED_SQUARES = "squares", "prescaled squares"
ABSOLUTES, MAGNITUDES, POWERS = "absolutes", "magnitudes", "powers"


def sums_of(order: float, wide: bool) -> tuple[str, ...]:
    """Return the kinds of sums that a norm takes; `wide` is whether the list has 64-bit elements."""
    if order == 2.0:
        # The second one is for a sum that has left the range of float64: else it ends at once.
        return (SQUARES, PRESCALED_SQUARES) if wide else (SQUARES,)
    if order == 1.0:
        return (ABSOLUTES,)
    # Powers are taken of elements divided by the largest one, or nearly so.
    return (MAGNITUDES,) if order == math.inf else (MAGNITUDES, POWERS)


def terms_of(kind: str, typecodes: tuple[int, ...], paired: bool) -> Terms:
    """Return how the sums are carried; `paired` is whether the list has complex elements.

    The absolute value of a complex element is a float64 of its own, like an element of 64 bits.
    """
    if kind == MAGNITUDES:
        return LARGEST
    narrow = FLOAT64 not in typecodes and kind != POWERS and not (kind == ABSOLUTES and paired)
    return PLAIN if narrow else COMPENSATED


@cache
def accumulate(kind: str, typecode: int, terms: Terms) -> Any:
    """Make accumulate(total, value, prescale, order), of a value of this typecode, as a float64."""
    if kind == PRESCALED_SQUARES:
        add_square = _add_square(FLOAT64, terms)  # what may underflow has no exact square

        @device
        def add_prescaled_square(total, value, prescale, order):
            return add_square(total, multiply(value, prescale))

        return add_prescaled_square
    if kind == SQUARES:
        add_square = _add_square(typecode, terms)

        @device
        def add_plain_square(total, value, prescale, order):
            return add_square(total, value)

        return add_plain_square
    add = terms.add
    if kind == POWERS:

        @device
        def add_power(total, value, prescale, order):
            # In two steps: the smallest numbers are further from 1 than the largest power of two.
            scaled = multiply(multiply(abs(value), prescale), prescale)
            return add(total, (power(scaled, order), 0.0))

        return add_power
    if terms is COMPENSATED:

        @device
        def add_absolute_pair(total, value, prescale, order):
            return add(total, (abs(value), 0.0))

        return add_absolute_pair

    @device
    def add_absolute(total, value, prescale, order):
        return add(total, abs(value))

    return add_absolute


@cache
def _add_square(typecode: int, terms: Terms) -> Any:
    """Make the sum of a total and the square of a value."""
    if terms is PLAIN:
        return intrinsics.add_square(typecode)
    add, exact = terms.add, typecode != FLOAT64

    @device
    def add_square(total, value):
        square = multiply(value, value)
        return add(total, (square, 0.0 if exact else fused_multiply_add(value, value, -square)))

    return add_square


# --- the power of two by which elements are multiplied ------------------------------------------------------


@device
def half_prescale(largest):
    """Return what twice brings the largest magnitude of an array to somewhat less than 1."""
    if not math.isfinite(largest):
        return 1.0
    _, exponent = math.frexp(largest)
    return math.ldexp(1.0, -((exponent + 1) >> 1))


@cache
def prescale_of(kind: str) -> Any:
    """Make prescale(workspace, row): by what the elements of an array are multiplied before all else."""

    @device
    def none(workspace, row):
        return 1.0

    @device
    def of_list(workspace, row):
        return load_double(workspace + 8 * PRESCALE)

    @device
    def of_array(workspace, row):
        return half_prescale(load_double(load_int(workspace + 8 * NORMS) + 8 * row))

    return {PRESCALED_SQUARES: of_list, POWERS: of_array}.get(kind, none)
