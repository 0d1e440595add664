"""The sum of squares of a chunk."""

from functools import cache, partial
from typing import Any

from numba import int64

from numclip._core import contract
from numclip._core.contract import LANES
from numclip._core.dtypes import FLOAT64, ITEM_SIZE
from numclip._cuda.grid import by_typecode, column, device, item_size, load_int
from numclip._cuda.table import FIRST_CHUNK, LENGTH, SOURCE, TYPECODE
from numclip._cuda.target import intrinsics
from numclip._cuda.terms import accumulate, halve, terms

# Loads before the first use: with few chunks, that many keep the memory busy.
IN_FLIGHT = 16


@cache
def element(typecode: int, again: bool) -> Any:
    """Make the value of an element, in the second pass times a power of two."""
    widened, multiply = intrinsics.widen(typecode), intrinsics.multiply

    @device
    def value(stored, prescale):
        return widened(stored)

    @device
    def scaled_value(stored, prescale):
        return multiply(widened(stored), prescale)

    return scaled_value if again else value


@cache
def lane_sum(typecode: int, compensated: bool, again: bool) -> Any:
    """Make the sum of squares of one lane of the chunk that starts at `address`."""
    item = ITEM_SIZE[typecode]
    one, many = intrinsics.load(typecode), intrinsics.load_apart(typecode, IN_FLIGHT)
    value = element(typecode, again)
    add = accumulate(FLOAT64 if again else typecode, compensated)  # what may underflow has no exact square
    zero = terms(compensated).zero

    @device
    def add_four(total, a, b, c, d, prescale):
        total = add(add(total, value(a, prescale)), value(b, prescale))
        return add(add(total, value(c, prescale)), value(d, prescale))

    @device
    def sum_lane(address, size, lane, prescale):
        total, here = zero, address + lane * item
        count = (size + LANES - 1 - lane) // LANES
        for _ in range(count // IN_FLIGHT):
            x = many(here)
            total = add_four(total, x[0], x[1], x[2], x[3], prescale)
            total = add_four(total, x[4], x[5], x[6], x[7], prescale)
            total = add_four(total, x[8], x[9], x[10], x[11], prescale)
            total = add_four(total, x[12], x[13], x[14], x[15], prescale)
            here += IN_FLIGHT * LANES * item
        for _ in range(count % IN_FLIGHT):
            total = add(total, value(one(here), prescale))
            here += LANES * item
        return total

    return sum_lane


@cache
def chunk_sum(typecodes: tuple[int, ...], compensated: bool, again: bool) -> Any:
    """Make the sum of squares of a chunk, by a warp; lane 0 gets it.

    The second pass, `again`, takes the elements times `prescale`.
    """
    bytes_of = by_typecode(typecodes, item_size)
    sum_lane = by_typecode(typecodes, partial(lane_sum, compensated=compensated, again=again))
    halve_lanes = halve(compensated)

    @device
    def sum_chunk(workspace, count, row, chunk, prescale, lane):
        offset = (chunk - load_int(column(workspace, count, FIRST_CHUNK) + 8 * row)) * contract.CHUNK
        size = min(load_int(column(workspace, count, LENGTH) + 8 * row) - offset, int64(contract.CHUNK))
        typecode = load_int(column(workspace, count, TYPECODE) + 8 * row)
        source = load_int(column(workspace, count, SOURCE) + 8 * row) + offset * bytes_of(typecode, ())
        return halve_lanes(sum_lane(typecode, (source, size, lane, prescale)))

    return sum_chunk
