"""The terms of a sum: float64 numbers, or pairs of a float64 and its error; or a maximum instead of a sum.

Pairs are added by error-free transformations: the first of a pair has the bits of the sum without errors. A
kernel is compiled for one of the three.
"""

import math
from functools import cache
from typing import Any, NamedTuple

from numclip._core.contract import LANES
from numclip._cuda.grid import device, load_double, store_double
from numclip._cuda.target import intrinsics

shift_lanes_down = intrinsics.shift_lanes_down


class Terms(NamedTuple):
    """The arithmetic of one kind of sum."""

    zero: Any
    add: Any
    load: Any
    store: Any
    shift_down: Any  # the term of the lane `distance` lanes higher


@device
def _add(total, term):
    return total + term


@device
def _add_pair(total, term):
    """Add two pairs by Knuth's two-sum, whose error is exact."""
    (left, error), (right, other) = total, term
    both = left + right
    back = both - left
    lost = (left - (both - back)) + (right - back)
    return both, error + (other + lost)


@device
def _load_pair(address):
    return load_double(address), load_double(address + 8)


@device
def _store_pair(address, total):
    store_double(address, total[0])
    store_double(address + 8, total[1])


@device
def value_of(pair):
    """Return the value of a pair; the error of an infinite or NaN sum has no meaning."""
    return pair[0] + pair[1] if math.isfinite(pair[0]) else pair[0]


@device
def _shift_pair_down(total, distance):
    return shift_lanes_down(total[0], distance), shift_lanes_down(total[1], distance)


@device
def _larger(largest, term):
    """Return the larger of two numbers, NaN if one of them is."""
    return largest if largest >= term or math.isnan(largest) else term


PLAIN = Terms(0.0, _add, load_double, store_double, shift_lanes_down)
COMPENSATED = Terms((0.0, 0.0), _add_pair, _load_pair, _store_pair, _shift_pair_down)
LARGEST = Terms(0.0, _larger, load_double, store_double, shift_lanes_down)


@cache
def halve(terms: Terms) -> Any:
    """Make the sum of the lanes of a warp, for lane 0: lane l adds lane l + 16, then l + 8, 4, 2 and 1."""
    add, shift_down = terms.add, terms.shift_down

    @device
    def halve_lanes(total):
        distance = LANES // 2
        while distance > 0:
            total = add(total, shift_down(total, distance))
            distance >>= 1
        return total

    return halve_lanes
