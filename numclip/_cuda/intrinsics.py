"""Loads, stores and conversions by address on a CUDA device: everything that is written in LLVM's terms.

Numba compiles `array[i]` to one load per element. The functions here load and store four neighbours at once:
128 bits of float32, 64 of the halves, twice 128 of float64.
"""

from functools import cache
from typing import Any

from llvmlite import ir
from numba import cuda
from numba.cuda import types
from numba.cuda.extending import intrinsic

from numclip._core import half
from numclip._core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

# Rounded by itself, whatever the compiler would like to fuse it with.
multiply = cuda.libdevice.dmul_rn
fused = cuda.libdevice.fma_rn
INT64 = -1  # a kind of its own, for addresses and lengths; the others are those of a table

_INT64, _GLOBAL_MEMORY = ir.IntType(64), 1
_CARRIER = {
    FLOAT32: types.float32,
    FLOAT64: types.float64,
    FLOAT16: types.uint16,
    BFLOAT16: types.int16,
    INT64: types.int64,
}
_STORED = {
    FLOAT32: ir.FloatType(),
    FLOAT64: ir.DoubleType(),
    FLOAT16: ir.IntType(16),
    BFLOAT16: ir.IntType(16),
    INT64: _INT64,
}
_SIZE = {FLOAT32: 4, FLOAT64: 8, FLOAT16: 2, BFLOAT16: 2, INT64: 8}


@cuda.jit(device=True)
def sync_warp() -> None:
    """Wait for the other threads of the warp, and see what they have written."""
    cuda.syncwarp()


def _pointer(builder: Any, address: Any, offset: int, stored: Any) -> Any:
    moved = builder.add(address, ir.Constant(_INT64, offset))
    return builder.inttoptr(moved, ir.PointerType(stored, _GLOBAL_MEMORY))


