"""Writing the clipped values of one array, by what the factor and the size of the list ask for."""

from typing import Any

from numclip._core.contract import LANES
from numclip._core.jit import helper, named_helper
from numclip._cpu.products import SMALLEST_FACTOR, scale_halves
from numclip._cpu.simd import WIDTH, times
from numclip._cpu.simd_memory import (
    CACHE_LINE,
    fence,
    fetch_ahead,
    load,
    load_part,
    store,
    store_part,
    stream,
)

# From 64 MB of float32 on it pays to write past the caches: 16 million elements in 14 ms, not 18, 64 million
# in 45, not 75. Halves have a quicker way without: 32 million bfloat16 take 5.1 ms, not 8.0.
STREAMING_CHUNKS = 4096


@helper
def _product(value: Any, factor: float, step: float) -> Any:
    return times(value, factor)


@helper
def _product_in_steps(value: Any, factor: float, step: float) -> Any:
    return times(times(value, step), factor)


def _scale(name: str, product: Any, in_float32: bool) -> Any:
    @named_helper(name)
    def scale(source: Any, target: Any, factor: float, step: float) -> None:
        size = source.size
        whole = size - size % LANES
        quick = in_float32 and not factor < SMALLEST_FACTOR
        for i in range(0, whole, LANES):
            fetch_ahead(source, i)
            if quick and scale_halves(source, target, i, factor):
                continue
            for j in range(i, i + LANES, WIDTH):
                store(target, j, product(load(source, j), factor, step))
        for j in range(whole, size, WIDTH):
            store_part(target, j, size - j, product(load_part(source, j, size - j), factor, step))

    return scale


scale = _scale("scale", _product, in_float32=True)
scale_in_steps = _scale("scale_in_steps", _product_in_steps, in_float32=False)


@helper
def scale_past_caches(source: Any, target: Any, factor: float) -> None:
    """Write the clipped values of one array without reading the target's cache lines first."""
    head = min(source.size, -target.ctypes.data % CACHE_LINE // target.itemsize)
    stop = head + (source.size - head) // LANES * LANES
    scale(source[:head], target[:head], factor, 1.0)
    for i in range(head, stop, WIDTH):
        stream(target, i, times(load(source, i), factor))
    fence()
    scale(source[stop:], target[stop:], factor, 1.0)


@helper
def copy(source: Any, target: Any) -> None:
    """Write the values as they are, bit for bit."""
    for i in range(source.size):
        target[i] = source[i]


@helper
def scale_segment(source: Any, target: Any, in_place: bool, chunks: int, factor: float, step: float) -> None:
    """Write the clipped values of a part of one array."""
    if step != 1.0:
        scale_in_steps(source, target, factor, step)
    elif factor != 1.0 and (in_place or chunks < STREAMING_CHUNKS or target.itemsize == 2):
        scale(source, target, factor, step)
    elif factor != 1.0:
        scale_past_caches(source, target, factor)
    elif not in_place:
        copy(source, target)
