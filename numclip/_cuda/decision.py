"""What a list is multiplied by: from its sum, or from a norm that is given."""

import math
from functools import cache
from typing import Any

from numba import cuda, int64

from numclip._core import contract
from numclip._core.dtypes import FLOAT32
from numclip._cuda.grid import device, store_double
from numclip._cuda.kernel import kernel, number_type
from numclip._cuda.table import FACTOR, PREFACTOR
from numclip._cuda.target import intrinsics

square_root = device(contract.square_root)
returned_norm = device(contract.returned_norm)
scale_factor = device(contract.scale_factor_by(device(contract.quotient)))
store_float, to_float = intrinsics.store(FLOAT32), intrinsics.narrow(FLOAT32)


@cache
def read_number(typecode: int | None) -> Any:
    """Make what returns a number of the caller, or reads it, if it has a typecode, at its address."""
    if typecode is None:

        @device
        def given(number):
            return number

        return given
    load_one, widened = intrinsics.load(typecode), intrinsics.widen(typecode)

    @device
    def read(address):
        return widened(load_one(address))

    return read


@device
def store_decision(workspace, norm_hi, norm_lo, prescale, returned, limit, address):
    """Write the factor and the prefactor, and their product to an address, if that is not 0."""
    factor, prefactor = scale_factor(norm_hi, norm_lo, prescale, returned, limit, 0.0, 1.0)
    # A clip_norm that was read on the device has passed no check.
    if not limit >= 0.0:
        factor = math.nan
    store_double(workspace + 8 * FACTOR, factor)
    store_double(workspace + 8 * PREFACTOR, prefactor)
    if address != 0:
        store_double(address, factor * prefactor)


@cache
def decision(compensated: bool) -> Any:
    """Make what writes the norm to its address, and the decision."""

    @device
    def decide_float(workspace, total, prescale, limit, norm, factor):
        norm_hi, norm_lo = square_root(total, 0.0)
        returned = returned_norm(norm_hi, norm_lo, prescale, 1.0, False)
        store_float(norm, to_float(returned))
        store_decision(workspace, norm_hi, norm_lo, prescale, returned, limit, factor)

    @device
    def decide_double(workspace, total, prescale, limit, norm, factor):
        norm_hi, norm_lo = square_root(total[0], total[1])
        returned = returned_norm(norm_hi, norm_lo, prescale, 1.0, True)
        store_double(norm, returned)
        store_decision(workspace, norm_hi, norm_lo, prescale, returned, limit, factor)

    return decide_double if compensated else decide_float


@kernel(lambda limit_typecode, typecode: (int64, number_type(limit_typecode), number_type(typecode), int64))
def use_given(limit_typecode: int | None, typecode: int | None) -> Any:
    """Make the kernel that decides for a norm that is given; each number as for `read_number`."""
    number, norm = read_number(limit_typecode), read_number(typecode)

    @cuda.jit
    def use_given_norm(workspace, limit, given, factor):
        norm_hi = norm(given)
        store_decision(workspace, norm_hi, 0.0, 1.0, norm_hi, number(limit), factor)

    return use_given_norm