def _vector(kind: int) -> tuple[Any, int]:
    """Return the widest vector of up to four elements, and how many of these four there are."""
    width = min(4, 16 // _SIZE[kind])
    return ir.VectorType(_STORED[kind], width), 4 // width


@cache
def load(kind: int) -> Any:
    """Make load(address): one element, as it is stored."""

    @intrinsic
    def load_one(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = _pointer(builder, arguments[0], 0, _STORED[kind])
            return builder.load(pointer, align=_SIZE[kind])

        return _CARRIER[kind](types.int64), codegen

    return load_one


@cache
def store(kind: int) -> Any:
    """Make store(address, element)."""

    @intrinsic
    def store_one(typingctx: Any, address: Any, element: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = _pointer(builder, arguments[0], 0, _STORED[kind])
            builder.store(arguments[1], pointer, align=_SIZE[kind])
            return context.get_dummy_value()

        return types.void(types.int64, _CARRIER[kind]), codegen

    return store_one


@cache
def load_bytes(size: int) -> Any:
    """Make load_bytes(address): the 1, 2, 4 or 8 bytes at an address that is aligned to them."""
    carrier, stored = getattr(types, f"uint{8 * size}"), ir.IntType(8 * size)

    @intrinsic
    def load_bits(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(_pointer(builder, arguments[0], 0, stored), align=size)

        return carrier(types.int64), codegen

    return load_bits


@cache
def store_bytes(size: int) -> Any:
    """Make store_bytes(address, bits)."""
    carrier, stored = getattr(types, f"uint{8 * size}"), ir.IntType(8 * size)

    @intrinsic
    def store_bits(typingctx: Any, address: Any, bits: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(arguments[1], _pointer(builder, arguments[0], 0, stored), align=size)
            return context.get_dummy_value()

        return types.void(types.int64, carrier), codegen

    return store_bits


@cache
def load_four(kind: int) -> Any:
    """Make load_four(address): a tuple of four elements; the address is aligned to all four, or 16 bytes."""
    vector, pieces = _vector(kind)
    if _SIZE[kind] == 2:  # in pairs: the compiler would split a vector of halves into two loads
        vector = ir.VectorType(ir.IntType(32), 2)
    align = min(4 * _SIZE[kind], 16)

    def split(builder: Any, element: Any) -> list[Any]:
        if _SIZE[kind] != 2:
            return [element]
        upper = builder.lshr(element, ir.IntType(32)(16))
        return [builder.trunc(half, ir.IntType(16)) for half in (element, upper)]

    @intrinsic
    def load_vector(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            elements = []
            for piece in range(pieces):
                loaded = builder.load(_pointer(builder, arguments[0], piece * align, vector), align=align)
                for i in range(vector.count):
                    elements += split(builder, builder.extract_element(loaded, ir.IntType(32)(i)))
            return context.make_tuple(builder, signature.return_type, elements)

        return types.UniTuple(_CARRIER[kind], 4)(types.int64), codegen

    return load_vector


@cache
def store_four(kind: int) -> Any:
    """Make store_four(address, a, b, c, d), the address aligned as for `load_four`."""
    vector, pieces = _vector(kind)
    align = vector.count * _SIZE[kind]

    @intrinsic
    def store_vector(typingctx: Any, address: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            for piece in range(pieces):
                value = ir.Constant(vector, ir.Undefined)
                for i in range(vector.count):
                    element = arguments[1 + piece * vector.count + i]
                    value = builder.insert_element(value, element, ir.IntType(32)(i))
                builder.store(value, _pointer(builder, arguments[0], piece * align, vector), align=align)
            return context.get_dummy_value()

        return types.void(types.int64, *[_CARRIER[kind]] * 4), codegen

    return store_vector


@cache
def widen(kind: int) -> Any:
    """Make widen(element): its value as a float64."""
    double = ir.DoubleType()

    @intrinsic
    def widen_one(typingctx: Any, element: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (element,) = arguments
            if kind == FLOAT64:
                return element
            if kind == FLOAT16:
                element = builder.bitcast(element, ir.HalfType())
            elif kind == BFLOAT16:
                upper = builder.shl(builder.zext(element, ir.IntType(32)), ir.IntType(32)(16))
                element = builder.bitcast(upper, ir.FloatType())
            return builder.fpext(element, double)

        return types.float64(_CARRIER[kind]), codegen

    return widen_one


@cache
def narrow(kind: int) -> Any:
    """Make narrow(value): a float64 rounded once, to nearest even, as it is stored."""

    @intrinsic
    def narrow_one(typingctx: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (value,) = arguments
            if kind == FLOAT64:
                return value
            if kind == FLOAT32:
                return builder.fptrunc(value, ir.FloatType())
            if kind == FLOAT16:  # one instruction here, and correctly rounded
                return builder.bitcast(builder.fptrunc(value, ir.HalfType()), ir.IntType(16))
            # The lanes that nobody reads cost nothing: the compiler drops them.
            lanes = ir.Constant(half.F64, ir.Undefined)
            lanes = builder.insert_element(lanes, value, ir.IntType(32)(0))
            return builder.extract_element(half.double_to_bfloat(builder, lanes), ir.IntType(32)(0))

        return _CARRIER[kind](types.float64), codegen

    return narrow_one


@cache
def add_square(kind: int) -> Any:
    """Make add_square(total, value): total + value * value, both rounded.

    Squares of 32 bits and fewer are exact in float64, so there one fused instruction gives the same bits.
    """
    exact = kind != FLOAT64

    @intrinsic
    def add_one(typingctx: Any, total: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            total, value = arguments
            double = ir.DoubleType()
            name, count = ("llvm.fma.f64", 3) if exact else ("llvm.nvvm.mul.rn.d", 2)
            function_type = ir.FunctionType(double, [double] * count)
            function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
            if exact:
                return builder.call(function, [value, value, total])
            return builder.fadd(total, builder.call(function, [value, value]))

        return types.float64(types.float64, types.float64), codegen

    return add_one


@intrinsic
def next_ticket(typingctx: Any, address: Any) -> Any:
    """Return the number at `address`, and count it up by one for the next thread that asks."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(builder, arguments[0], 0, _INT64)
        return builder.atomic_rmw("add", pointer, _INT64(1), "monotonic")

    return types.int64(types.int64), codegen
