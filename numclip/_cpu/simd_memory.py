"""Loads of eight float64 lanes, which widen, and stores, which round once; whole or masked."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numclip._core.contract import LANES
from numclip._core.emit import emitter
from numclip._core.half import I64, NARROW, WIDEN, splat
from numclip._cpu.simd import WIDTH, lanes

CACHE_LINE = 64
# How many bytes ahead of a load memory is prefetched: the processor's own prefetch ends at a page. Half of it
# gains half as much, twice as much a little less; see benchmarks/notes.md.
AHEAD = 8192

emits = emitter(intrinsic)

_I32 = ir.IntType(32)


def _vector_pointer(emit: Any, array: Any, index: Any) -> tuple[Any, Any]:
    """Return the address of array[index:index + 8] as that of a vector, and the vector's type."""
    data = emit.context.make_array(emit.signature.args[0])(emit.context, emit.builder, array).data
    vector = ir.VectorType(data.type.pointee, WIDTH)
    return emit.builder.bitcast(emit.builder.gep(data, [index]), vector.as_pointer()), vector


def _element(emit: Any) -> Any:
    """Return the Numba type of an element of the array, which is the first argument."""
    return emit.signature.args[0].dtype


def _item_size(emit: Any) -> int:
    return int(_element(emit).bitwidth) // 8


def _widen(emit: Any, raw: Any) -> Any:
    return WIDEN[_element(emit).name](emit.context, emit.builder, raw)


def _narrow(emit: Any, value: Any) -> Any:
    return NARROW[_element(emit).name](emit.context, emit.builder, value)


def _mask(builder: Any, count: Any) -> Any:
    """Return the lanes below `count`."""
    first = builder.insert_element(ir.Constant(I64, ir.Undefined), count, _I32(0))
    counts = builder.shuffle_vector(first, first, splat(ir.VectorType(_I32, WIDTH), 0))
    return builder.icmp_signed("<", ir.Constant(I64, list(range(WIDTH))), counts)


def _masked(builder: Any, verb: str, vector: Any, result: Any, arguments: list[Any]) -> Any:
    element = {ir.FloatType(): "f32", ir.DoubleType(): "f64"}.get(vector.element)
    element = element or f"i{vector.element.width}"
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    name = f"llvm.masked.{verb}.v{WIDTH}{element}.p0"
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), arguments)


@emits(lambda array, index: lanes(array, types.intp))
def load(emit: Any, array: Any, index: Any) -> Any:
    """Return array[index:index + 8], widened."""
    pointer, _ = _vector_pointer(emit, array, index)
    return _widen(emit, emit.builder.load(pointer, align=_item_size(emit)))


@emits(lambda array, index, count: lanes(array, types.intp, types.intp))
def load_masked(emit: Any, array: Any, index: Any, count: Any) -> Any:
    """Return array[index:index + count], widened, and zeros up to eight; memory after it is not read."""
    pointer, vector = _vector_pointer(emit, array, index)
    mask = _mask(emit.builder, count)
    arguments = [pointer, _I32(_item_size(emit)), mask, splat(vector, 0)]
    return _widen(emit, _masked(emit.builder, "load", vector, vector, arguments))


@emits(lambda array, index: types.void(array, types.intp))
def prefetch(emit: Any, array: Any, index: Any) -> None:
    """Prefetch the 32 elements AHEAD bytes past `index`, clamped to the end of the array."""
    builder, item = emit.builder, _item_size(emit)
    struct = emit.context.make_array(emit.signature.args[0])(emit.context, builder, array)
    ahead = builder.add(index, ir.IntType(64)(AHEAD // item))
    last = builder.sub(builder.extract_value(struct.shape, 0), ir.IntType(64)(LANES))
    nearer = builder.select(builder.icmp_signed("<", ahead, last), ahead, last)
    first = builder.bitcast(builder.gep(struct.data, [nearer]), cgutils.voidptr_t)
    read, keep, data = (_I32(flag) for flag in (0, 3, 1))
    function_type = ir.FunctionType(ir.VoidType(), [first.type, read.type, keep.type, data.type])
    function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
    for line in range(0, LANES * item, CACHE_LINE):
        builder.call(function, [builder.gep(first, [ir.IntType(64)(line)]), read, keep, data])


@emits(lambda array, index, value: types.void(array, types.intp, lanes))
def store(emit: Any, array: Any, index: Any, value: Any) -> None:
    """Set array[index:index + 8], rounded once."""
    pointer, _ = _vector_pointer(emit, array, index)
    emit.builder.store(_narrow(emit, value), pointer, align=_item_size(emit))


@emits(lambda array, index, value: types.void(array, types.intp, lanes))
def store_nontemporal(emit: Any, array: Any, index: Any, value: Any) -> None:
    """Set array[index:index + 8], rounded once, by a non-temporal store; it must be aligned to its size.

    `fence` has to follow before another thread reads the elements.
    """
    pointer, _ = _vector_pointer(emit, array, index)
    stored = emit.builder.store(_narrow(emit, value), pointer, align=WIDTH * _item_size(emit))
    stored.set_metadata("nontemporal", emit.builder.module.add_metadata([_I32(1)]))


@emits(lambda: types.void())
def fence(emit: Any) -> None:
    """Order the non-temporal stores before everything that follows."""
    emit.builder.fence("seq_cst")


@emits(lambda array, index, count, value: types.void(array, types.intp, types.intp, lanes))
def store_masked(emit: Any, array: Any, index: Any, count: Any, value: Any) -> None:
    """Set array[index:index + count], rounded once; memory after it is not written."""
    pointer, vector = _vector_pointer(emit, array, index)
    arguments = [_narrow(emit, value), pointer, _I32(_item_size(emit)), _mask(emit.builder, count)]
    _masked(emit.builder, "store", vector, ir.VoidType(), arguments)
