"""Clipping that never ends above the bound: the exact norm of the results is at most clip_norm.

Let S be the exact sum of squares, N = sqrt(S), c the threshold, and f a number with f * N <= c. If no result
is larger in magnitude than f times its element, then the norm of the results is at most f * N, and so at most
c: squares and their sums are monotone. Two things are to be shown.

**f * N <= c.** The sums of strict clipping are compensated for every element type: the sum and its error are
off by less than 2**-80 of S, up to 2**30 elements whose squares underflow included, and the root by less than
2**-95 (see `_cpu/sums.py`, `contract.square_root`). So N is less than the computed norm times 1 + MARGIN, a
rational number D. f is at most c / D in 106 bits, rounded down in integer arithmetic.

**No product above f times its element.** f = hi + lo. With p = hi * x rounded, q = fma(hi, x, -p), which is
exact, t = fma(lo, x, q), s = p + t and r = t - (s - p), which is exact again (Dekker, 1971), f * x is s + r
but for the rounding of t: less than 2**-103 of it, for which MARGIN leaves room. If s and r have opposite
signs, s is above f * x in magnitude and takes one step towards zero. Rounding s to the element type takes
another such step where the rounded magnitude is above that of s. A result is therefore f * x rounded towards
zero: less than a unit in its last place is lost, but for the effect of MARGIN, 2**-17 of a float64's last
place. Where q could underflow, the fraction of an element is multiplied, and its exponent added afterwards.
"""

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from numclip._arrays.options import Options
from numclip._core.contract import CHUNK
from numclip._core.emit import emitter
from numclip._core.environment import default_environment
from numclip._core.fpenv import default_fpenv
from numclip._core.half import F64, I64, NARROW, WIDEN, splat
from numclip._core.jit import choosing_helper, helper, kernel
from numclip._cpu.blocks import bounds, typed_list, view
from numclip._cpu.simd import WIDTH, first_lane, lanes
from numclip._cpu.simd_memory import load, load_masked, store, store_masked
from numclip._cpu.typecodes import compensated_alone, typecode_type

MARGIN = Fraction(1, 2**70)
# Below 2**TINY_EXPONENT the error of a float64 product may be no float64.
TINY_EXPONENT = -900
_BITS = 53

_INT, _FLOAT = types.int64, types.float64
_ROWS = types.Array(types.int64, 2, "C")

emits = emitter(intrinsic)


# --- the factor ---------------------------------------------------------------------------------------------


class Factor(NamedTuple):
    """The number (hi + lo) * 2**exponent, hi of 53 bits from 1/2 to 1, lo of the next 53."""

    hi: float
    lo: float
    exponent: int

    @property
    def value(self) -> float:
        """The factor, rounded down: less than 1 where it is."""
        return math.ldexp(self.hi, self.exponent)


def factor_below(
    norm_hi: float, norm_lo: float, prescale: float, clip_norm: float, options: Options, arrays: list[Any]
) -> Factor | None:
    """Return a factor that brings the norm of the elements to at most clip_norm; None if nothing is clipped.

    Of `contract.scale_factor`'s formula, in rational numbers. The norm is (norm_hi + norm_lo) / prescale.
    """
    with default_environment():
        norm = (Fraction(norm_hi) + Fraction(norm_lo)) / Fraction(prescale)
        eps, loss_scale, limit = map(Fraction, (options.eps, options.loss_scale, clip_norm))
        divisor = norm * (1 + MARGIN) + eps * loss_scale
        if divisor <= limit * loss_scale:
            return None if loss_scale == 1 else _rounded_down(1 / loss_scale)
        # Too close to decide by these bounds, as for [3, 4] and a clip_norm of 5.
        is_close = loss_scale == 1 and eps <= limit and norm * (1 - MARGIN) + eps <= limit
        if is_close and _sum_of_squares(arrays) <= (limit - eps) ** 2:
            return None
        return _rounded_down(limit / divisor)


def _rounded_down(ratio: Fraction) -> Factor:
    numerator, denominator = ratio.as_integer_ratio()
    exponent = numerator.bit_length() - denominator.bit_length()
    exponent += (
        numerator >= denominator << exponent if exponent >= 0 else numerator << -exponent >= denominator
    )
    shift = 2 * _BITS - exponent
    digits = (numerator << shift) // denominator if shift >= 0 else numerator // (denominator << -shift)
    hi, lo = divmod(digits, 1 << _BITS)
    # Above 2**1024 it is the inverse of a subnormal loss_scale: a smaller factor is safe.
    return Factor(math.ldexp(hi, -_BITS), math.ldexp(lo, -2 * _BITS), min(exponent, 1024))


def _sum_of_squares(arrays: list[Any]) -> Fraction:
    """Return the exact sum of squares of all elements, each magnitude once, times how often it is there."""
    total = Fraction(0)
    for array in arrays:
        if array is not None:
            flat = array.reshape(-1)
            reals = flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat.astype(np.float64)
            magnitudes, counts = np.unique(np.abs(reals), return_counts=True)
            squares = zip(magnitudes.tolist(), counts.tolist(), strict=True)
            total += sum((Fraction(magnitude) ** 2 * count for magnitude, count in squares), Fraction(0))
    return total


# --- the products -------------------------------------------------------------------------------------------


def _towards_zero(builder: Any, raw: Any, is_above: Any) -> Any:
    """Take a step towards zero in the lanes that are above: one less, as an integer."""
    integer = ir.VectorType(ir.IntType(_width(raw.type.element)), WIDTH)
    stepped = builder.sub(builder.bitcast(raw, integer), builder.zext(is_above, integer))
    return builder.bitcast(stepped, raw.type)


