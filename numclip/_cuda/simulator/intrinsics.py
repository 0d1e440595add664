"""The functions of `numclip._cuda.intrinsics` in Python: addresses are those of the host's memory.

A float64 is a Python float, which does not warn of overflow; bfloat16 is represented by its bits.
"""

import ctypes
import math
import threading
from collections.abc import Callable
from fractions import Fraction
from functools import cache, wraps
from typing import Any

import numpy as np

from numclip._core.contract import LANES
from numclip._core.dtypes import BFLOAT16, CARRIER, FLOAT16, FLOAT64

INT64 = -1
BLOCK = 32
_DTYPE = {typecode: np.dtype(name) for typecode, name in CARRIER.items()}
_DTYPE |= {FLOAT16: np.dtype(np.float16), INT64: np.dtype(np.int64)}
_PLAIN = {FLOAT64: float, INT64: int}  # as Python's own numbers
_atomic = threading.Lock()
_cells: list[Any] = [None] * LANES  # what the threads of a block exchange; blocks run one after the other


def device(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that, as on a device, does not warn of floating-point exceptions."""

    @wraps(function)
    def quiet(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments)

    return quiet


# --- threads ------------------------------------------------------------------------------------------------


def sync_block() -> None:
    """Wait for the other threads of the block."""
    threading.current_thread().syncthreads()  # type: ignore[attr-defined]


def lane() -> int:
    """Return the number of the thread in its warp."""
    number: int = threading.current_thread().threadIdx.x  # type: ignore[attr-defined]
    return number


def sync_warp() -> None:
    """Wait for the other threads of the warp, which is the block in the simulator."""
    sync_block()


def fence() -> None:
    """Do nothing: Python executes the memory accesses of a thread in order."""


def _of_all_lanes(value: Any) -> list[Any]:
    _cells[lane()] = value
    sync_block()
    values = _cells.copy()
    sync_block()
    return values


def any_lane(predicate: bool) -> bool:
    """Tell all threads of a warp whether the predicate holds in one of them."""
    return any(_of_all_lanes(predicate))


def any_thread(predicate: bool) -> bool:
    """Tell all threads of a block whether the predicate holds in one of them."""
    return any(_of_all_lanes(predicate))


def shift_lanes_down(value: float, distance: int) -> float:
    """Return the float64 of the lane `distance` lanes higher, if there is one."""
    shifted: float = _of_all_lanes(value)[min(lane() + distance, LANES - 1)]
    return shifted


def next_ticket(address: int, last: int) -> int:
    """Return the number at `address`, and increment it atomically, from `last` to 0."""
    counter = _memory(address, 1, _DTYPE[INT64])
    with _atomic:
        ticket = int(counter[0])
        counter[0] = 0 if ticket >= last else ticket + 1
    return ticket


# --- memory -------------------------------------------------------------------------------------------------


def _memory(address: int, count: int, dtype: np.dtype[Any]) -> Any:
    if address % min(16, count * dtype.itemsize):
        raise RuntimeError(f"{count} elements of {dtype} at {address:#x}: a device traps on such an address")
    memory: Any = (ctypes.c_char * (count * dtype.itemsize)).from_address(int(address))
    return np.frombuffer(memory, dtype)


def write(address: int, dtype: np.dtype[Any], *elements: Any) -> None:
    """Write elements to an address."""
    _memory(address, len(elements), dtype)[:] = elements


def _load_one(dtype: np.dtype[Any], plain: Callable[[Any], Any] | None = None) -> Any:
    if plain is None:
        return lambda address: _memory(address, 1, dtype)[0]
    return lambda address: plain(_memory(address, 1, dtype)[0])


def load(typecode: int) -> Any:
    """Make load(address): one element, as it is stored."""
    return _load_one(_DTYPE[typecode], _PLAIN.get(typecode))


def load_apart(typecode: int, count: int) -> Any:
    """Make load_apart(address): a tuple of `count` elements, each LANES elements after the one before."""
    load_one, stride = load(typecode), LANES * _DTYPE[typecode].itemsize
    return lambda address: tuple(load_one(address + i * stride) for i in range(count))


def load_first(typecode: int, most: int) -> Any:
    """Make load_first(address, count): as `load_apart`, but zeros after the first `count`."""
    load_one, dtype = load(typecode), _DTYPE[typecode]
    zeros = (_PLAIN.get(typecode, dtype.type)(0),) * most

    def load_some(address: int, count: int) -> Any:
        loaded = tuple(load_one(address + i * LANES * dtype.itemsize) for i in range(count))
        return loaded + zeros[count:]

    return load_some


def store(typecode: int) -> Any:
    """Make store(address, element)."""
    dtype = _DTYPE[typecode]
    return lambda address, element: write(address, dtype, element)


def load_bytes(size: int) -> Any:
    """Make load_bytes(address): the 1, 2, 4 or 8 bytes at an address that is aligned to them."""
    return _load_one(np.dtype(f"u{size}"))


def store_bytes(size: int) -> Any:
    """Make store_bytes(address, bits)."""
    dtype = np.dtype(f"u{size}")
    return lambda address, bits: write(address, dtype, bits)


def load_four(typecode: int) -> Any:
    """Make load_four(address): a tuple of four elements; the address is aligned to all four, or 16 bytes."""
    dtype = _DTYPE[typecode]
    return lambda address: tuple(_memory(address, 4, dtype).copy())


def store_four(typecode: int) -> Any:
    """Make store_four(address, a, b, c, d), the address aligned as for `load_four`."""
    dtype = _DTYPE[typecode]
    return lambda address, *elements: write(address, dtype, *elements)


# --- conversions and arithmetic -----------------------------------------------------------------------------


def widen(typecode: int) -> Any:
    """Make widen(element): its value as a float64."""
    return _from_bfloat16 if typecode == BFLOAT16 else float


@cache
def narrow(typecode: int) -> Any:
    """Make narrow(value): a float64 rounded once, to nearest even, as it is stored."""
    if typecode == FLOAT64:
        return float
    return device(_to_bfloat16 if typecode == BFLOAT16 else _DTYPE[typecode].type)


def _from_bfloat16(bits: Any) -> float:
    return float((np.uint32(bits.view(np.uint16)) << np.uint32(16)).view(np.float32))


def _to_bfloat16(value: float) -> Any:
    """Round to nearest even, by way of a float32 that is rounded to odd."""
    single = np.float32(value)
    bits = int(single.view(np.uint32))
    if math.isnan(value):
        upper = bits >> 16 | 0x40
    else:
        bits -= abs(float(single)) > abs(value)
        bits |= float(np.uint32(bits).view(np.float32)) != value
        upper = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.uint16(upper).view(np.int16)


def multiply(left: float, right: float) -> float:
    """Return the product, rounded."""
    return left * right


def fused_multiply_add(left: float, right: float, term: float) -> float:
    """Round left * right + term once."""
    if not (math.isfinite(left) and math.isfinite(right) and math.isfinite(term)):
        return left * right + term
    exact = Fraction(left) * Fraction(right) + Fraction(term)
    try:
        return float(exact)
    except OverflowError:
        return math.copysign(math.inf, exact)


def add_square(typecode: int) -> Any:
    """Make add_square(total, value): total + value * value, both rounded."""
    return lambda total, value: total + value * value
