"""Writing the clipped values of one array, in the way that suits the factor and the size of the list."""

from typing import Any

from numclip._core.contract import LANES
from numclip._core.jit import helper, named_helper
from numclip._cpu.products import LARGEST_FACTOR, SMALLEST_FACTOR, scale_quickly
from numclip._cpu.simd import WIDTH, multiply
from numclip._cpu.simd_memory import (
    CACHE_LINE,
    fence,
    load,
    load_masked,
    prefetch,
    store,
    store_masked,
    store_nontemporal,
)

# From so many chunks on, 64 MB of float32, new results are written by non-temporal stores. 16-bit elements
# are faster without. See benchmarks/notes.md.
NONTEMPORAL_CHUNKS = 4096

# Elements of a list of more chunks than these, 256 kB of float32, are prefetched. That saves 3 to 15 % of the
# time beyond 1 MB, and nothing below (Zen 5, November 2026).
NEAR_CHUNKS = 16

# After so many vectors in doubt, the rest of a segment is left to float64.
MOST_DOUBTS = 64


@helper
def _product(value: Any, factor: float, prefactor: float) -> Any:
    return multiply(value, factor)


@helper
def _product_of_three(value: Any, factor: float, prefactor: float) -> Any:
    return multiply(multiply(value, prefactor), factor)


def _scale(name: str, product: Any, in_float32: bool) -> Any:
    @named_helper(name)
    def scale(source: Any, target: Any, factor: float, prefactor: float, is_far: bool) -> None:
        size = source.size
        # A vector that straddles two cache lines takes longer to store.
        head = -target.ctypes.data % CACHE_LINE // target.itemsize if size > 8 * LANES else 0
        whole = size - (size - head) % LANES
        doubts = 0 if in_float32 and SMALLEST_FACTOR <= factor <= LARGEST_FACTOR else MOST_DOUBTS
        for j in range(0, head, WIDTH):
            store_masked(target, j, head - j, product(load_masked(source, j, head - j), factor, prefactor))
        for i in range(head, whole, LANES):
            if is_far:
                prefetch(source, i)
            if doubts < MOST_DOUBTS and scale_quickly(source, target, i, factor):
                continue
            doubts += 1
            for j in range(i, i + LANES, WIDTH):
                store(target, j, product(load(source, j), factor, prefactor))
        for j in range(whole, size, WIDTH):
            store_masked(target, j, size - j, product(load_masked(source, j, size - j), factor, prefactor))

    return scale


scale = _scale("scale", _product, in_float32=True)
scale_twice = _scale("scale_twice", _product_of_three, in_float32=False)


@helper
def scale_past_caches(source: Any, target: Any, factor: float) -> None:
    """Write the clipped values of one array by non-temporal stores: no cache line of the target is read."""
    head = min(source.size, -target.ctypes.data % CACHE_LINE // target.itemsize)
    stop = head + (source.size - head) // LANES * LANES
    scale(source[:head], target[:head], factor, 1.0, False)
    for i in range(head, stop, WIDTH):
        store_nontemporal(target, i, multiply(load(source, i), factor))
    fence()
    scale(source[stop:], target[stop:], factor, 1.0, False)


@helper
def copy(source: Any, target: Any) -> None:
    """Write the values as they are, bit for bit."""
    for i in range(source.size):
        target[i] = source[i]


@helper
def scale_segment(
    source: Any, target: Any, in_place: bool, chunks: int, factor: float, prefactor: float
) -> None:
    """Write the clipped values of a part of one array; `chunks` is the size of the list."""
    if prefactor == 0.0:  # a step that is skipped: a product with 0 may be NaN
        target[:] = 0
    elif prefactor != 1.0:
        scale_twice(source, target, factor, prefactor, False)
    elif factor != 1.0 and (in_place or chunks < NONTEMPORAL_CHUNKS or target.itemsize == 2):
        scale(source, target, factor, prefactor, chunks > NEAR_CHUNKS)
    elif factor != 1.0:
        scale_past_caches(source, target, factor)
    elif not in_place:
        copy(source, target)