def _width(element: Any) -> int:
    return {ir.FloatType(): 32, ir.DoubleType(): 64}.get(element) or int(element.width)


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    function_type = ir.FunctionType(F64, [F64] * len(arguments))
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.v{WIDTH}f64")
    return builder.call(function, arguments)


def _in_each_lane(builder: Any, number: Any) -> Any:
    first = builder.insert_element(ir.Constant(F64, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, first, splat(ir.VectorType(ir.IntType(32), WIDTH), 0))


@emits(lambda number: lanes(_FLOAT))
def _repeated(emit: Any, number: Any) -> Any:
    """Return the number in each lane."""
    return _in_each_lane(emit.builder, number)


@emits(lambda value, hi, lo: lanes(lanes, _FLOAT, _FLOAT))
def _product_below(emit: Any, value: Any, hi: Any, lo: Any) -> Any:
    """Return value * (hi + lo) rounded towards zero, where nothing underflows."""
    builder = emit.builder
    hi, lo = _in_each_lane(builder, hi), _in_each_lane(builder, lo)
    p = builder.fmul(hi, value)
    t = _call(builder, "fma", lo, value, _call(builder, "fma", hi, value, builder.fneg(p)))
    s = builder.fadd(p, t)
    r = builder.fsub(t, builder.fsub(s, p))
    signs = builder.xor(builder.bitcast(s, I64), builder.bitcast(r, I64))
    opposite = builder.icmp_signed("<", signs, splat(I64, 0))
    is_above = builder.and_(opposite, builder.fcmp_ordered("!=", r, splat(F64, 0.0)))
    # Of a zero, the sum of p and t has lost the sign.
    return _towards_zero(builder, _call(builder, "copysign", s, value), is_above)


@emits(lambda value, array: lanes(lanes, array))
def _truncated(emit: Any, value: Any, array: Any) -> Any:
    """Return a value rounded towards zero to the element type of an array."""
    builder, name = emit.builder, emit.signature.args[1].dtype.name
    raw = NARROW[name](emit.context, builder, value)
    back = WIDEN[name](emit.context, builder, raw)
    above = builder.fcmp_ordered(">", _call(builder, "fabs", back), _call(builder, "fabs", value))
    return WIDEN[name](emit.context, builder, _towards_zero(builder, raw, above))


@emits(lambda value, product: types.boolean(lanes, lanes))
def _is_any_tiny(emit: Any, value: Any, product: Any) -> Any:
    """Tell whether the product of an element that is not zero is tiny."""
    builder = emit.builder
    small = builder.fcmp_unordered("<", _call(builder, "fabs", product), splat(F64, 2.0**TINY_EXPONENT))
    there = builder.fcmp_unordered("!=", value, splat(F64, 0.0))
    mask = builder.bitcast(builder.and_(small, there), ir.IntType(WIDTH))
    return builder.icmp_unsigned("!=", mask, ir.IntType(WIDTH)(0))


@helper
def _tiny_product(value: float, hi: float, lo: float, exponent: int) -> float:
    """Return value * (hi + lo) * 2**exponent rounded towards zero, whatever underflows."""
    fraction, power = math.frexp(value)
    product, power = first_lane(_product_below(_repeated(fraction), hi, lo)), power + exponent
    result = math.ldexp(product, power)
    if abs(math.ldexp(result, -power)) > abs(product):
        result = np.nextafter(result, 0.0)
    return result


@choosing_helper
def _scale_segment(source: Any, target: Any, wide: Any, hi: float, lo: float, exponent: int) -> None:
    scaled_hi, scaled_lo = 0.0, 0.0
    if exponent > TINY_EXPONENT:
        scaled_hi, scaled_lo = math.ldexp(hi, exponent), math.ldexp(lo, exponent)
    for i in range(0, source.size, WIDTH):
        left = source.size - i
        value = load(source, i) if left >= WIDTH else load_masked(source, i, left)
        product = _product_below(value, scaled_hi, scaled_lo)
        if wide is not None and _is_any_tiny(value, product):
            for j in range(i, min(i + WIDTH, source.size)):
                target[j] = _tiny_product(source[j], hi, lo, exponent)
        elif left >= WIDTH:
            store(target, i, _truncated(product, target))
        else:
            store_masked(target, i, left, _truncated(product, target))


@default_fpenv
@helper
def _scale_block(
    items: Any, typecode: Any, start: int, stop: int, hi: float, lo: float, exponent: int
) -> None:
    for item in range(len(items)):
        source, target, length, first, _ = items[item]
        begin, end = max(start - first, 0) * CHUNK, min((stop - first) * CHUNK, length)
        if target != 0 and begin < end:
            part = slice(begin, end)
            read, written = view(source, length, typecode)[part], view(target, length, typecode)[part]
            _scale_segment(read, written, compensated_alone(typecode), hi, lo, exponent)


@kernel(lambda typecode: (_ROWS, typecode_type(typecode), _INT, _FLOAT, _FLOAT, _INT), parallel=True)
def scale_below(rows: Any, typecode: Any, blocks: int, hi: float, lo: float, exponent: int) -> None:
    """Write each row of this typecode times a `Factor`, every product rounded towards zero."""
    items, chunks = typed_list(rows, typecode)
    for block in prange(blocks):
        start, stop = bounds(block, blocks, chunks)
        _scale_block(items, typecode, start, stop, hi, lo, exponent)
