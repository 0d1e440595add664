"""What is added up: a float64, or in lists with 64-bit entries a pair, the float64 and its error.

A pair is worked on by error-free transformations, so the first of it has the bits that a float64 alone would
have. Which of the two a kernel adds is settled when it is compiled.
"""

from functools import cache
from typing import Any, NamedTuple

from numclip._core.contract import LANES
from numclip._core.dtypes import FLOAT64
from numclip._cuda.grid import device, load_double, store_double
from numclip._cuda.target import intrinsics

shift_lanes_down = intrinsics.shift_lanes_down
multiply, fused_multiply_add = intrinsics.multiply, intrinsics.fused_multiply_add


class Terms(NamedTuple):
    """The arithmetic of one kind of sum."""

    words: int  # of memory
    zero: Any
    add: Any
    load: Any
    store: Any
    shift_down: Any  # from the lane so many lanes further on


@device
def _add(total, term):
    return total + term


PLAIN = Terms(1, 0.0, _add, load_double, store_double, shift_lanes_down)


@device
def _add_pair(total, term):
    """Add with Knuth's sum of two numbers, whose error is exact."""
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
def _shift_pair_down(total, distance):
    return shift_lanes_down(total[0], distance), shift_lanes_down(total[1], distance)


COMPENSATED = Terms(2, (0.0, 0.0), _add_pair, _load_pair, _store_pair, _shift_pair_down)


def terms(compensated: bool) -> Terms:
    """Return how the sums of a list are carried."""
    return COMPENSATED if compensated else PLAIN


@cache
def halve(compensated: bool) -> Any:
    """Make the sum of the lanes of a warp, for lane 0: a lane adds that 16 further on, then 8, 4, 2 and 1."""
    add, shift_down = terms(compensated).add, terms(compensated).shift_down

    @device
    def halve_lanes(total):
        distance = LANES // 2
        while distance > 0:
            total = add(total, shift_down(total, distance))
            distance >>= 1
        return total

    return halve_lanes


@cache
def accumulate(typecode: int, compensated: bool) -> Any:
    """Make accumulate(total, value): the sum and the square of a value of this typecode, as a float64."""
    if not compensated:
        return intrinsics.add_square(typecode)
    exact = typecode != FLOAT64

    @device
    def add(total, value):
        square = multiply(value, value)
        return _add_pair(total, (square, 0.0 if exact else fused_multiply_add(value, value, -square)))

    return add
