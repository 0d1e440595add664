"""Eight float64 lanes as a Numba type, and their arithmetic, on which the order of the sum is defined.

The auto-vectoriser makes a sum either slow or dependent on the processor in its order. Here LLVM compiles
`<8 x double>` to one AVX-512, two AVX or four SSE2 registers: the same bits on each.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from numclip._core.emit import emitter
from numclip._core.half import F64, I64, splat

WIDTH = 8

emits = emitter(intrinsic)


class LanesType(types.Type):
    """The Numba type of eight float64 lanes."""

    def __init__(self) -> None:
        super().__init__(name="numclip.Lanes")


lanes = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, F64)


def vector_function(builder: Any, name: str, *arguments: Any) -> Any:
    """Call one of LLVM's functions on lanes."""
    function_type = ir.FunctionType(F64, [F64] * len(arguments))
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.v{WIDTH}f64")
    return builder.call(function, arguments)


@emits(lambda: lanes())
def zeros(emit: Any) -> Any:
    """Return eight zeros."""
    return splat(F64, 0.0)


@emits(lambda left, right: lanes(lanes, lanes))
def add(emit: Any, left: Any, right: Any) -> Any:
    """Return left + right."""
    return emit.builder.fadd(left, right)


@emits(lambda left, right: lanes(lanes, lanes))
def subtract(emit: Any, left: Any, right: Any) -> Any:
    """Return left - right."""
    return emit.builder.fsub(left, right)


@emits(lambda left, right: lanes(lanes, lanes))
def minimum(emit: Any, left: Any, right: Any) -> Any:
    """Return the smaller one of left and right."""
    return emit.builder.select(emit.builder.fcmp_ordered("<", left, right), left, right)


@emits(lambda left, right: lanes(lanes, lanes))
def maximum(emit: Any, left: Any, right: Any) -> Any:
    """Return the larger one of left and right."""
    return emit.builder.select(emit.builder.fcmp_ordered(">", left, right), left, right)


@emits(lambda value: lanes(lanes))
def absolute(emit: Any, value: Any) -> Any:
    """Return the absolute value."""
    return vector_function(emit.builder, "fabs", value)


@emits(lambda left, right: lanes(lanes, lanes))
def larger_magnitude(emit: Any, left: Any, right: Any) -> Any:
    """Return the larger of two values that are not negative, compared by their bits: NaN is the largest."""
    bits = [emit.builder.bitcast(value, I64) for value in (left, right)]
    return emit.builder.select(emit.builder.icmp_signed(">", *bits), left, right)


@emits(lambda value, factor: lanes(lanes, types.float64))
def multiply(emit: Any, value: Any, factor: Any) -> Any:
    """Return value * factor for a scalar factor."""
    builder = emit.builder
    first = builder.insert_element(ir.Constant(F64, ir.Undefined), factor, ir.IntType(32)(0))
    factors = builder.shuffle_vector(first, first, splat(ir.VectorType(ir.IntType(32), WIDTH), 0))
    return builder.fmul(value, factors)


@emits(lambda total, value, array: lanes(lanes, lanes, array))
def add_square(emit: Any, total: Any, value: Any, array: Any) -> Any:
    """Return total + value * value, both rounded, for a value that was loaded from `array`.

    Squares of elements of 32 bits and fewer are exact in float64: FMA gives the same bits, and is faster (see
    benchmarks/notes.md). A float64 square has to be rounded separately.
    """
    if emit.signature.args[2].dtype == types.float64:
        return emit.builder.fadd(total, emit.builder.fmul(value, value))
    return vector_function(emit.builder, "fmuladd", value, value, total)


@emits(lambda value: lanes(lanes))
def square(emit: Any, value: Any) -> Any:
    """Return value * value."""
    return emit.builder.fmul(value, value)


@emits(lambda value, squared: lanes(lanes, lanes))
def square_error(emit: Any, value: Any, squared: Any) -> Any:
    """Return value * value - squared, rounded once: the rounding error of the square."""
    return vector_function(emit.builder, "fma", value, value, emit.builder.fneg(squared))


@intrinsic(prefer_literal=True)
def shift_lanes_down(typingctx: Any, value: Any, count: Any) -> Any:
    """Return the lanes moved down: lane l gets lane l + count, and the last `count` lanes get zeros."""
    distance = count.literal_value

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        order = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), list(range(distance, distance + WIDTH)))
        return builder.shuffle_vector(arguments[0], splat(F64, 0.0), order)

    return lanes(lanes, count), codegen


@emits(lambda value: types.float64(lanes))
def first_lane(emit: Any, value: Any) -> Any:
    """Return lane 0."""
    return emit.builder.extract_element(value, ir.IntType(32)(0))
