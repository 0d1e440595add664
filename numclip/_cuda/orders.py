"""The summands of a norm of each order: squares, absolute values, magnitudes or powers."""

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

# The summands. A kernel sums one of them, the norm of a list takes one or two kernels. Of magnitudes, the
# largest is kept.
SQUARES, PRESCALED_SQUARES = "squares", "prescaled squares"
ABSOLUTES, MAGNITUDES, POWERS = "absolutes", "magnitudes", "powers"


def summands_of(order: float, has_float64: bool) -> tuple[str, ...]:
    """Return the summands of a norm, in the order of their kernels."""
    if order == 2.0:
        # The second kernel returns at once, unless the sum of the first has left the range of float64.
        return (SQUARES, PRESCALED_SQUARES) if has_float64 else (SQUARES,)
    if order == 1.0:
        return (ABSOLUTES,)
    # Powers are those of elements scaled by the largest magnitude of their array: none overflows.
    return (MAGNITUDES,) if order == math.inf else (MAGNITUDES, POWERS)


def terms_of(summand: str, typecodes: tuple[int, ...], has_complex: bool) -> Terms:
    """Return the arithmetic of the sums.

    Absolute values of complex elements are summed as those of 64-bit elements are.
    """
    if summand == MAGNITUDES:
        return LARGEST
    narrow = FLOAT64 not in typecodes and summand != POWERS and not (summand == ABSOLUTES and has_complex)
    return PLAIN if narrow else COMPENSATED


@cache
def accumulate(summand: str, typecode: int, terms: Terms) -> Any:
    """Make accumulate(total, value, prescale, order), of a value of this typecode, as a float64."""
    if summand == PRESCALED_SQUARES:
        add_square = _add_square(FLOAT64, terms)  # squares of prescaled elements are rounded

        @device
        def add_prescaled_square(total, value, prescale, order):
            return add_square(total, multiply(value, prescale))

        return add_prescaled_square
    if summand == SQUARES:
        add_square = _add_square(typecode, terms)

        @device
        def add_plain_square(total, value, prescale, order):
            return add_square(total, value)

        return add_plain_square
    add = terms.add
    if summand == POWERS:

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
    """Make the device function that adds the square of a value to a total."""
    if terms is PLAIN:
        return intrinsics.add_square(typecode)
    add, exact = terms.add, typecode != FLOAT64

    @device
    def add_square(total, value):
        square = multiply(value, value)
        return add(total, (square, 0.0 if exact else fused_multiply_add(value, value, -square)))

    return add_square


# --- the prescale: a power of two by which elements are multiplied ------------------------------------------


@device
def half_prescale(largest):
    """Return the power of two that, applied twice, makes the largest magnitude somewhat less than 1."""
    if not math.isfinite(largest):
        return 1.0
    _, exponent = math.frexp(largest)
    return math.ldexp(1.0, -((exponent + 1) >> 1))


@cache
def prescale_of(summand: str) -> Any:
    """Make prescale(workspace, row): the power of two that the elements of an array are multiplied by."""

    @device
    def none(workspace, row):
        return 1.0

    @device
    def of_list(workspace, row):
        return load_double(workspace + 8 * PRESCALE)

    @device
    def of_array(workspace, row):
        return half_prescale(load_double(load_int(workspace + 8 * NORMS) + 8 * row))

    return {PRESCALED_SQUARES: of_list, POWERS: of_array}.get(summand, none)
