"""Conversions between NumPy scalars and floats, correct even if the processor flushes subnormals to zero."""

import math
import sys
from typing import Any

import numpy as np

SMALLEST_NORMAL, SMALLEST = 2.0**-126, 2.0**-149


def as_float32(norm: float) -> np.float32:
    """Return a norm that is already rounded to float32 as a numpy.float32."""
    if not 0.0 < norm < SMALLEST_NORMAL:
        return np.float32(norm)
    return np.uint32(norm / SMALLEST).view(np.float32)


def as_float(value: Any) -> float:
    """Return a NumPy scalar or 0-d array as a float."""
    number = float(value)
    if number != 0.0 or value.dtype.name not in ("float32", "bfloat16"):
        return number
    scalar = np.asarray(value, value.dtype.type)
    bits = int.from_bytes(scalar.tobytes(), sys.byteorder) << 32 - 8 * scalar.itemsize
    return math.copysign((bits & 0x7FFFFFFF) * SMALLEST, number)
