"""The options of the functions that clip by a norm, checked."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from numclip._arrays import checks
from numclip._arrays.errors import brief

Nonfinite = Literal["nan", "raise", "zero"]


class Options(NamedTuple):
    """Order of the norm, a margin added to it, scale of the loss, effect of a non-finite norm, strictness."""

    order: float = 2.0
    eps: float = 0.0
    loss_scale: float = 1.0
    nonfinite: Nonfinite = "nan"
    strict: bool = False


DEFAULT = Options()


def options(ord: Any, eps: Any, loss_scale: Any, nonfinite: Any, strict: Any = False) -> Options:
    """Check the options; return `DEFAULT` itself if they are those of TensorFlow's contract."""
    if ord == 2 and eps == 0.0 and loss_scale == 1.0 and nonfinite == "nan" and strict is False:
        return DEFAULT
    order = checks.real(ord, "ord")
    if not order > 0.0:
        raise ValueError(f"ord should be positive: 1, 2, inf or another p > 0. Received {order}")
    margin = checks.real(eps, "eps")
    if not 0.0 <= margin < math.inf:
        raise ValueError(f"eps should be finite and non-negative. Received {margin}")
    scale = checks.real(loss_scale, "loss_scale")
    if not 0.0 < scale < math.inf:
        raise ValueError(f"loss_scale should be finite and positive. Received {scale}")
    if nonfinite not in ("nan", "raise", "zero"):
        raise ValueError(f'nonfinite should be "nan", "raise" or "zero". Received {brief(nonfinite)}')
    if not isinstance(strict, bool | np.bool):
        raise TypeError(f"strict should be a bool. Received {brief(strict)}")
    if strict and order != 2.0:
        raise ValueError(f"strict is for the norm of order 2. Received ord {order}")
    return Options(order, margin, scale, nonfinite, bool(strict))


def threshold(clip_norm: Callable[[float], Any], norm: Any) -> float:
    """Ask a callable clip_norm for the threshold of this call, and check it."""
    return checks.clip_norm(clip_norm(float(norm)))


def check_clip_norm(value: Any) -> Any:
    """Check a clip_norm: a threshold, as a float64, or a callable that returns one."""
    return value if callable(value) else checks.clip_norm(value)
