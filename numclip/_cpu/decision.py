"""The decision of the contract for many slices: `math.frexp` and `math.ldexp` by operations on bits.

Numba calls a library for both functions, some ten times for each decision: for a short slice, that takes
longer than its sum. For normal numbers both are a few operations on the bits, with the same result.
"""

import math
from types import FunctionType, ModuleType
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numclip._core import contract
from numclip._core.emit import emitter
from numclip._core.jit import helper, named_helper

emits = emitter(intrinsic)

_EXPONENT, _BIAS = 0x7FF, 1023
_OTHER_BITS = ~(_EXPONENT << 52)


@emits(lambda value: types.int64(types.float64))
def _bits(emit: Any, value: Any) -> Any:
    """Return the bits of a float64."""
    return emit.builder.bitcast(value, ir.IntType(64))


@emits(lambda bits: types.float64(types.int64))
def _float(emit: Any, bits: Any) -> Any:
    """Return the float64 with these bits."""
    return emit.builder.bitcast(bits, ir.DoubleType())


@emits(lambda power: types.int64(types.int32))
def _widened(emit: Any, power: Any) -> Any:
    """Return an exponent as 64 bits."""
    return emit.builder.sext(power, ir.IntType(64))


@helper
def _frexp(value: float) -> tuple[float, int]:
    bits = _bits(value)
    exponent = (bits >> 52) & _EXPONENT
    if exponent in (0, _EXPONENT):  # zero, subnormal, infinite or NaN
        fraction, power = math.frexp(value)
        return fraction, _widened(power)
    return _float((bits & _OTHER_BITS) | (_BIAS - 1) << 52), exponent - (_BIAS - 1)


@helper
def _ldexp(value: float, power: int) -> float:
    if -_BIAS < power <= _BIAS:
        return value * _float((power + _BIAS) << 52)
    return math.ldexp(value, power)


_math = ModuleType("math")
_math.__dict__.update(vars(math) | {"frexp": _frexp, "ldexp": _ldexp})
_names = vars(contract) | {"math": _math}


def _by_bits(function: Any) -> Any:
    """Return a function of the contract that calls `_frexp` and `_ldexp` instead of those of `math`."""
    return FunctionType(function.__code__, _names)


square_root = named_helper("square_root_by_bits")(_by_bits(contract.square_root))
_quotient = named_helper("quotient_by_bits")(_by_bits(contract.quotient))
scale_factor = named_helper("scale_factor_by_bits")(_by_bits(contract.scale_factor_by)(_quotient))
