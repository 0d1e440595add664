"""The exact sum of the sums of many arrays, compiled for the host; see `fixed_point`."""

import math
from typing import Any

from numba import types

from numclip._core import contract, fixed_point
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import helper, kernel, named_helper

_FLOAT = types.float64
_SUMS = types.Array(_FLOAT, 1, "C")
_WORDS = types.Array(types.int64, 1, "C")
_FLAGS = types.Array(types.boolean, 1, "C")

add, carry, pair_of = map(helper, (fixed_point.add, fixed_point.carry, fixed_point.pair_of))
prescale_for = helper(contract.prescale_for)
square_root = helper(contract.square_root)
returned_norm = helper(contract.returned_norm)
scale_factor = named_helper("scale_factor_of_shards")(contract.scale_factor_by(helper(contract.quotient)))


@default_fpenv
@helper
def _accumulate(words: Any, sums: Any, errors: Any, counted: Any) -> None:
    for i in range(len(sums)):
        if counted[i]:
            add(words, sums[i])
            # The error of an infinite or NaN sum has no meaning.
            if math.isfinite(sums[i]):
                add(words, errors[i])
    carry(words)


@kernel(lambda: (_WORDS, _SUMS, _SUMS, _FLAGS))
def accumulate(words: Any, sums: Any, errors: Any, counted: Any) -> None:
    """Add to `words` the sum and the error of each array that `counted` marks."""
    _accumulate(words, sums, errors, counted)


@default_fpenv
@helper
def _decide(
    words: Any, prescale: float, compensated: bool, clip_norm: float
) -> tuple[float, float, float, float]:
    carry(words)
    total, error = pair_of(words)
    norm_hi, norm_lo = square_root(total, error)
    norm = returned_norm(norm_hi, norm_lo, prescale, 1.0, compensated)
    factor, prefactor = scale_factor(norm_hi, norm_lo, prescale, norm, clip_norm, 0.0, 1.0)
    return norm, factor, prefactor, prescale_for(total)


@kernel(lambda: (_WORDS, _FLOAT, types.boolean, _FLOAT))
def decide(
    words: Any, prescale: float, compensated: bool, clip_norm: float
) -> tuple[float, float, float, float]:
    """Return (norm, factor, prefactor, needed) of a sum of squares of elements multiplied by `prescale`.

    If `needed` is not 1 and 64-bit elements were not prescaled, their sums must be computed again with
    `needed` as the prescale.
    """
    decision: tuple[float, float, float, float] = _decide(words, prescale, compensated, clip_norm)
    return decision
