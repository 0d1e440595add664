"""CUDA kernels that write the clipped values."""

from functools import cache
from typing import Any

from numba import cuda, int64

from numclip._core import contract
from numclip._core.contract import LANES
from numclip._core.dtypes import ITEM_SIZE
from numclip._cuda.grid import WARPS, by_typecode, column, device, find_row, item_size, load_double, load_int
from numclip._cuda.kernel import kernel
from numclip._cuda.table import FACTOR, FIRST_CHUNK, LENGTH, PREFACTOR, SOURCE, TARGET, TYPECODE
from numclip._cuda.target import intrinsics

multiply = intrinsics.multiply
VECTORS, SCALARS = 8, 16  # loads before the first store, aligned and not


@device
def unchanged(element, factor):
    """Return the element, bit for bit."""
    return element


@cache
def scaled(typecode: int) -> Any:
    """Make the device function that returns the product of an element and the factor, rounded once."""
    widened, narrowed = intrinsics.widen(typecode), intrinsics.narrow(typecode)

    @device
    def product(element, factor):
        return narrowed(multiply(widened(element), factor))

    return product


@cache
def map_aligned(typecode: int, function: Any) -> Any:
    """Make the loop over the vectors of four of a chunk; it returns the number of elements it has written."""
    item = ITEM_SIZE[typecode]
    four, store_four = intrinsics.load_four(typecode), intrinsics.store_four(typecode)
    stride = 4 * LANES * item

    @device
    def put(address, x, factor):
        store_four(
            address,
            function(x[0], factor),
            function(x[1], factor),
            function(x[2], factor),
            function(x[3], factor),
        )

    @device
    def put_up_to_four(here, there, count, factor):
        last = count - 1  # loaded instead of vectors beyond the end
        b, c = four(here + stride * min(1, last)), four(here + stride * min(2, last))
        a, d = four(here), four(here + stride * min(3, last))
        put(there, a, factor)
        if count > 1:
            put(there + stride, b, factor)
        if count > 2:
            put(there + 2 * stride, c, factor)
        if count > 3:
            put(there + 3 * stride, d, factor)

    @device
    def write(source, target, size, lane, factor):
        here, there = source + 4 * lane * item, target + 4 * lane * item
        steps = size // (4 * LANES)
        for _ in range(steps // VECTORS):
            a, b, c, d = four(here), four(here + stride), four(here + 2 * stride), four(here + 3 * stride)
            here += 4 * stride
            e, f, g, h = four(here), four(here + stride), four(here + 2 * stride), four(here + 3 * stride)
            here += 4 * stride
            put(there, a, factor)
            put(there + stride, b, factor)
            put(there + 2 * stride, c, factor)
            put(there + 3 * stride, d, factor)
            there += 4 * stride
            put(there, e, factor)
            put(there + stride, f, factor)
            put(there + 2 * stride, g, factor)
            put(there + 3 * stride, h, factor)
            there += 4 * stride
        rest = steps % VECTORS
        while rest > 0:
            put_up_to_four(here, there, rest, factor)
            here += 4 * stride
            there += 4 * stride
            rest -= 4
        return steps * 4 * LANES

    return write


@cache
def map_chunk(typecode: int, function: Any) -> Any:
    """Make the loop of a warp that writes function(element, factor) for each element of a chunk."""
    item = ITEM_SIZE[typecode]
    misaligned = min(4 * item, 16) - 1
    write_aligned = map_aligned(typecode, function)
    one, many = intrinsics.load(typecode), intrinsics.load_apart(typecode, SCALARS)
    store = intrinsics.store(typecode)
    stride = LANES * item

    @device
    def put_four(address, a, b, c, d, factor):
        store(address, function(a, factor))
        store(address + stride, function(b, factor))
        store(address + 2 * stride, function(c, factor))
        store(address + 3 * stride, function(d, factor))

    @device
    def put_up_to_four(here, there, count, factor):
        last = count - 1
        b, c = one(here + stride * min(1, last)), one(here + stride * min(2, last))
        a, d = one(here), one(here + stride * min(3, last))
        store(there, function(a, factor))
        if count > 1:
            store(there + stride, function(b, factor))
        if count > 2:
            store(there + 2 * stride, function(c, factor))
        if count > 3:
            store(there + 3 * stride, function(d, factor))

    @device
    def write(source, target, size, lane, factor):
        begin = lane
        if (source | target) & misaligned == 0:
            begin += write_aligned(source, target, size, lane, factor)
        here, there = source + begin * item, target + begin * item
        steps = (size + LANES - 1 - begin) // LANES
        for _ in range(steps // SCALARS):
            x = many(here)
            put_four(there, x[0], x[1], x[2], x[3], factor)
            put_four(there + 4 * stride, x[4], x[5], x[6], x[7], factor)
            put_four(there + 8 * stride, x[8], x[9], x[10], x[11], factor)
            put_four(there + 12 * stride, x[12], x[13], x[14], x[15], factor)
            here += SCALARS * stride
            there += SCALARS * stride
        rest = steps % SCALARS
        while rest > 0:
            put_up_to_four(here, there, rest, factor)
            here += 4 * stride
            there += 4 * stride
            rest -= 4

    return write


@cache
def scale_chunk(typecode: int) -> Any:
    """Make the device function that scales a chunk; in place, it writes nothing if the factor is 1."""
    item = ITEM_SIZE[typecode]
    copy, scale = map_chunk(typecode, unchanged), map_chunk(typecode, scaled(typecode))
    load, store = intrinsics.load(typecode), intrinsics.store(typecode)
    widened, narrowed = intrinsics.widen(typecode), intrinsics.narrow(typecode)

    @device
    def write(source, target, size, lane, factor, prefactor):
        if prefactor == 0.0:  # a step that is skipped: a product with 0 may be NaN
            for i in range(lane, size, LANES):
                store(target + i * item, narrowed(0.0))
        elif prefactor != 1.0:
            for i in range(lane, size, LANES):
                element = multiply(multiply(widened(load(source + i * item)), prefactor), factor)
                store(target + i * item, narrowed(element))
        elif factor != 1.0:
            scale(source, target, size, lane, factor)
        elif source != target:
            copy(source, target, size, lane, factor)

    return write


@kernel(lambda typecodes: (int64, int64, int64))
def scale(typecodes: tuple[int, ...]) -> Any:
    """Make the kernel that writes the clipped values, a warp for each chunk."""
    write = by_typecode(typecodes, scale_chunk)
    bytes_of = by_typecode(typecodes, item_size)

    @cuda.jit
    def scale_chunks(workspace, count, in_place):
        factor, prefactor = load_double(workspace + 8 * FACTOR), load_double(workspace + 8 * PREFACTOR)
        if in_place != 0 and factor == 1.0 and prefactor == 1.0:
            return
        warp, lane = int64(cuda.threadIdx.x // LANES), int64(cuda.threadIdx.x % LANES)
        firsts = column(workspace, count, FIRST_CHUNK)
        # From the last chunk to the first: the cache still holds the elements that were summed last.
        chunk = load_int(firsts + 8 * count) - 1 - (int64(cuda.blockIdx.x) * WARPS + warp)
        if chunk < 0:
            return
        row = find_row(workspace, count, chunk)
        target = load_int(column(workspace, count, TARGET) + 8 * row)
        if target == 0:
            return
        offset = (chunk - load_int(firsts + 8 * row)) * contract.CHUNK
        size = min(load_int(column(workspace, count, LENGTH) + 8 * row) - offset, int64(contract.CHUNK))
        typecode = load_int(column(workspace, count, TYPECODE) + 8 * row)
        moved = offset * bytes_of(typecode, ())
        source = load_int(column(workspace, count, SOURCE) + 8 * row)
        write(typecode, (source + moved, target + moved, size, lane, factor, prefactor))

    return scale_chunks
