"""What a list is multiplied by: from its sum, or from a norm that is given."""

import math
from functools import cache
from typing import Any

from numba import cuda

from numclip._core import contract
from numclip._core.dtypes import FLOAT32
from numclip._cuda.grid import device, store_double
from numclip._cuda.intrinsics import load, narrow, store, widen
from numclip._cuda.table import FACTOR, STEP

root_of = device(contract.square_root)
returned_norm = device(contract.returned_norm)
scale_factor = device(contract.scale_factor)
store_single, to_single = store(FLOAT32), narrow(FLOAT32)


@cache
def read_number(kind: int | None) -> Any:
    """Make what returns a number of the caller, or reads it, if it has a kind, at its address."""
    if kind is None:

        @device
        def given(number):
            return number

        return given
    one, wide = load(kind), widen(kind)

    @device
    def read(address):
        return wide(one(address))

    return read


@device
def store_decision(workspace, root, rest, unit, returned, limit, address):
    """Write the factor and the step, and their product to an address, if that is not 0."""
    factor, step = scale_factor(root, rest, unit, returned, limit)
    # A clip_norm that was read on the device has passed no check.
    if not limit >= 0.0:
        factor = math.nan
    store_double(workspace + 8 * FACTOR, factor)
    store_double(workspace + 8 * STEP, step)
    if address != 0:
        store_double(address, factor * step)


@cache
def decision(single: bool) -> Any:
    """Make what writes the norm to its address, and the decision."""

    @device
    def decide_single(workspace, total, unit, limit, norm, factor):
        root, rest = root_of(total, 0.0)
        returned = returned_norm(root, rest, unit, False)
        store_single(norm, to_single(returned))
        store_decision(workspace, root, rest, unit, returned, limit, factor)

    @device
    def decide_wide(workspace, total, unit, limit, norm, factor):
        root, rest = root_of(total[0], total[1])
        returned = returned_norm(root, rest, unit, True)
        store_double(norm, returned)
        store_decision(workspace, root, rest, unit, returned, limit, factor)

    return decide_single if single else decide_wide


@cache
def use_given(limit_kind: int | None, kind: int | None) -> Any:
    """Make the kernel that decides for a norm that is given; each number as for `read_number`."""
    number, norm = read_number(limit_kind), read_number(kind)

    @cuda.jit
    def use_given_norm(workspace, limit, given, factor):
        root = norm(given)
        store_decision(workspace, root, 0.0, 1.0, root, number(limit), factor)

    return use_given_norm
