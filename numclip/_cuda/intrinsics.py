"""Loads, stores, conversions and barriers of a CUDA device, emitted as LLVM instructions.

Numba compiles `array[i]` to one load per element. `load_four` and `store_four` move four adjacent elements at
once: 128 bits of float32, 64 of 16-bit elements, twice 128 of float64. `simulator.intrinsics` has the same
functions for Numba's simulator.
"""

from functools import cache
from typing import Any

from llvmlite import ir
from numba import cuda
from numba.cuda import types
from numba.cuda.extending import intrinsic

from numclip._core import half
from numclip._core.contract import LANES
from numclip._core.dtypes import BFLOAT16, CARRIER, FLOAT16, FLOAT32, FLOAT64, ITEM_SIZE
from numclip._core.emit import Emit, emitter

emits = emitter(intrinsic)
device = cuda.jit(device=True)

# Each is rounded separately: the compiler must not fuse it with another operation.
multiply = cuda.libdevice.dmul_rn
fused_multiply_add = cuda.libdevice.fma_rn
INT64 = -1  # the typecode of addresses, lengths and counters; no row has it
# The threads of a block.
BLOCK = 128

_I16, _I32, _I64, _F32, _F64 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()
_GLOBAL_MEMORY, _ALL_LANES = 1, 0xFFFFFFFF
_CARRIER = {typecode: getattr(types, name) for typecode, name in CARRIER.items()} | {INT64: types.int64}
_STORED = {FLOAT32: _F32, FLOAT64: _F64, FLOAT16: _I16, BFLOAT16: _I16, INT64: _I64}


def _size(typecode: int) -> int:
    return 8 if typecode == INT64 else ITEM_SIZE[typecode]


def _pointer(builder: Any, address: Any, offset: int, stored: Any) -> Any:
    moved = builder.add(address, _I64(offset))
    return builder.inttoptr(moved, ir.PointerType(stored, _GLOBAL_MEMORY))


# --- threads ------------------------------------------------------------------------------------------------


@device
def sync_warp() -> None:
    """Wait for the other threads of the warp, and see what they have written."""
    cuda.syncwarp()


@device
def sync_block() -> None:
    """Wait for the other threads of the block, and see what they have written."""
    cuda.syncthreads()


@device
def fence() -> None:
    """Order the memory accesses of this thread before and after this point, for the whole device."""
    cuda.threadfence()


@device
def any_lane(predicate):
    """Tell all threads of a warp whether the predicate holds in one of them; it is a barrier too."""
    cuda.syncwarp()
    return cuda.any_sync(_ALL_LANES, predicate)


@device
def any_thread(predicate):
    """Tell all threads of a block whether the predicate holds in one of them; it is a barrier too."""
    return cuda.syncthreads_or(types.int32(predicate)) != 0


@device
def shift_lanes_down(value, distance):
    """Return the float64 of the lane `distance` lanes higher, if there is one."""
    return cuda.shfl_down_sync(_ALL_LANES, value, distance)


@emits(lambda address, last: types.int64(types.int64, types.int64))
def next_ticket(emit: Emit, address: Any, last: Any) -> Any:
    """Return the number at `address`, and increment it atomically, from `last` to 0.

    The thread that takes the last ticket so resets the counter for the next call.
    """
    builder, name = emit.builder, "llvm.nvvm.atomic.load.inc.32.p1i32"
    pointer = _pointer(builder, address, 0, _I32)
    function_type = ir.FunctionType(_I32, [pointer.type, _I32])
    function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
    return builder.zext(builder.call(function, [pointer, builder.trunc(last, _I32)]), _I64)


# --- memory -------------------------------------------------------------------------------------------------


@cache
def load(typecode: int) -> Any:
    """Make load(address): one element, as it is stored."""

    @emits(lambda address: _CARRIER[typecode](types.int64))
    def load_one(emit: Emit, address: Any) -> Any:
        pointer = _pointer(emit.builder, address, 0, _STORED[typecode])
        return emit.builder.load(pointer, align=_size(typecode))

    return load_one


@cache
def load_apart(typecode: int, count: int) -> Any:
    """Make load_apart(address): a tuple of `count` elements, each LANES elements after the one before."""
    stride = LANES * _size(typecode)

    @emits(lambda address: types.UniTuple(_CARRIER[typecode], count)(types.int64))
    def load_many(emit: Emit, address: Any) -> Any:
        pointers = [_pointer(emit.builder, address, i * stride, _STORED[typecode]) for i in range(count)]
        elements = [emit.builder.load(pointer, align=_size(typecode)) for pointer in pointers]
        return emit.context.make_tuple(emit.builder, emit.signature.return_type, elements)

    return load_many


@cache
def load_first(typecode: int, most: int) -> Any:
    """Make load_first(address, count): as `load_apart`, but zeros after the first `count`, at least one.

    All are loaded at once, without a branch: instead of those beyond, the first one again.
    """
    stride, stored = LANES * _size(typecode), _STORED[typecode]

    @emits(lambda address, count: types.UniTuple(_CARRIER[typecode], most)(types.int64, types.int64))
    def load_some(emit: Emit, address: Any, count: Any) -> Any:
        builder, inside, loaded = emit.builder, [], []
        for i in range(most):
            inside.append(builder.icmp_signed("<", _I64(i), count))
            moved = builder.add(address, builder.select(inside[i], _I64(i * stride), _I64(0)))
            loaded.append(builder.load(_pointer(builder, moved, 0, stored), align=_size(typecode)))
        zero = ir.Constant(stored, 0)
        elements = [builder.select(*pair, zero) for pair in zip(inside, loaded, strict=True)]
        return emit.context.make_tuple(builder, emit.signature.return_type, elements)

    return load_some


