"""Elements between two bounds: a plain array in one pass of compiled code, any other by NumPy."""

import math
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from numclip._arrays import checks, entries
from numclip._arrays.errors import brief
from numclip._arrays.pool import results_like
from numclip._core.contract import COLUMNS, LANES, LENGTH, SOURCE, TARGET
from numclip._core.dtypes import FLOAT16, FLOAT32, FLOAT64, rounded
from numclip._core.emit import emitter
from numclip._core.environment import default_environment
from numclip._core.fpenv import default_fpenv
from numclip._core.half import F64, splat
from numclip._core.jit import helper, kernel
from numclip._cpu import abi, pack
from numclip._cpu.blocks import chunks_of, view
from numclip._cpu.kernels import LOCKED_CHUNKS
from numclip._cpu.pack import GIVEN_TARGETS, NEW_TARGETS
from numclip._cpu.pyobjects import py_list, release_lock, take_lock
from numclip._cpu.simd import WIDTH, lanes
from numclip._cpu.simd_memory import load, load_masked, prefetch, store, store_masked
from numclip._cpu.typecodes import number, typecode_type
from numclip._cpu.unowned import keep, unowned

Array = NDArray[Any]

# The typecodes of NumPy's own real types; a dtype of another package may be another object each time.
_TYPECODES = {np.float32: FLOAT32, np.float64: FLOAT64, np.float16: FLOAT16}
# The ufunc, without the Python code of `np.clip` around it, which is slow for small arrays.
_clip: Any = getattr(np._core.umath, "clip", np.clip)  # type: ignore[attr-defined]

emits = emitter(intrinsic)


# --- compiled -----------------------------------------------------------------------------------------------


@emits(lambda value, low, high: lanes(lanes, types.float64, types.float64))
def _between(emit: Any, value: Any, low: Any, high: Any) -> Any:
    """Return max(min(value, high), low); NaN stays NaN.

    The bounds need not be rounded to the element type: the results are, and no element lies between a bound
    and its rounded value.
    """
    for relation, bound in ((">", high), ("<", low)):
        first = emit.builder.insert_element(ir.Constant(F64, ir.Undefined), bound, ir.IntType(32)(0))
        bounds = emit.builder.shuffle_vector(first, first, splat(ir.VectorType(ir.IntType(32), WIDTH), 0))
        value = emit.builder.select(emit.builder.fcmp_ordered(relation, value, bounds), bounds, value)
    return value


@default_fpenv
@helper
def _write_between(source: Any, target: Any, low: float, high: float) -> None:
    size = source.size
    whole = size - size % LANES
    for i in range(0, whole, LANES):
        prefetch(source, i)
        for j in range(i, i + LANES, WIDTH):
            store(target, j, _between(load(source, j), low, high))
    for j in range(whole, size, WIDTH):
        store_masked(target, j, size - j, _between(load_masked(source, j, size - j), low, high))


@kernel(
    lambda typecode: (
        *(py_list, py_list, types.int64, types.int64, typecode_type(typecode)),
        *(types.float64, types.float64),
    ),
    nogil=False,
)
def write_between(
    sources: Any, targets: Any, known_address: int, mode: int, typecode: Any, low: float, high: float
) -> bool:
    """Clip the one array of a list; return False, with nothing written, if it or its target is not plain."""
    table = np.empty((1, COLUMNS), np.int64)
    rows = unowned(table)
    done, typecodes, _, overlaps = pack.pack(sources, targets, known_address, rows, 0, mode)
    if done != 1 or overlaps or typecodes != 1 << number(typecode):
        return False
    length = rows[0, LENGTH]
    source, target = view(rows[0, SOURCE], length, typecode), view(rows[0, TARGET], length, typecode)
    state = release_lock(chunks_of(length) > LOCKED_CHUNKS)
    _write_between(source, target, low, high)
    take_lock(state)
    keep(table)
    return True


# --- from Python --------------------------------------------------------------------------------------------


