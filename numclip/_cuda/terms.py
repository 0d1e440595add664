"""What is added up: a float64, or in lists with 64-bit entries a pair, the float64 and its error.

A pair is worked on by error-free transformations, so the first of it has the bits that a float64 alone would
have. Which of the two a kernel adds is settled when it is compiled.
"""

from functools import cache
from typing import Any, NamedTuple

from numclip._core.dtypes import FLOAT64
from numclip._cuda.grid import device, load_double, store_double
from numclip._cuda.intrinsics import add_square, fused, multiply


class Terms(NamedTuple):
    """The arithmetic of one kind of sum."""

    words: int  # of memory
    zero: Any
    add: Any
    load: Any
    store: Any
    put: Any  # into one of `slots` cells of shared memory
    get: Any


@device
def _add(total, term):
    return total + term


@device
def _put(cells, slots, slot, total):
    cells[slot] = total


@device
def _get(cells, slots, slot):
    return cells[slot]


SINGLE = Terms(1, 0.0, _add, load_double, store_double, _put, _get)


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
def _put_pair(cells, slots, slot, total):
    cells[slot], cells[slots + slot] = total


@device
def _get_pair(cells, slots, slot):
    return cells[slot], cells[slots + slot]


PAIR = Terms(2, (0.0, 0.0), _add_pair, _load_pair, _store_pair, _put_pair, _get_pair)


def terms(single: bool) -> Terms:
    """Return how the sums of a list are carried."""
    return SINGLE if single else PAIR


@cache
def accumulate(kind: int, single: bool) -> Any:
    """Make accumulate(total, value): the sum and the square of a value of this kind, as a float64."""
    if single:
        return add_square(kind)
    exact = kind != FLOAT64

    @device
    def add(total, value):
        square = multiply(value, value)
        return _add_pair(total, (square, 0.0 if exact else fused(value, value, -square)))

    return add
