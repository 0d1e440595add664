"""How the elements of a list are distributed to the threads of a CUDA device, and found in its table.

A warp sums a chunk of 4096 elements, a thread for each lane; a warp computes sums of sums too. No result
depends on the grid or on the order of the blocks, so the bits are the CPU's.

Every kernel takes the address of the packed list (see `table`), and the number of its entries.
"""

from functools import cache
from typing import Any

from numclip._core import contract
from numclip._core.contract import LANES
from numclip._core.dtypes import FLOAT64, ITEM_SIZE
from numclip._cuda import table
from numclip._cuda.target import intrinsics

# Small blocks distribute a list of a few thousand chunks evenly to the multiprocessors.
THREADS = intrinsics.BLOCK
WARPS = THREADS // LANES  # of a block, each with a chunk
COPY_THREADS = 256

device = intrinsics.device
column = device(table.column)
load_int, store_int = intrinsics.load(intrinsics.INT64), intrinsics.store(intrinsics.INT64)
load_double, store_double = intrinsics.load(FLOAT64), intrinsics.store(FLOAT64)


@device
def _first(firsts, row):
    return load_int(firsts + 8 * row)


_row_of = device(contract.row_search(_first))


@device
def find_row(workspace, count, chunk):
    """Return the entry that holds a chunk, by a search between two entries of the directory."""
    place = load_int(workspace + 8 * table.DIRECTORY)
    place += 8 * (chunk >> load_int(workspace + 8 * table.DIRECTORY_SHIFT))
    low, high = load_int(place), load_int(place + 8)
    return low + _row_of(column(workspace, count, table.FIRST_CHUNK) + 8 * low, high + 1 - low, chunk)


def by_typecode(typecodes: tuple[int, ...], make: Any) -> Any:
    """Make a device function that calls the function that `make` returns for the typecode it is given."""
    expected, run = typecodes[0], make(typecodes[0])
    if len(typecodes) == 1:

        @device
        def only(typecode, arguments):
            return run(*arguments)

        return only
    others = by_typecode(typecodes[1:], make)

    @device
    def choose(typecode, arguments):
        if typecode == expected:
            return run(*arguments)
        return others(typecode, arguments)

    return choose


@cache
def item_size(typecode: int) -> Any:
    """Make the device function that returns the bytes of an element."""
    item = ITEM_SIZE[typecode]

    @device
    def size():
        return item

    return size
