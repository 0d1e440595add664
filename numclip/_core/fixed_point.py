"""An exact sum of float64 numbers: the same in every order, and over any number of processes.

The sum is a fixed-point number of limbs of 32 bits, each in an int64 of its own. Two sums are added limb by
limb, which is exact and associative: MPI's own integer addition does it. Carries wait: once carried, 2**31
sums can be added before a limb overflows.

Plain functions, which each target compiles.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMB_BITS = 32
# Limb 0 counts in units of this power of two, below the last bit of every float64. The highest limb ends at
# 2**1056: the largest float64 fits 2**32 times.
LOWEST = -1152
LIMBS = (1056 - LOWEST) // LIMB_BITS

# After the limbs: the number of infinite numbers, and of NaN.
INFINITE, NAN = LIMBS, LIMBS + 1
WORDS = LIMBS + 2

_MASK = 2**LIMB_BITS - 1


def zeros() -> NDArray[np.int64]:
    """Return the words of an empty sum."""
    return np.zeros(WORDS, np.int64)


def add(words: Any, number: float) -> None:
    """Add a number."""
    if math.isnan(number):
        words[NAN] += 1
        return
    if math.isinf(number):
        words[INFINITE] += 1
        return
    fraction, exponent = math.frexp(abs(number))
    mantissa, sign = int(fraction * 2.0**53), -1 if number < 0.0 else 1
    position = exponent - 53 - LOWEST
    limb, shift = position // LIMB_BITS, position % LIMB_BITS
    # 53 bits, shifted left by fewer than 32, take three limbs.
    low, high = (mantissa & _MASK) << shift, (mantissa >> LIMB_BITS) << shift
    middle = (low >> LIMB_BITS) + (high & _MASK)
    words[limb] += sign * (low & _MASK)
    words[limb + 1] += sign * middle
    words[limb + 2] += sign * (high >> LIMB_BITS)


def carry(words: Any) -> None:
    """Bring each limb but the highest into the range from 0 to 2**32 - 1; the number is the same."""
    carried = 0
    for i in range(LIMBS - 1):
        limb = words[i] + carried
        words[i] = limb & _MASK
        carried = limb >> LIMB_BITS
    words[LIMBS - 1] += carried


def pair_of(words: Any) -> tuple[float, float]:
    """Return a sum that has been carried and is not negative as (total, error), accurate to 105 bits.

    The total is the sum rounded once. It is infinite or NaN where a number was.
    """
    if words[NAN] > 0:
        return math.nan, 0.0
    if words[INFINITE] > 0:
        return math.inf, 0.0
    top = LIMBS - 1
    while top > 4 and words[top] == 0:
        top -= 1
    # Four limbs from the highest bit that is set, and the bits below them.
    _, bits = math.frexp(float(words[top]))
    shift = LIMB_BITS - bits
    first = (words[top] << shift) & _MASK | words[top - 1] >> bits
    second = (words[top - 1] << shift) & _MASK | words[top - 2] >> bits
    third = (words[top - 2] << shift) & _MASK | words[top - 3] >> bits
    fourth = (words[top - 3] << shift) & _MASK | words[top - 4] >> bits
    below = words[top - 4] & ((1 << bits) - 1)
    for i in range(top - 4):
        below |= words[i]
    upper = first << 21 | second >> 11
    lower = (second & 0x7FF) << 42 | third << 10 | fourth >> 22
    # A sticky bit for all bits that are cut off: a sum close to a tie must not be rounded as a tie.
    lower |= (below | fourth & 0x3FFFFF) != 0
    tail = float(lower) * 2.0**-53
    total = float(upper) + tail
    error = (float(upper) - total) + tail
    exponent = LOWEST + LIMB_BITS * top - shift - 21
    return math.ldexp(total, exponent), math.ldexp(error, exponent)
