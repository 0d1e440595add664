"""Copies between arrays with gaps and the dense buffers that replace them."""

from typing import Any

from numba import cuda, int64

from numclip._cuda.grid import load_double, load_int
from numclip._cuda.kernel import kernel
from numclip._cuda.table import FACTOR, PREFACTOR
from numclip._cuda.target import intrinsics


@kernel(lambda item, back: (int64,) * 6)
def copy_elements(item: int, back: bool) -> Any:
    """Make the kernel that copies items of `item` bytes into the buffer, or back; a thread for each.

    The shape, then the strides in bytes, are stored at the address `description`. If a workspace is given,
    nothing is copied where nothing was clipped.
    """
    load_item, store_item = intrinsics.load_bytes(item), intrinsics.store_bytes(item)

    @cuda.jit
    def copy(elements, axes, description, strided, buffer, workspace):
        if workspace != 0:
            factor, prefactor = load_double(workspace + 8 * FACTOR), load_double(workspace + 8 * PREFACTOR)
            if factor == 1.0 and prefactor == 1.0:
                return
        element = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        if element >= elements:
            return
        left, address = element, strided
        for i in range(axes):
            axis = axes - 1 - i
            length = load_int(description + 8 * axis)
            whole = left // length
            address += (left - whole * length) * load_int(description + 8 * (axes + axis))
            left = whole
        dense = buffer + element * item
        if back:
            store_item(address, load_item(dense))
        else:
            store_item(dense, load_item(address))

    return copy