@cache
def store(typecode: int) -> Any:
    """Make store(address, element)."""

    @emits(lambda address, element: types.void(types.int64, _CARRIER[typecode]))
    def store_one(emit: Emit, address: Any, element: Any) -> None:
        pointer = _pointer(emit.builder, address, 0, _STORED[typecode])
        emit.builder.store(element, pointer, align=_size(typecode))

    return store_one


@cache
def load_bytes(size: int) -> Any:
    """Make load_bytes(address): the 1, 2, 4 or 8 bytes at an address that is aligned to them."""
    carrier, stored = getattr(types, f"uint{8 * size}"), ir.IntType(8 * size)

    @emits(lambda address: carrier(types.int64))
    def load_bits(emit: Emit, address: Any) -> Any:
        return emit.builder.load(_pointer(emit.builder, address, 0, stored), align=size)

    return load_bits


@cache
def store_bytes(size: int) -> Any:
    """Make store_bytes(address, bits)."""
    carrier, stored = getattr(types, f"uint{8 * size}"), ir.IntType(8 * size)

    @emits(lambda address, bits: types.void(types.int64, carrier))
    def store_bits(emit: Emit, address: Any, bits: Any) -> None:
        emit.builder.store(bits, _pointer(emit.builder, address, 0, stored), align=size)

    return store_bits


def _vector(typecode: int) -> tuple[Any, int]:
    """Return the widest vector of up to four elements, and how many of these four there are."""
    width = min(4, 16 // _size(typecode))
    return ir.VectorType(_STORED[typecode], width), 4 // width


def _split(builder: Any, pair: Any) -> list[Any]:
    """Return the two halves of 32 bits."""
    return [builder.trunc(bits, _I16) for bits in (pair, builder.lshr(pair, _I32(16)))]


@cache
def load_four(typecode: int) -> Any:
    """Make load_four(address): a tuple of four elements; the address is aligned to all four, or 16 bytes."""
    vector, pieces = _vector(typecode)
    in_pairs = _size(typecode) == 2  # the compiler would split a vector of four halves into two loads
    if in_pairs:
        vector = ir.VectorType(_I32, 2)
    align = min(4 * _size(typecode), 16)

    @emits(lambda address: types.UniTuple(_CARRIER[typecode], 4)(types.int64))
    def load_vector(emit: Emit, address: Any) -> Any:
        builder, elements = emit.builder, []
        for piece in range(pieces):
            loaded = builder.load(_pointer(builder, address, piece * align, vector), align=align)
            for i in range(vector.count):
                element = builder.extract_element(loaded, _I32(i))
                elements += _split(builder, element) if in_pairs else [element]
        return emit.context.make_tuple(builder, emit.signature.return_type, elements)

    return load_vector


@cache
def store_four(typecode: int) -> Any:
    """Make store_four(address, a, b, c, d), the address aligned as for `load_four`."""
    vector, pieces = _vector(typecode)
    align = vector.count * _size(typecode)

    @emits(lambda address, a, b, c, d: types.void(types.int64, *[_CARRIER[typecode]] * 4))
    def store_vector(emit: Emit, address: Any, a: Any, b: Any, c: Any, d: Any) -> None:
        builder, elements = emit.builder, iter((a, b, c, d))
        for piece in range(pieces):
            value = ir.Constant(vector, ir.Undefined)
            for i in range(vector.count):
                value = builder.insert_element(value, next(elements), _I32(i))
            builder.store(value, _pointer(builder, address, piece * align, vector), align=align)

    return store_vector


# --- conversions and arithmetic -----------------------------------------------------------------------------


@cache
def widen(typecode: int) -> Any:
    """Make widen(element): its value as a float64."""

    @emits(lambda element: types.float64(_CARRIER[typecode]))
    def widen_one(emit: Emit, element: Any) -> Any:
        builder = emit.builder
        if typecode == FLOAT64:
            return element
        if typecode == FLOAT16:
            element = builder.bitcast(element, ir.HalfType())
        elif typecode == BFLOAT16:
            element = builder.bitcast(builder.shl(builder.zext(element, _I32), _I32(16)), _F32)
        return builder.fpext(element, _F64)

    return widen_one


@cache
def narrow(typecode: int) -> Any:
    """Make narrow(value): a float64 rounded once, to nearest even, as it is stored."""

    @emits(lambda value: _CARRIER[typecode](types.float64))
    def narrow_one(emit: Emit, value: Any) -> Any:
        builder = emit.builder
        if typecode == FLOAT64:
            return value
        if typecode == FLOAT32:
            return builder.fptrunc(value, _F32)
        if typecode == FLOAT16:  # one instruction here, and correctly rounded
            return builder.bitcast(builder.fptrunc(value, ir.HalfType()), _I16)
        # Unused lanes cost nothing: the compiler drops them.
        lanes = builder.insert_element(ir.Constant(half.F64, ir.Undefined), value, _I32(0))
        return builder.extract_element(half.double_to_bfloat(builder, lanes), _I32(0))

    return narrow_one


@cache
def add_square(typecode: int) -> Any:
    """Make add_square(total, value): total + value * value, both rounded.

    Squares of elements of 32 bits and fewer are exact in float64: one fused instruction gives the same bits.
    """
    exact = typecode != FLOAT64
    name, count = ("llvm.fma.f64", 3) if exact else ("llvm.nvvm.mul.rn.d", 2)

    @emits(lambda total, value: types.float64(types.float64, types.float64))
    def add_one(emit: Emit, total: Any, value: Any) -> Any:
        builder = emit.builder
        function_type = ir.FunctionType(_F64, [_F64] * count)
        function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
        if exact:
            return builder.call(function, [value, value, total])
        return builder.fadd(total, builder.call(function, [value, value]))

    return add_one
