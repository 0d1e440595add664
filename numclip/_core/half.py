"""Conversions between the bits of each element type and float64 or float32, in vectors, as LLVM instructions.

Numba's CPU target has no 16-bit floats: uint16 carries the bits of float16, int16 those of bfloat16. Widening
is exact. Narrowing rounds once, to nearest even.
"""

from typing import Any

from llvmlite import ir

F32 = ir.VectorType(ir.FloatType(), 8)
F64 = ir.VectorType(ir.DoubleType(), 8)
I64 = ir.VectorType(ir.IntType(64), 8)


def vector_of(element: Any, like: Any) -> Any:
    """Return the type of a vector with as many lanes as the value `like` has."""
    return ir.VectorType(element, like.type.count)


def splat(vector: Any, value: Any) -> Any:
    """Return the constant vector with `value` in each lane."""
    return ir.Constant(vector, [value] * vector.count)


def has_half_instructions(context: Any) -> bool:
    """Tell whether LLVM converts halves by instructions; else it would call a library that may be missing."""
    triple, _, features = context.codegen().magic_tuple()
    return "+f16c" in features.split(",") or triple.startswith(("aarch64", "arm64"))


def half_to_float(context: Any, builder: Any, bits: Any) -> Any:
    """Widen float16 bits, without arithmetic on subnormals."""
    single = vector_of(ir.FloatType(), bits)
    if has_half_instructions(context):
        return builder.fpext(builder.bitcast(bits, vector_of(ir.HalfType(), bits)), single)
    integer = vector_of(ir.IntType(32), bits)
    wide = builder.zext(bits, integer)
    sign = builder.shl(builder.and_(wide, splat(integer, 0x8000)), splat(integer, 16))
    shifted = builder.shl(builder.and_(wide, splat(integer, 0x7FFF)), splat(integer, 13))
    normal = builder.add(shifted, splat(integer, 112 << 23))
    special = builder.add(shifted, splat(integer, 224 << 23))
    # For a subnormal, 2**-14 + value is exact, and so is the subtraction.
    above = builder.bitcast(builder.add(shifted, splat(integer, 113 << 23)), single)
    subnormal = builder.bitcast(builder.fsub(above, splat(single, 2.0**-14)), integer)
    magnitude = builder.select(
        builder.icmp_unsigned("<", shifted, splat(integer, 1 << 23)), subnormal, normal
    )
    magnitude = builder.select(
        builder.icmp_unsigned(">=", shifted, splat(integer, 31 << 23)), special, magnitude
    )
    return builder.bitcast(builder.or_(magnitude, sign), single)


def float_to_half(context: Any, builder: Any, value: Any) -> Any:
    """Round float32 to float16 bits."""
    if has_half_instructions(context):
        narrow = builder.fptrunc(value, vector_of(ir.HalfType(), value))
        return builder.bitcast(narrow, vector_of(ir.IntType(16), value))
    integer = vector_of(ir.IntType(32), value)
    bits = builder.bitcast(value, integer)
    sign = builder.and_(builder.lshr(bits, splat(integer, 16)), splat(integer, 0x8000))
    magnitude = builder.and_(bits, splat(integer, 0x7FFFFFFF))
    even = builder.and_(builder.lshr(magnitude, splat(integer, 13)), splat(integer, 1))
    rounded = builder.add(builder.add(magnitude, splat(integer, 0xFFF - (112 << 23))), even)
    normal = builder.lshr(rounded, splat(integer, 13))
    # The unit in the last place of 0.5 is float16's smallest subnormal: the addition rounds.
    half = builder.fadd(builder.bitcast(magnitude, value.type), splat(value.type, 0.5))
    subnormal = builder.sub(builder.bitcast(half, integer), splat(integer, 0x3F000000))
    result = builder.select(
        builder.icmp_unsigned("<", magnitude, splat(integer, 113 << 23)), subnormal, normal
    )
    overflow = builder.icmp_unsigned(">=", magnitude, splat(integer, 143 << 23))
    result = builder.select(overflow, splat(integer, 0x7C00), result)
    nan = builder.icmp_unsigned(">", magnitude, splat(integer, 255 << 23))
    result = builder.select(nan, splat(integer, 0x7E00), result)
    return builder.trunc(builder.or_(result, sign), vector_of(ir.IntType(16), value))


