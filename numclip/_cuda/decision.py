"""The decision: factor and prefactor of a list, from its sum of squares or from a given norm."""

import math
from functools import cache
from typing import Any

from numba import cuda, float64, int64

from numclip._core import contract
from numclip._core.dtypes import FLOAT32
from numclip._cuda.grid import device, load_double, store_double
from numclip._cuda.kernel import kernel, number_type
from numclip._cuda.table import FACTOR, NORM_HI, NORM_LO, PREFACTOR, PRESCALE, RETURNED
from numclip._cuda.target import intrinsics

square_root = device(contract.square_root)
returned_norm = device(contract.returned_norm)
scale_factor = device(contract.scale_factor_by(device(contract.quotient)))
multiply, fused_multiply_add = intrinsics.multiply, intrinsics.fused_multiply_add
store_float, to_float = intrinsics.store(FLOAT32), intrinsics.narrow(FLOAT32)


@cache
def read_number(typecode: int | None) -> Any:
    """Make the device function that returns a number of the caller, or reads it from its address.

    A number on the device has a `typecode`; a number of the host has none.
    """
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
def store_decision(workspace, norm, returned, limit, options, address):
    """Write the norm, the factor and the prefactor; and the product of these two to an address, if not 0.

    `norm` is (norm_hi, norm_lo, prescale), `options` is (eps, loss_scale, zero): with `zero`, a norm that is
    not finite makes every result 0.
    """
    norm_hi, norm_lo, prescale = norm
    eps, loss_scale, zero = options
    factor, prefactor = scale_factor(norm_hi, norm_lo, prescale, returned, limit, eps, loss_scale)
    # A clip_norm on the device has not been checked before.
    if not limit >= 0.0:
        factor = math.nan
    if zero != 0 and not math.isfinite(norm_hi):
        factor, prefactor = 0.0, 0.0
    store_double(workspace + 8 * FACTOR, factor)
    store_double(workspace + 8 * PREFACTOR, prefactor)
    store_double(workspace + 8 * NORM_HI, norm_hi)
    store_double(workspace + 8 * NORM_LO, norm_lo)
    store_double(workspace + 8 * PRESCALE, prescale)
    store_double(workspace + 8 * RETURNED, returned)
    if address != 0:
        store_double(address, factor * prefactor)


@cache
def decision(has_float64: bool) -> Any:
    """Make the device function that writes the norm to its address, and the decision.

    The norm is a float64 if the list `has_float64`, else a float32.
    """

    @device
    def decide_float(workspace, parts, limit, options, norm, factor):
        returned = returned_norm(parts[0], parts[1], parts[2], options[1], False)
        store_float(norm, to_float(returned))
        store_decision(workspace, parts, returned, limit, options, factor)

    @device
    def decide_double(workspace, parts, limit, options, norm, factor):
        returned = returned_norm(parts[0], parts[1], parts[2], options[1], True)
        store_double(norm, returned)
        store_decision(workspace, parts, returned, limit, options, factor)

    return decide_double if has_float64 else decide_float


@device
def norm_of_elements(given, loss_scale):
    """Return given * loss_scale as (norm_hi, norm_lo, prescale), exactly."""
    product = multiply(given, loss_scale)
    if loss_scale == 1.0 or not math.isfinite(given):
        return product, 0.0, 1.0
    prescale = 1.0 if math.isfinite(product) else contract.DOWN
    scaled = given * prescale  # a power of two: exact
    norm_hi = multiply(scaled, loss_scale)
    return norm_hi, fused_multiply_add(scaled, loss_scale, -norm_hi), prescale


OPTIONS = (float64, float64, int64)


@kernel(
    lambda limit_typecode, typecode: (
        int64,
        number_type(limit_typecode),
        number_type(typecode),
        *OPTIONS,
        int64,
    )
)
def use_given(limit_typecode: int | None, typecode: int | None) -> Any:
    """Make the kernel that decides from a given norm; the typecodes are those of `read_number`."""
    number, norm = read_number(limit_typecode), read_number(typecode)

    @cuda.jit
    def use_given_norm(workspace, limit, given, eps, loss_scale, zero, factor):
        returned = norm(given)
        parts = norm_of_elements(returned, loss_scale)
        store_decision(workspace, parts, returned, number(limit), (eps, loss_scale, zero), factor)

    return use_given_norm


@kernel(lambda: (int64, float64, *OPTIONS, int64))
def decide_again() -> Any:
    """Make the kernel that decides once more, for another limit, from the norm in the workspace."""

    @cuda.jit
    def decide_for_limit(workspace, limit, eps, loss_scale, zero, factor):
        norm_hi, norm_lo = load_double(workspace + 8 * NORM_HI), load_double(workspace + 8 * NORM_LO)
        parts = norm_hi, norm_lo, load_double(workspace + 8 * PRESCALE)
        returned = load_double(workspace + 8 * RETURNED)
        store_decision(workspace, parts, returned, limit, (eps, loss_scale, zero), factor)

    return decide_for_limit
