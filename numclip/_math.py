"""The formula of the scale factor, as plain functions that each target compiles."""

import math

import numpy as np

# A sum of squares below this may have lost squares to underflow; above float64 it has overflowed. The sum
# is then taken again over elements multiplied by a power of two, which is exact. The two units leave room on
# both sides: 2**600 brings 2**-1074 up to 2**-474, and 2**-600 brings 2**1024 down to 2**424.
SMALLEST_SUM = 1e-290
UP, DOWN = 2.0**600, 2.0**-600
SMALLEST_NORMAL = 2.0**-1022


def rescue_unit(total: float) -> float:
    """Return what to multiply the elements by before they are squared: 1 where `total` can be trusted."""
    if total < SMALLEST_SUM:
        return UP
    if total == math.inf:
        return DOWN
    return 1.0


def returned_norm(root: float, unit: float, single: bool) -> float:
    """Return the norm root / unit as the caller gets it: rounded to float32 if `single`."""
    norm = root / unit
    return np.float64(np.float32(norm)) if single else norm


def scale_factor(root: float, unit: float, returned: float, clip_norm: float) -> tuple[float, float]:
    """Return (factor, step): each element times step, times factor, is its clipped value.

    `step` is 1, but where the factor alone would be subnormal and so lose bits.
    """
    if not math.isfinite(root):
        return math.nan, 1.0
    if clip_norm == 0.0:
        return 0.0, 1.0
    norm = root / unit
    if norm <= clip_norm or returned <= clip_norm:
        return 1.0, 1.0
    factor = clip_norm / norm
    if factor < SMALLEST_NORMAL:
        # The power of two of the norm goes into the step. Eight times that: what the product with it loses to
        # underflow is then less than a quarter of the last place of the result.
        mantissa, exponent = math.frexp(root)
        return clip_norm / (8.0 * mantissa), math.ldexp(unit, 3 - exponent)
    return factor, 1.0
