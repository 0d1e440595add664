"""Between eight float64 lanes and memory: loads that widen, stores that round once, whole or in part."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numclip._core.contract import LANES
from numclip._core.half import (
    F32,
    F64,
    I64,
    bfloat_to_float,
    double_to_bfloat,
    double_to_half,
    half_to_float,
    splat,
)
from numclip._cpu.simd import WIDTH, lanes

CACHE_LINE = 64
# The processor's own look ahead ends at a page. With this one, 25 million float32 are summed in 2.1 ms, not
# 2.5, and summed and scaled in 4.8, not 5.5; 4 million float64 in 0.56, not 0.72, and in 1.2, not 1.4. Lists
# in the cache are neither faster nor slower. 4096 bytes gain half of that, 16384 a little less.
AHEAD = 8192


def _vector_pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    vector = ir.VectorType(data.type.pointee, WIDTH)
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer()), vector


def _widen(context: Any, builder: Any, dtype: Any, raw: Any) -> Any:
    if dtype == types.float64:
        return raw
    if dtype == types.float32:
        return builder.fpext(raw, F64)
    single = half_to_float(context, builder, raw) if dtype == types.uint16 else bfloat_to_float(builder, raw)
    return builder.fpext(single, F64)


def _narrow(context: Any, builder: Any, dtype: Any, value: Any) -> Any:
    if dtype == types.float64:
        return value
    if dtype == types.float32:
        return builder.fptrunc(value, F32)
    if dtype == types.uint16:
        return double_to_half(context, builder, value)
    return double_to_bfloat(builder, value)


def _mask(builder: Any, count: Any) -> Any:
    """Return the lanes below `count`."""
    first = builder.insert_element(ir.Constant(I64, ir.Undefined), count, ir.IntType(32)(0))
    counts = builder.shuffle_vector(first, first, splat(ir.VectorType(ir.IntType(32), WIDTH), 0))
    return builder.icmp_signed("<", ir.Constant(I64, list(range(WIDTH))), counts)


def _masked(builder: Any, verb: str, vector: Any, result: Any, arguments: list[Any]) -> Any:
    element = {ir.FloatType(): "f32", ir.DoubleType(): "f64", ir.IntType(16): "i16"}[vector.element]
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    name = f"llvm.masked.{verb}.v{WIDTH}{element}.p0"
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), arguments)


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """Return array[index:index + 8], widened."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, _ = _vector_pointer(context, builder, signature.args[0], *arguments)
        raw = builder.load(pointer, align=array.dtype.bitwidth // 8)
        return _widen(context, builder, array.dtype, raw)

    return lanes(array, types.intp), codegen


@intrinsic
def fetch_ahead(typingctx: Any, array: Any, index: Any) -> Any:
    """Have the memory bring the 32 elements that follow array[index:index + 32] by AHEAD bytes.

    Never more than the last ones of the array: what lies behind it is nobody's business here.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        item = array.dtype.bitwidth // 8
        ahead = builder.add(arguments[1], ir.IntType(64)(AHEAD // item))
        last = builder.sub(builder.extract_value(struct.shape, 0), ir.IntType(64)(LANES))
        nearer = builder.select(builder.icmp_signed("<", ahead, last), ahead, last)
        first = builder.bitcast(builder.gep(struct.data, [nearer]), cgutils.voidptr_t)
        read, keep, data = (ir.IntType(32)(flag) for flag in (0, 3, 1))
        function_type = ir.FunctionType(ir.VoidType(), [first.type, read.type, keep.type, data.type])
        prefetch = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        for line in range(0, LANES * item, CACHE_LINE):
            address = builder.gep(first, [ir.IntType(64)(line)])
            builder.call(prefetch, [address, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def load_part(typingctx: Any, array: Any, index: Any, count: Any) -> Any:
    """Return array[index:index + count], widened, and zeros up to eight; memory behind it is not touched."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, vector = _vector_pointer(context, builder, signature.args[0], *arguments[:2])
        align = ir.IntType(32)(array.dtype.bitwidth // 8)
        mask = _mask(builder, arguments[2])
        raw = _masked(builder, "load", vector, vector, [pointer, align, mask, splat(vector, 0)])
        return _widen(context, builder, array.dtype, raw)

    return lanes(array, types.intp, types.intp), codegen


def _store(streaming: bool) -> Any:
    @intrinsic
    def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer, _ = _vector_pointer(context, builder, signature.args[0], *arguments[:2])
            item = array.dtype.bitwidth // 8
            align = WIDTH * item if streaming else item
            written = builder.store(
                _narrow(context, builder, array.dtype, arguments[2]), pointer, align=align
            )
            if streaming:
                written.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
            return context.get_dummy_value()

        return types.void(array, types.intp, lanes), codegen

    return store


# Set array[index:index + 8], rounded once. The second one goes past the caches, to an address that is a
# multiple of the vector's size; fence() has to follow before another thread reads.
store, stream = _store(streaming=False), _store(streaming=True)


@intrinsic
def fence(typingctx: Any) -> Any:
    """Order the streaming stores before everything that follows."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def store_part(typingctx: Any, array: Any, index: Any, count: Any, value: Any) -> Any:
    """Set array[index:index + count], rounded once; memory behind it is not touched."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, vector = _vector_pointer(context, builder, signature.args[0], *arguments[:2])
        align = ir.IntType(32)(array.dtype.bitwidth // 8)
        raw = _narrow(context, builder, array.dtype, arguments[3])
        _masked(builder, "store", vector, ir.VoidType(), [raw, pointer, align, _mask(builder, arguments[2])])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), codegen
