"""The limit of the machine: the same bytes as one float32 array, read, and written, with nothing else to do.

In place, clipping has to read everything for the norm, and to read and write it for the scaling. Out of
place, the second pass writes elsewhere: by non-temporal stores where numclip uses them for that size.
"""

import numpy as np
from numba import njit, prange

from numclip._core.contract import CHUNK
from numclip._cpu import threads
from numclip._cpu.scaling import CACHE_LINE, NONTEMPORAL_CHUNKS
from numclip._cpu.simd import WIDTH
from numclip._cpu.simd_memory import fence, load, store_nontemporal


def _read(values, sums):
    for block in prange(sums.size):
        part = values[block * values.size // sums.size : (block + 1) * values.size // sums.size]
        total = np.float32(0)
        for i in range(part.size):
            total += part[i] * part[i]
        sums[block] = total


def _write(values, target, blocks):
    for block in prange(blocks):
        start, stop = block * values.size // blocks, (block + 1) * values.size // blocks
        source, part = values[start:stop], target[start:stop]
        for i in range(source.size):
            part[i] = source[i] * np.float32(0.9995)


def _write_in_place(values, blocks):
    for block in prange(blocks):
        part = values[block * values.size // blocks : (block + 1) * values.size // blocks]
        for i in range(part.size):
            part[i] *= np.float32(0.9995)


def _write_past_caches(values, target, blocks):
    for block in prange(blocks):
        vectors = values.size // WIDTH
        for i in range(block * vectors // blocks, (block + 1) * vectors // blocks):
            store_nontemporal(target, i * WIDTH, load(values, i * WIDTH))
        fence()


def _twins(function):
    return {parallel: njit(parallel=parallel, fastmath=True)(function) for parallel in (False, True)}


READ, WRITE, WRITE_IN_PLACE, WRITE_PAST_CACHES = map(
    _twins, (_read, _write, _write_in_place, _write_past_caches)
)


def _aligned(size):
    memory = np.ones(size + CACHE_LINE // 4, np.float32)
    start = -memory.ctypes.data % CACHE_LINE // 4
    return memory[start : start + size]


def limit(in_place):
    """Make the peer that reads and writes as much as clipping has to; above the bound it only reads."""

    def prepare(grads, _):
        values = _aligned(sum(grad.size for grad in grads))
        bound = np.sqrt(sum(float(np.vdot(grad, grad)) for grad in grads))
        target = values if in_place else _aligned(values.size)
        blocks = threads.blocks(values.size)
        parallel, sums = blocks > 1, np.empty(blocks, np.float32)

        def move(clip_norm):
            READ[parallel](values, sums)
            if in_place and clip_norm < bound:
                WRITE_IN_PLACE[parallel](values, blocks)
            elif not in_place and values.size < NONTEMPORAL_CHUNKS * CHUNK:
                WRITE[parallel](values, target, blocks)
            elif not in_place:
                WRITE_PAST_CACHES[parallel](values, target, blocks)

        return move

    return prepare
