"""Elements of 32 bits and fewer times a factor, in float32 where that is sure to round as float64 does.

The road by float64 rounds the exact product to float64, and that to the element type. A vector for which the
quick products below are in doubt is left to it.

float16, bfloat16: the product in float32 is off by less than two units in its last place, and the narrow
result keeps 11 or 8 of its 24 bits. Only where it comes so near to the middle of two narrow numbers may it
be rounded to the wrong one: one vector in 200 for bfloat16.

float32 (after Brisebarre and Muller, "Correctly rounded multiplication by arbitrary precision constants",
IEEE Trans. Computers 57, 2008): the factor f is the exact sum of `first`, a float32 below f (1 - 2**-23), and
`second`, about 2**-22 f. A vector x is multiplied by `second (1 - 2**-20)` and by `second (1 + 2**-20)` in
float32. The two roundings of each product are off by less than 2**-23 of it: x * second lies between them, at
more than 2**-44 of x * f from either. So x * f, both exact and rounded to float64, lies between the sums of
x * first and the one or the other. A fused multiply-add rounds each sum once, and rounding is monotone: where
both give the same float32, so does everything between them. The products with `second` must be normal for
that, or zero because x is. About one vector in 5000 is in doubt; but nearly all with a factor such as 7/10,
by which every tenth product lies in the middle of two float32. A NaN stays the same NaN, infinities and
signed zeros stay what they are.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numclip._core.contract import LANES
from numclip._core.emit import emitter
from numclip._core.half import bfloat_to_float, float_to_half, half_to_float, splat, upper_half, vector_of

# Between these, a factor and its parts are normal float32 numbers, and a product of float16 is normal too. A
# subnormal product of bfloat16 is off by no more of its last places.
SMALLEST_FACTOR, LARGEST_FACTOR = 2.0**-80, 2.0**80

emits = emitter(intrinsic)

_I32 = ir.IntType(32)
_MIDDLE, _MARGIN = 0x8000, 4  # in the 16 bits that bfloat16 does not have


def _spread(builder: Any, number: Any, vector: Any) -> Any:
    """Return a vector with a number in each lane, a float64 rounded to float32."""
    if number.type == ir.DoubleType():
        number = builder.fptrunc(number, ir.FloatType())
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, _I32(0))
    return builder.shuffle_vector(first, first, splat(ir.VectorType(_I32, vector.count), 0))


def _halves(builder: Any, vector: Any) -> list[Any]:
    """Return the first and the second half of the lanes."""
    size = vector.type.count // 2
    places = [ir.Constant(ir.VectorType(_I32, size), [*range(i, i + size)]) for i in (0, size)]
    return [builder.shuffle_vector(vector, vector, place) for place in places]


def _has_fused_products(context: Any) -> bool:
    """Tell whether the processor multiplies and adds in one rounding; else LLVM would call a library."""
    triple, _, features = context.codegen().magic_tuple()
    return "+fma" in features.split(",") or triple.startswith(("aarch64", "arm64"))


def _bfloat_products(context: Any, builder: Any, bits: Any, factor: Any) -> tuple[Any, Any]:
    """Return the products, and which of them are in doubt. A NaN stays one: its lower half is 0."""
    integer = vector_of(_I32, bits)
    value = bfloat_to_float(builder, bits)
    product = builder.bitcast(builder.fmul(value, _spread(builder, factor, value.type)), integer)
    from_middle = builder.add(product, splat(integer, 0x10000 - _MIDDLE + _MARGIN))
    distance = builder.and_(from_middle, splat(integer, 0xFFFF))
    doubt = builder.icmp_unsigned("<=", distance, splat(integer, 2 * _MARGIN))
    return builder.trunc(upper_half(builder, product), bits.type), doubt


def _half_products(context: Any, builder: Any, bits: Any, factor: Any) -> tuple[Any, Any]:
    """Return the products with a slightly larger factor, and where a slightly smaller one gives another."""
    value = half_to_float(context, builder, bits)
    factors = _spread(builder, factor, value.type)
    above, below = (
        float_to_half(
            context, builder, builder.fmul(value, builder.fmul(factors, splat(factors.type, 1.0 + slight)))
        )
        for slight in (2.0**-22, -(2.0**-22))
    )
    return above, builder.icmp_unsigned("!=", above, below)


def _single_products(context: Any, builder: Any, value: Any, factor: Any) -> tuple[Any, Any]:
    """Return the products with a slightly smaller factor, and which of them are in doubt, by halves."""
    double, integer = ir.DoubleType(), vector_of(_I32, value)
    fused_type = ir.FunctionType(value.type, [value.type] * 3)
    fused = cgutils.get_or_insert_function(builder.module, fused_type, f"llvm.fma.v{value.type.count}f32")
    first = builder.fptrunc(builder.fmul(factor, double(1.0 - 2.0**-22)), ir.FloatType())
    first = builder.fpext(first, double)
    second = builder.fsub(factor, first)
    firsts = _spread(builder, first, value.type)
    below, above = (
        builder.fmul(value, _spread(builder, builder.fmul(second, double(1.0 + slight)), value.type))
        for slight in (-(2.0**-20), 2.0**-20)
    )
    product, other = (
        builder.bitcast(builder.call(fused, [value, firsts, rest]), integer) for rest in (below, above)
    )
    # Twice the bits of x, which drops the sign, less 1: zero becomes the largest.
    magnitude = builder.sub(
        builder.shl(builder.bitcast(value, integer), splat(integer, 1)), splat(integer, 1)
    )
    smallest = builder.fptrunc(builder.fdiv(double(2.0**-125), second), ir.FloatType())
    smallest = builder.shl(builder.bitcast(smallest, _I32), _I32(1))
    # Both halves of the lanes in one test: with a test for each, the decoder was the bound on Zen 5.
    differ = builder.or_(*_halves(builder, builder.xor(product, other)))
    low, high = _halves(builder, magnitude)
    smaller = builder.select(builder.icmp_unsigned("<", low, high), low, high)
    doubt = builder.or_(
        builder.icmp_unsigned("!=", differ, splat(differ.type, 0)),
        builder.icmp_unsigned("<", smaller, _spread(builder, smallest, smaller.type)),
    )
    return builder.bitcast(product, value.type), doubt


# By carrier: (context, builder, vector, factor) -> the products, and which of them are in doubt.
_PRODUCTS = {"float32": _single_products, "uint16": _half_products, "int16": _bfloat_products}


@emits(lambda source, target, index, factor: types.boolean(source, target, types.intp, types.float64))
def scale_quickly(emit: Any, source: Any, target: Any, index: Any, factor: Any) -> Any:
    """Set target[index:index + 32] to the products, and return True; or return False, with nothing written.

    The factor is one between SMALLEST_FACTOR and LARGEST_FACTOR. For float64, and float32 on processors
    without fused multiply-add, it always returns False, so that the compiler drops the call.
    """
    context, builder, types_of_arrays = emit.context, emit.builder, emit.signature.args[:2]
    element = types_of_arrays[0].dtype
    products_of = _PRODUCTS.get(element.name)
    if products_of is None or (element == types.float32 and not _has_fused_products(context)):
        return cgutils.false_bit
    vector = ir.VectorType(context.get_data_type(element), LANES)
    read, written = (
        builder.bitcast(
            builder.gep(context.make_array(typ)(context, builder, array).data, [index]), vector.as_pointer()
        )
        for typ, array in zip(types_of_arrays, (source, target), strict=True)
    )
    align = element.bitwidth // 8
    value = builder.load(read, align=align)
    products, doubt = products_of(context, builder, value, factor)
    mask = builder.bitcast(doubt, ir.IntType(doubt.type.count))
    sure = builder.icmp_unsigned("==", mask, mask.type(0))
    with builder.if_then(sure, likely=True):
        builder.store(products, written, align=align)
    return sure