def bfloat_to_float(builder: Any, bits: Any) -> Any:
    """Widen bfloat16 bits: they are the upper half of a float32."""
    integer = vector_of(ir.IntType(32), bits)
    wide = builder.shl(builder.zext(bits, integer), splat(integer, 16))
    return builder.bitcast(wide, vector_of(ir.FloatType(), bits))


def upper_half(builder: Any, bits: Any) -> Any:
    """Round the bits of a float32 that is not NaN to those of a bfloat16, still in 32 bits."""
    even = builder.and_(builder.lshr(bits, splat(bits.type, 16)), splat(bits.type, 1))
    return builder.lshr(builder.add(builder.add(bits, splat(bits.type, 0x7FFF)), even), splat(bits.type, 16))


def round_to_odd(builder: Any, value: Any) -> Any:
    """Narrow float64 to float32 to odd, so that a second rounding, to 16 bits, gives the result of one.

    If any bit is cut off, the last bit that is kept is set (Boldo and Melquiond, 2008). A subnormal float32
    would be rounded by the conversion itself: to float16 it is 0 in any case, and for bfloat16 it is exact
    already, by `double_to_bfloat`.
    """
    bits = builder.bitcast(value, I64)
    cut = splat(I64, (1 << 29) - 1)
    inexact = builder.icmp_unsigned("!=", builder.and_(bits, cut), splat(I64, 0))
    sticky = builder.select(inexact, splat(I64, 1 << 29), splat(I64, 0))
    kept = builder.or_(builder.and_(bits, splat(I64, ~((1 << 29) - 1))), sticky)
    return builder.fptrunc(builder.bitcast(kept, F64), F32)


def double_to_half(context: Any, builder: Any, value: Any) -> Any:
    """Round float64 to float16 bits."""
    return float_to_half(context, builder, round_to_odd(builder, value))


def double_to_bfloat(builder: Any, value: Any) -> Any:
    """Round float64 to bfloat16 bits."""
    sign = builder.and_(builder.bitcast(value, I64), splat(I64, -(1 << 63)))
    magnitude = builder.bitcast(builder.and_(builder.bitcast(value, I64), splat(I64, (1 << 63) - 1)), F64)
    # Below 2**-126 a bfloat16 is a multiple of 2**-133, the unit in the last place of 2**-81: the addition
    # rounds.
    grid = splat(F64, 1.5 * 2.0**-81)
    gridded = builder.fsub(builder.fadd(magnitude, grid), grid)
    tiny = builder.fcmp_ordered("<", magnitude, splat(F64, 2.0**-126))
    magnitude = builder.select(tiny, gridded, magnitude)
    value = builder.bitcast(builder.or_(builder.bitcast(magnitude, I64), sign), F64)
    bits = builder.bitcast(round_to_odd(builder, value), vector_of(ir.IntType(32), value))
    quiet = builder.or_(builder.lshr(bits, splat(bits.type, 16)), splat(bits.type, 0x40))
    nan = builder.fcmp_unordered("uno", value, value)
    narrow = builder.select(nan, quiet, upper_half(builder, bits))
    return builder.trunc(narrow, vector_of(ir.IntType(16), value))


def _half_to_double(context: Any, builder: Any, bits: Any) -> Any:
    return builder.fpext(half_to_float(context, builder, bits), vector_of(ir.DoubleType(), bits))


def _bfloat_to_double(context: Any, builder: Any, bits: Any) -> Any:
    return builder.fpext(bfloat_to_float(builder, bits), vector_of(ir.DoubleType(), bits))


# By carrier: (context, builder, vector) -> vector, to float64 and back.
WIDEN = {
    "float32": lambda context, builder, value: builder.fpext(value, vector_of(ir.DoubleType(), value)),
    "float64": lambda context, builder, value: value,
    "uint16": _half_to_double,
    "int16": _bfloat_to_double,
}
NARROW = {
    "float32": lambda context, builder, value: builder.fptrunc(value, vector_of(ir.FloatType(), value)),
    "float64": lambda context, builder, value: value,
    "uint16": double_to_half,
    "int16": lambda context, builder, value: double_to_bfloat(builder, value),
}
