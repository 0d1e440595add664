"""Magnitudes, powers and roots in float64, by the same operations on every device.

The functions of the device's own library are accurate to two units in the last place, an error that a root of
a small order multiplies. Here a logarithm has two parts, so that a power is accurate to one unit.
"""

import math
from functools import cache
from typing import Any

from numclip._cuda.decision import square_root
from numclip._cuda.grid import device
from numclip._cuda.target import intrinsics

multiply, fused_multiply_add = intrinsics.multiply, intrinsics.fused_multiply_add

# log(2) in two parts: the first has 33 bits, so that its product with an exponent is exact.
LOG_2_HI, LOG_2_LO = float.fromhex("0x1.62e42fefp-1"), float.fromhex("0x1.473de6af278edp-34")
SQRT_HALF = math.sqrt(0.5)
# For larger logarithms, the power is 0 or infinite.
LARGEST_LOGARITHM = 800.0


@device
def magnitude(real, imaginary):
    """Return the absolute value of a complex number: its squares are summed with their errors."""
    if math.isnan(real) or math.isnan(imaginary):
        return math.inf if math.isinf(real) or math.isinf(imaginary) else math.nan
    larger, smaller = max(abs(real), abs(imaginary)), min(abs(real), abs(imaginary))
    if larger == 0.0 or math.isinf(larger):
        return larger
    _, exponent = math.frexp(larger)
    x, y = math.ldexp(larger, -exponent), math.ldexp(smaller, -exponent)
    square, other = multiply(x, x), multiply(y, y)
    total = square + other
    lost = (square - total) + other
    lost += fused_multiply_add(x, x, -square) + fused_multiply_add(y, y, -other)
    root, rest = square_root(total, lost)
    return math.ldexp(root + rest, exponent)


@cache
def polynomial(coefficients: tuple[float, ...]) -> Any:
    """Make the device function of a polynomial, from its coefficients, the constant one first."""
    constant = coefficients[0]
    if len(coefficients) == 1:

        @device
        def value(x):
            return constant

        return value
    rest = polynomial(coefficients[1:])

    @device
    def next_value(x):
        return fused_multiply_add(rest(x), x, constant)

    return next_value


# The series of (atanh(s) / s - 1) / s**2 in s**2, and of (exp(t) - 1 - t) / t**2 in t.
_atanh = polynomial(tuple(1.0 / k for k in range(3, 27, 2)))
_exp = polynomial(tuple(1.0 / math.factorial(k) for k in range(2, 16)))


@device
def logarithm(x):
    """Return the logarithm of a positive number in two parts: 2 atanh((m - 1) / (m + 1)) + e log(2)."""
    fraction, exponent = math.frexp(x)
    if fraction < SQRT_HALF:
        fraction, exponent = 2.0 * fraction, exponent - 1
    above, below = fraction - 1.0, fraction + 1.0
    cut_off = fraction - (below - 1.0)
    s = above / below
    rest = (fused_multiply_add(-s, below, above) - multiply(s, cut_off)) / below
    square = multiply(s, s)
    low = 2.0 * fused_multiply_add(s, multiply(square, _atanh(square)), rest)
    large, small = multiply(exponent, LOG_2_HI), multiply(exponent, LOG_2_LO)
    high = large + 2.0 * s
    return high, ((large - high) + 2.0 * s) + (small + low)


@device
def exponential(high, low):
    """Return the exponential of high + low."""
    if high < -LARGEST_LOGARITHM:
        return 0.0
    if high > LARGEST_LOGARITHM:
        return math.inf
    exponent = math.floor(high / LOG_2_HI + 0.5)
    reduced = fused_multiply_add(-float(exponent), LOG_2_HI, high)
    low = fused_multiply_add(-float(exponent), LOG_2_LO, low)
    t = reduced + low
    rest = (reduced - t) + low
    above_one = t + fused_multiply_add(multiply(t, t), _exp(t), rest)
    return math.ldexp(1.0 + above_one, int(exponent))


@device
def power(x, order):
    """Return x**order, of a number that is not negative."""
    if x == 0.0 or not math.isfinite(x):
        return x
    high, low = logarithm(x)
    product = multiply(high, order)
    return exponential(product, fused_multiply_add(low, order, fused_multiply_add(high, order, -product)))


@device
def root(x, order):
    """Return x**(1 / order), of a number that is not negative; the exponent is not rounded."""
    if x == 0.0 or not math.isfinite(x):
        return x
    high, low = logarithm(x)
    quotient = high / order
    return exponential(quotient, (fused_multiply_add(-quotient, order, high) + low) / order)
