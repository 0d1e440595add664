"""The sum of a chunk: of squares, absolute values or powers."""

from functools import cache, partial
from typing import Any

from numba import int64

from numclip._core import contract
from numclip._core.contract import LANES
from numclip._core.dtypes import ELEMENT_TYPES, ITEM_SIZE
from numclip._cuda.arithmetic import magnitude
from numclip._cuda.grid import by_typecode, column, device, item_size, load_int
from numclip._cuda.orders import POWERS, accumulate, terms_of
from numclip._cuda.table import FIRST_CHUNK, LENGTH, REALS, SOURCE, TYPECODE
from numclip._cuda.target import intrinsics
from numclip._cuda.terms import Terms, halve

# The number of loads before the first use: with few chunks, so many in flight hide the latency of memory.
IN_FLIGHT = 16
OF_COMPLEX = {element.typecode for element in ELEMENT_TYPES if element.reals == 2}


@cache
def lane_sum(typecode: int, summand: str, terms: Terms) -> Any:
    """Make the device function that sums one lane of the chunk at `address`."""
    item = ITEM_SIZE[typecode]
    many, some = intrinsics.load_apart(typecode, IN_FLIGHT), intrinsics.load_first(typecode, IN_FLIGHT)
    widened, add, zero = intrinsics.widen(typecode), accumulate(summand, typecode, terms), terms.zero

    @device
    def add_four(total, a, b, c, d, prescale, order):
        total = add(add(total, widened(a), prescale, order), widened(b), prescale, order)
        return add(add(total, widened(c), prescale, order), widened(d), prescale, order)

    @device
    def add_many(total, x, prescale, order):
        total = add_four(total, x[0], x[1], x[2], x[3], prescale, order)
        total = add_four(total, x[4], x[5], x[6], x[7], prescale, order)
        total = add_four(total, x[8], x[9], x[10], x[11], prescale, order)
        return add_four(total, x[12], x[13], x[14], x[15], prescale, order)

    @device
    def sum_lane(address, size, lane, prescale, order):
        total, here = zero, address + lane * item
        count = (size + LANES - 1 - lane) // LANES
        for _ in range(count // IN_FLIGHT):
            total = add_many(total, many(here), prescale, order)
            here += IN_FLIGHT * LANES * item
        if count % IN_FLIGHT > 0:
            total = add_many(total, some(here, count % IN_FLIGHT), prescale, order)
        return total

    return sum_lane


@cache
def lane_sum_one_by_one(typecode: int, summand: str, terms: Terms, reals: int) -> Any:
    """Make the same for elements with more work: powers, and complex elements, summed by magnitude."""
    item = ITEM_SIZE[typecode]
    one, widened = intrinsics.load(typecode), intrinsics.widen(typecode)
    add, zero = accumulate(summand, typecode, terms), terms.zero

    @device
    def real(address):
        return widened(one(address))

    @device
    def absolute(address):
        return magnitude(real(address), real(address + item))

    value = real if reals == 1 else absolute

    @device
    def sum_lane(address, size, lane, prescale, order):
        total = zero
        for i in range(lane, size // reals, LANES):
            total = add(total, value(address + i * reals * item), prescale, order)
        return total

    return sum_lane


@cache
def sum_of_lane(typecode: int, summand: str, terms: Terms, has_complex: bool) -> Any:
    """Make the sum of one lane of a chunk of elements with `reals` reals."""
    if summand == POWERS:
        sum_reals = lane_sum_one_by_one(typecode, summand, terms, 1)
    else:
        sum_reals = lane_sum(typecode, summand, terms)

    @device
    def of_reals(reals, address, size, lane, prescale, order):
        return sum_reals(address, size, lane, prescale, order)

    if not has_complex or typecode not in OF_COMPLEX:
        return of_reals
    sum_complex = lane_sum_one_by_one(typecode, summand, terms, 2)

    @device
    def of_either(reals, address, size, lane, prescale, order):
        if reals == 2:
            return sum_complex(address, size, lane, prescale, order)
        return sum_reals(address, size, lane, prescale, order)

    return of_either


@cache
def chunk_sum(summand: str, typecodes: tuple[int, ...], has_complex: bool) -> Any:
    """Make the device function by which a warp sums a chunk, of elements times `prescale`; lane 0 gets it."""
    terms, bytes_of = terms_of(summand, typecodes, has_complex), by_typecode(typecodes, item_size)
    sum_lane = by_typecode(
        typecodes, partial(sum_of_lane, summand=summand, terms=terms, has_complex=has_complex)
    )
    halve_lanes = halve(terms)

    @device
    def sum_chunk(workspace, count, row, chunk, lane, prescale, order):
        offset = (chunk - load_int(column(workspace, count, FIRST_CHUNK) + 8 * row)) * contract.CHUNK
        size = min(load_int(column(workspace, count, LENGTH) + 8 * row) - offset, int64(contract.CHUNK))
        typecode = load_int(column(workspace, count, TYPECODE) + 8 * row)
        reals = load_int(column(workspace, count, REALS) + 8 * row)
        source = load_int(column(workspace, count, SOURCE) + 8 * row) + offset * bytes_of(typecode, ())
        return halve_lanes(sum_lane(typecode, (reals, source, size, lane, prescale, order)))

    return sum_chunk
