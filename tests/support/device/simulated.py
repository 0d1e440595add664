"""The functions of `numclip._cuda.intrinsics` for Numba's simulator, on the memory of the host.

The simulator runs a kernel as Python, and a device's memory is the host's. What stands here has the same
names, and so takes the place of the real module.
"""

import ctypes
from fractions import Fraction
from functools import cache

import ml_dtypes
import numpy as np
from grid import syncthreads

from numclip._core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

INT64 = -1

_DTYPE = {
    FLOAT32: np.dtype(np.float32),
    FLOAT64: np.dtype(np.float64),
    FLOAT16: np.dtype(np.float16),
    BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    INT64: np.dtype(np.int64),
}
stores = []  # the addresses that were written to


def _memory(address, count, dtype):
    return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(int(address)), dtype)


def _check_aligned(address, count, dtype):
    assert address % min(16, count * dtype.itemsize) == 0, "a device traps on a misaligned address"


@cache
def _loader(count, dtype):
    def load(address):
        _check_aligned(address, count, dtype)
        values = _memory(address, count, dtype)
        return tuple(values.copy()) if count > 1 else values[0]

    return load


@cache
def _storer(dtype):
    def store(address, *values):
        _check_aligned(address, len(values), dtype)
        for value in values:
            assert np.asarray(value).dtype == dtype
        stores.append(address)
        _memory(address, len(values), dtype)[:] = values

    return store


def load(kind):
    if kind != INT64:
        return _loader(1, _DTYPE[kind])
    return lambda address: int(_loader(1, _DTYPE[kind])(address))


def store(kind):
    if kind in (INT64, FLOAT64):
        return lambda address, value: _storer(_DTYPE[kind])(address, _DTYPE[kind].type(value))
    return _storer(_DTYPE[kind])


def load_four(kind):
    return _loader(4, _DTYPE[kind])


def store_four(kind):
    return _storer(_DTYPE[kind])


def load_bytes(size):
    return _loader(1, np.dtype(f"u{size}"))


def store_bytes(size):
    return _storer(np.dtype(f"u{size}"))


def widen(kind):
    return np.float64


@cache
def narrow(kind):
    if kind == BFLOAT16:
        return _to_bfloat16
    return _quiet(_DTYPE[kind].type)


def _quiet(function):
    def quiet(*arguments):
        with np.errstate(all="ignore"):
            return function(*arguments)

    return quiet


@_quiet
def _to_bfloat16(value):
    """Round once: by way of a float32 with a sticky last bit."""
    single = np.array([value], np.float64).astype(np.float32)
    back = single.astype(np.float64)
    bits = single.view(np.int32)
    bits -= np.abs(back) > np.abs(value)
    bits |= back != value
    return single.astype(ml_dtypes.bfloat16)[0]


@_quiet
def multiply(left, right):
    return np.float64(left) * np.float64(right)


@_quiet
def fused(left, right, term):
    """Round left * right + term once."""
    if not np.isfinite([left, right, term]).all():
        return np.float64(left) * np.float64(right) + term
    exact = Fraction(float(left)) * Fraction(float(right)) + Fraction(float(term))
    try:
        return np.float64(float(exact))
    except OverflowError:
        return np.float64(np.copysign(np.inf, exact))


@_quiet
def _add_square(total, value):
    return np.float64(total) + value * value


def add_square(kind):
    return _add_square


def sync_warp():
    """The blocks of the simulator are one warp or less, so this is a barrier of the block."""
    syncthreads()


def next_ticket(address):
    counter = _memory(address, 1, _DTYPE[INT64])
    counter[0] += 1
    return int(counter[0]) - 1
