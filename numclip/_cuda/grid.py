"""How the elements of a list are shared out among the threads of a CUDA device, and found in its table.

A crew of eight threads has a chunk of 4096 elements, each thread four neighbouring lanes of the 32. A warp, a
lane per thread, sums sums. Nothing depends on the grid or on which block is first, so the bits are the CPU's.

Every kernel takes the address of the packed list (see `table`), and the number of its entries.
"""

from functools import cache
from typing import Any

from numba import cuda, int64

from numclip._core.dtypes import FLOAT64, ITEM_SIZE
from numclip._cuda import table
from numclip._cuda.intrinsics import INT64, load, store

CHUNK = 4096
LANES = 32
PART = 4  # the lanes of one thread
CREW = LANES // PART  # the threads of one chunk

# Small blocks spread a list of a few thousand chunks evenly over the processors.
THREADS = 128
CREWS = THREADS // CREW  # a block's, and so its chunks
WARPS = THREADS // LANES
COPY_THREADS = 256

device = cuda.jit(device=True)

column = device(table.column)
load_int, store_int = load(INT64), store(INT64)
load_double, store_double = load(FLOAT64), store(FLOAT64)


@device
def row_of(firsts: int, count: int, number: int) -> Any:
    """Return the entry that holds a chunk or run: the last one that starts at or before it."""
    low, high = int64(0), int64(count)
    while high - low > 1:
        middle = (low + high) >> 1
        if load_int(firsts + 8 * middle) <= number:
            low = middle
        else:
            high = middle
    return low


def by_kind(kinds: tuple[int, ...], make: Any) -> Any:
    """Make a device function that hands its arguments to the function made for the kind it is given."""
    expected, run = kinds[0], make(kinds[0])
    if len(kinds) == 1:

        @device
        def only(kind, arguments):
            return run(*arguments)

        return only
    others = by_kind(kinds[1:], make)

    @device
    def choose(kind, arguments):
        if kind == expected:
            return run(*arguments)
        return others(kind, arguments)

    return choose


@cache
def item_size(kind: int) -> Any:
    """Make the number of bytes of an element."""
    item = ITEM_SIZE[kind]

    @device
    def size():
        return item

    return size
