"""From float64 to a narrower dtype in one rounding."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def rounded(wide: Array, dtype: np.dtype[Any]) -> Array:
    """Round float64 or complex128 elements to a dtype, once, to nearest even."""
    with np.errstate(all="ignore"):
        if dtype.name == "bfloat16":
            wide = _rounded_to_odd(wide)
        return wide.astype(dtype)


def _rounded_to_odd(wide: Array) -> Array:
    """Round float64 to float32 with a last bit that says if anything was cut off.

    ml_dtypes rounds to bfloat16 by way of float32. After this that is one exact rounding (Boldo and
    Melquiond, 2008).
    """
    single = wide.astype(np.float32)
    back = single.astype(np.float64)
    bits = single.view(np.int32)
    bits -= np.abs(back) > np.abs(wide)
    bits |= back != wide
    return single