def clip_between(t: Any, low: Any, high: Any, out: Any) -> Any:
    """Clip an array so that every element lies between two bounds, of which one may be None."""
    if low is None and high is None:
        raise TypeError("clip_value_min and clip_value_max should not both be None")
    # Fast path: a plain array of floats and two numbers, which compiled code checks.
    typecode = _TYPECODES.get(t.dtype.type) if type(t) is np.ndarray else None
    if typecode is not None and abi.IS_AS_EXPECTED:
        lowest, highest = _number(low, "clip_value_min", -math.inf), _number(high, "clip_value_max", math.inf)
        if lowest is not None and highest is not None:
            sources = [t]
            targets, mode = (results_like(sources), NEW_TARGETS) if out is None else ([out], GIVEN_TARGETS)
            write = write_between(typecode)
            if write(sources, targets, abi.ADDRESS, mode, typecode, lowest, highest):
                return targets[0]
    source, target, result = entries.resolve_plain(t, out) or entries.resolve_one(t, out, values=True)
    if source.dtype.kind in "iu":
        # Integers do not depend on the floating-point environment.
        _write_integers(source, target, low, high)
    else:
        with default_environment(), np.errstate(invalid="ignore"):  # a signalling NaN
            _write_reals(source, target, low, high)
    return result


def _number(bound: Any, name: str, absent: float) -> float | None:
    """Return a bound as a float64, `absent` for None; return None for an array of bounds."""
    if bound is None:
        return absent
    if type(bound) is not float:
        if type(bound) is not int and not isinstance(bound, np.floating | np.integer):
            return None
        bound = checks.real(bound, name)
    if math.isnan(bound):
        raise ValueError(f"{name} should not be NaN")
    number: float = bound
    return number


def _write_reals(source: Array, target: Array, low: Any, high: Any) -> None:
    lowest = _reals(low, "clip_value_min", -math.inf, source)
    highest = _reals(high, "clip_value_max", math.inf, source)
    # NumPy takes the upper bound where the bounds cross, TensorFlow the lower one.
    _clip(source, lowest, np.maximum(lowest, highest), target)


def _reals(bound: Any, name: str, absent: float, source: Array) -> Array:
    """Return a bound, or an array of them, in the dtype of an array."""
    number = _number(bound, name, absent)
    values = np.array(number) if number is not None else _fitting(checks.reals(bound, name), name, source)
    return rounded(values, source.dtype)


def _fitting(bounds: Array, name: str, source: Array) -> Array:
    """Check that bounds broadcast to the shape of an array; return them as they are, faster for a scalar."""
    if bounds.ndim > 0:
        checks.broadcast(bounds, source.shape, name)
    return bounds


def _write_integers(source: Array, target: Array, low: Any, high: Any) -> None:
    lowest = _integers(low, "clip_value_min", source)
    highest = _integers(high, "clip_value_max", source)
    if lowest is None or highest is None:
        extremum = np.maximum if highest is None else np.minimum
        extremum(source, lowest if highest is None else highest, out=target)  # type: ignore[arg-type]
    else:
        _clip(source, lowest, np.maximum(lowest, highest), target)


def _integers(bound: Any, name: str, source: Array) -> Array | None:
    """Return the bounds in an integer dtype, raising for one that the dtype cannot represent."""
    if bound is None:
        return None
    dtype: Any = source.dtype
    least, most = _range(dtype.type)
    if isinstance(bound, int | np.integer) and not isinstance(bound, bool):
        if not least <= bound <= most:
            raise ValueError(f"{name} should be representable in {dtype}. Received {brief(bound)}")
        return np.array(bound, dtype)
    values = _fitting(checks.real_array(bound, name), name, source)
    if values.dtype.kind in "iu":
        fits = (values >= least) & (values <= most)
    else:
        # As a float64, 2**63 - 1 is rounded up to 2**63, which does not fit: compare with most + 1.
        values = values.astype(np.float64)
        fits = (values >= float(least)) & (values < float(most + 1)) & (values == np.trunc(values))
    if not np.all(fits):
        wrong = values[~fits].flat[0] if values.ndim else values[()]
        raise ValueError(f"{name} should be representable in {dtype}. Received {brief(wrong)}")
    return values.astype(dtype)


@cache
def _range(kind: Any) -> tuple[int, int]:
    return int(np.iinfo(kind).min), int(np.iinfo(kind).max)
