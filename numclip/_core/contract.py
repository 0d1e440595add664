"""The contract in numbers: the order of the sum, the row of a packed list, the norm and the factor.

Plain functions, which each target compiles. Every product that is added to something is exact, so that FMA
contraction cannot change a result.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

# --- the order of the sum -----------------------------------------------------------------------------------

# An array is cut into chunks of CHUNK elements; a chunk has LANES lanes.
CHUNK, LANES = 4096, 32


def chunks_of(length: int) -> int:
    """Return how many chunks an array of this length has."""
    return (length + CHUNK - 1) // CHUNK


# --- a packed list: one row of integers per entry, in the order of the list ---------------------------------

# The length counts real numbers, so that a complex element counts twice. A target of 0 means that nothing is
# to be written, a source equal to the target that the entry is clipped in place. The chunks of all entries
# are numbered consecutively.
SOURCE, TARGET, LENGTH, TYPECODE, FIRST_CHUNK = range(5)
COLUMNS = 5


def row_search(first_chunk: Callable[[Any, int], int]) -> Callable[[Any, int, int], int]:
    """Make the search for the row that holds a chunk; `first_chunk(rows, i)` reads a row on the target."""

    def row_of(rows: Any, count: int, chunk: int) -> int:
        low, high = 0, count
        while high - low > 1:
            middle = (low + high) // 2
            if first_chunk(rows, middle) <= chunk:
                low = middle
            else:
                high = middle
        return low

    return row_of


# --- the norm and the factor --------------------------------------------------------------------------------

# In a sum of float64 squares below SMALLEST_SUM, squares may have underflowed; an infinite sum has
# overflowed. Either is computed again over elements multiplied by a power of two, which is exact: the
# prescale, as in LAPACK's scaled sum of squares. Each prescale leaves room on both sides: 2**600 brings
# 2**-1074 up to 2**-474, and 2**-600 brings 2**1024 down to 2**424.
SMALLEST_SUM = 1e-290
UP, DOWN = 2.0**600, 2.0**-600
SMALLEST_NORMAL = 2.0**-1022

# Adding and then subtracting UPPER_HALF rounds a number from 0.5 to 2 to a multiple of 2**-26: its upper
# half. The lower half, the rest, has 26 bits, so that all products of halves are exact (Dekker, 1971).
UPPER_HALF = 1.5 * 2.0**26


def prescale_for(total: float) -> float:
    """Return the prescale that a sum of squares needs: 1 unless it has left the range of float64."""
    if total < SMALLEST_SUM:
        return UP
    if total == math.inf:
        return DOWN
    return 1.0


def square_root(total: float, error: float) -> tuple[float, float]:
    """Return the root of total + error as (norm_hi, norm_lo), whose exact sum has some 100 correct bits."""
    if total == 0.0 or not math.isfinite(total):
        return math.sqrt(total), 0.0
    # An even exponent e: total = fraction * 2**e, and the root of the fraction is in [0.5, 1).
    _, exponent = math.frexp(total)
    exponent += exponent & 1
    fraction = math.ldexp(total, -exponent)
    root = math.sqrt(fraction)
    high = (root + UPPER_HALF) - UPPER_HALF
    low = root - high
    residual = ((fraction - high * high) - 2.0 * high * low) - low * low
    rest = (residual + math.ldexp(error, -exponent)) / (2.0 * root)
    half = exponent // 2
    return math.ldexp(root, half), math.ldexp(rest, half)


def returned_norm(
    norm_hi: float, norm_lo: float, prescale: float, loss_scale: float, compensated: bool
) -> float:
    """Return the norm as the caller gets it: rounded to float32 unless the list has 64-bit elements."""
    norm = (norm_hi + norm_lo) / prescale
    if loss_scale != 1.0:
        norm /= loss_scale
    return norm if compensated else np.float64(np.float32(norm))


def quotient(dividend: float, divisor_hi: float, divisor_lo: float, scale: int) -> tuple[float, float]:
    """Return dividend / ((divisor_hi + divisor_lo) * 2**scale) as (factor, prefactor).

    The error of the factor is at most one rounding and some 2**-50 of an ulp. The prefactor is 1 unless the
    factor alone would be subnormal and so lose bits: an element is multiplied by both.
    """
    divisor, exponent = math.frexp(divisor_hi)
    dividend, dividend_exponent = math.frexp(dividend)
    ratio = dividend / divisor
    high, divisor_high = (ratio + UPPER_HALF) - UPPER_HALF, (divisor + UPPER_HALF) - UPPER_HALF
    low, divisor_low = ratio - high, divisor - divisor_high
    residual = (dividend - high * divisor_high) - high * divisor_low
    residual = (residual - low * divisor_high) - low * divisor_low
    ratio += (residual / ratio - math.ldexp(divisor_lo, -exponent)) * ratio / divisor
    power = dividend_exponent - exponent - scale
    factor = math.ldexp(ratio, power)
    if factor < SMALLEST_NORMAL:
        # The prefactor is four times the power of two, which leaves a factor of less than 1/2: the underflow
        # error of element * prefactor then adds less than a quarter of the result's last place.
        shift = max(power + 2, -1074)
        return math.ldexp(ratio, power - shift), math.ldexp(1.0, shift)
    return factor, 1.0


def scale_factor_by(quotient: Callable[..., tuple[float, float]]) -> Callable[..., tuple[float, float]]:
    """Make the function that computes factor and prefactor, from the `quotient` of a target."""

    def scale_factor(
        norm_hi: float,
        norm_lo: float,
        prescale: float,
        returned: float,
        clip_norm: float,
        eps: float,
        loss_scale: float,
    ) -> tuple[float, float]:
        """Return (factor, prefactor): the clipped value of an element is element * prefactor * factor.

        With norm = (norm_hi + norm_lo) / prescale, of elements that are not yet divided by loss_scale:
        factor = clip_norm / (norm + eps * loss_scale), or 1 / loss_scale where nothing is clipped.
        """
        if not math.isfinite(norm_hi):
            return math.nan, 1.0
        if clip_norm == 0.0:
            return 0.0, 1.0
        norm = (norm_hi + norm_lo) / prescale / loss_scale + eps
        if norm <= clip_norm or returned + eps <= clip_norm:
            return (1.0, 1.0) if loss_scale == 1.0 else quotient(1.0, loss_scale, 0.0, 0)
        _, prescale_exponent = math.frexp(prescale)
        if eps == 0.0:
            return quotient(clip_norm, norm_hi, norm_lo, 1 - prescale_exponent)
        # norm + eps * loss_scale as (high + low) * 2**scale, by Knuth's sum and Dekker's product.
        first, exponent = math.frexp(norm_hi)
        exponent_of_norm = exponent + 1 - prescale_exponent
        left, left_exponent = math.frexp(eps)
        right, right_exponent = math.frexp(loss_scale)
        product, exponent_of_product = left * right, left_exponent + right_exponent
        left_high, right_high = (left + UPPER_HALF) - UPPER_HALF, (right + UPPER_HALF) - UPPER_HALF
        left_low, right_low = left - left_high, right - right_high
        rest = ((left_high * right_high - product) + left_high * right_low) + left_low * right_high
        rest += left_low * right_low
        scale = max(exponent_of_norm, exponent_of_product)
        if norm_hi == 0.0:
            scale = exponent_of_product
        first = math.ldexp(first, exponent_of_norm - scale)
        second = math.ldexp(product, exponent_of_product - scale)
        high = first + second
        back = high - first
        low = (first - (high - back)) + (second - back)
        low += math.ldexp(norm_lo, 1 - prescale_exponent - scale)
        low += math.ldexp(rest, exponent_of_product - scale)
        return quotient(clip_norm, high, low, scale)

    return scale_factor
