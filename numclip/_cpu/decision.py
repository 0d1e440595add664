"""The decision of the contract for many slices: without library calls, and mostly for eight at a time.

Numba calls a library for `math.frexp` and `math.ldexp`, some ten times for each decision: for a short slice,
that takes longer than its sum. For normal numbers both are a few operations on the bits, with the same
result. Where no number can leave the range of float64, none of them is needed: eight slices are decided side
by side by the same operations on the same fractions, so with the same bits.
"""

import math
from types import FunctionType, ModuleType
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numclip._core import contract
from numclip._core.emit import emitter
from numclip._core.half import F32, F64, splat
from numclip._core.jit import choosing_helper, helper, named_helper
from numclip._cpu.kernels import prescale_for, returned_norm
from numclip._cpu.simd import WIDTH, absolute, add, lanes, subtract, vector_function
from numclip._cpu.simd_memory import load, store

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


@helper
def decide(
    total: float, error: float, prescale: float, clip_norm: float, compensated: Any
) -> tuple[float, float]:
    """Return (factor, prefactor) of a slice with this sum of squares, of elements times prescale."""
    norm_hi, norm_lo = square_root(total, error)
    norm = returned_norm(norm_hi, norm_lo, prescale, 1.0, compensated is not None)
    return scale_factor(norm_hi, norm_lo, prescale, norm, clip_norm, 0.0, 1.0)


# --- eight at a time ----------------------------------------------------------------------------------------

# Within these bounds, no number on the way to the factor leaves the normal ones.
SMALLEST_TOTAL, LARGEST_TOTAL = 2.0**-200, 2.0**200
SMALLEST_ERROR = 2.0**-500
SMALLEST_LIMIT, LARGEST_LIMIT = 2.0**-100, 2.0**100


@emits(lambda left, right: lanes(lanes, lanes))
def _divide(emit: Any, left: Any, right: Any) -> Any:
    """Return left / right."""
    return emit.builder.fdiv(left, right)


@emits(lambda left, right: lanes(lanes, lanes))
def multiply_lanes(emit: Any, left: Any, right: Any) -> Any:
    """Return left * right."""
    return emit.builder.fmul(left, right)


@emits(lambda value: lanes(lanes))
def _root(emit: Any, value: Any) -> Any:
    """Return the square root."""
    return vector_function(emit.builder, "sqrt", value)


@emits(lambda left, right, rounded: lanes(lanes, lanes, lanes))
def _residual(emit: Any, left: Any, right: Any, rounded: Any) -> Any:
    """Return rounded - left * right: exact where `left` is the quotient of the others, or their root."""
    return vector_function(emit.builder, "fma", emit.builder.fneg(left), right, rounded)


@emits(lambda value: lanes(lanes))
def _rounded(emit: Any, value: Any) -> Any:
    """Return the value rounded to float32."""
    return emit.builder.fpext(emit.builder.fptrunc(value, F32), F64)


@emits(lambda norm, limit, factor: lanes(lanes, lanes, lanes))
def _kept_or(emit: Any, norm: Any, limit: Any, factor: Any) -> Any:
    """Return 1 where norm <= limit, else the factor."""
    return emit.builder.select(emit.builder.fcmp_ordered("<=", norm, limit), splat(F64, 1.0), factor)


@emits(lambda value, least, most: types.boolean(lanes, types.float64, types.float64))
def _all_within(emit: Any, value: Any, least: Any, most: Any) -> Any:
    """Tell whether least <= value <= most in each lane."""
    builder, inside = emit.builder, ir.IntType(WIDTH)(2**WIDTH - 1)
    for relation, bound in ((">=", least), ("<=", most)):
        first = builder.insert_element(ir.Constant(F64, ir.Undefined), bound, ir.IntType(32)(0))
        bounds = builder.shuffle_vector(first, first, splat(ir.VectorType(ir.IntType(32), WIDTH), 0))
        holds = builder.fcmp_ordered(relation, value, bounds)
        inside = builder.and_(inside, builder.bitcast(holds, ir.IntType(WIDTH)))
    return builder.icmp_unsigned("==", inside, ir.IntType(WIDTH)(2**WIDTH - 1))


@choosing_helper
def _are_ordinary(total: Any, error: Any, limit: Any, compensated: Any) -> bool:
    if not _all_within(total, SMALLEST_TOTAL, LARGEST_TOTAL):
        return False
    if compensated is not None and not _all_within(absolute(error), SMALLEST_ERROR, LARGEST_TOTAL):
        return False
    return _all_within(limit, SMALLEST_LIMIT, LARGEST_LIMIT)


@choosing_helper
def _decide_eight(totals: Any, errors: Any, k: int, clip_norms: Any, first: int, compensated: Any) -> bool:
    """Do what `decide_group` does for eight slices; return False if one is out of the ordinary."""
    total, error, limit = load(totals, k), load(errors, k), load(clip_norms, first)
    if not _are_ordinary(total, error, limit, compensated):
        return False
    root = _root(total)
    rest = _divide(add(_residual(root, root, total), error), add(root, root))
    norm = add(root, rest)
    ratio = _divide(limit, root)
    difference = subtract(_divide(_residual(ratio, root, limit), ratio), rest)
    factor = add(ratio, _divide(multiply_lanes(difference, ratio), root))
    if compensated is None:
        factor = _kept_or(_rounded(norm), limit, factor)
    store(totals, k, _kept_or(norm, limit, factor))
    for i in range(k, k + WIDTH):
        errors[i] = 1.0
    return True


@helper
def decide_group(
    totals: Any, errors: Any, k: int, end: int, clip_norms: Any, first: int, compensated: Any
) -> bool:
    """Replace the sums of squares and errors of slices k, k + 1 ... by (factor, prefactor).

    They are eight slices, or as many as there are up to `end`; their clip_norms are those from `first` on. Or
    return False, with nothing replaced, if one has to be summed again.
    """
    if k + WIDTH <= end and _decide_eight(totals, errors, k, clip_norms, first, compensated):
        return True
    end = min(k + WIDTH, end)
    if compensated is not None:
        for i in range(k, end):
            if prescale_for(totals[i]) != 1.0:
                return False
    for i in range(k, end):
        totals[i], errors[i] = decide(totals[i], errors[i], 1.0, clip_norms[first + i - k], compensated)
    return True
