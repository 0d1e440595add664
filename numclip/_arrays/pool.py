"""Memory for new results, reused from earlier results that nothing refers to any more.

A fresh block costs a page fault for every 4 KiB when it is written, ten times what clipping takes (see
benchmarks/notes.md). A block is handed out as the base of a result, so every view of the result, and every
view of a view, holds a reference to the block, and its reference count tells when it is idle.

No more is kept than the last calls have used: a training loop reuses its blocks every other call, and a block
that `KEPT_CALLS` calls have not asked for is released.
"""

import math
import os
import sys
import threading
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# For smaller results, the C library reuses memory that is mapped already.
SMALLEST_BLOCK = 1 << 17
_ALIGNMENT = 64

KEPT_CALLS = 8


class Pool:
    """Blocks by size. Used and idle blocks together stay within the limit: each used one may become idle."""

    def __init__(self, limit: int = 1 << 30) -> None:
        self.limit = limit
        self.calls = 0
        # By size, pairs of a block and the call that has used it last, in the order of these calls.
        self._blocks: dict[int, list[tuple[Array, int]]] = {}
        # Reentrant: a finaliser that runs while a thread holds the lock can clip.
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):  # another thread may hold the lock while the process is forked
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()

    def set_limit(self, limit: int) -> None:
        """Keep at most `limit` bytes from now on, and release all blocks that were kept before."""
        with self._lock:
            self.limit = limit
            self._blocks.clear()

    def take(self, size: int) -> Array | None:
        """Return an idle block of this size, or a new one; None if a new one would exceed the limit."""
        with self._lock:
            blocks = self._blocks.setdefault(size, [])
            for i in range(len(blocks)):
                if sys.getrefcount(blocks[i][0]) == _IDLE:
                    block, _ = blocks.pop(i)
                    blocks.append((block, self.calls))
                    return block
            if not self._make_room(size):
                return None
            blocks.append((np.empty(size, np.uint8), self.calls))
            return blocks[-1][0]

    def release_unused(self) -> None:
        """Release the blocks that the last calls have not used."""
        with self._lock:
            self._release_unused()

    def _release_unused(self) -> None:
        for size, blocks in [*self._blocks.items()]:
            blocks[:] = [
                entry
                for entry in blocks
                if sys.getrefcount(entry[0]) > _IDLE or entry[1] > self.calls - KEPT_CALLS
            ]
            if not blocks:
                del self._blocks[size]

    def _make_room(self, size: int) -> bool:
        """Release idle blocks until another of this size fits; tell whether it does."""
        excess = sum(length * len(blocks) for length, blocks in self._blocks.items()) + size - self.limit
        for length, blocks in self._blocks.items():
            i = 0
            while i < len(blocks) and excess > 0:
                if sys.getrefcount(blocks[i][0]) == _IDLE:
                    del blocks[i]
                    excess -= length
                else:
                    i += 1
        return excess <= 0


def _idle_references() -> int:
    """Count the references to a block that only its list holds, as the methods above see them."""
    blocks = [(np.empty(0, np.uint8), 0)]
    return sys.getrefcount(blocks[0][0])


_IDLE = _idle_references()
pool = Pool()


def empty_like(array: Array) -> Array:
    """Return an uninitialised array like this one, as `numpy.empty_like` does."""
    if array.nbytes < SMALLEST_BLOCK or not array.flags.forc:
        return np.empty_like(array)
    made = _in_block(array.shape, array.dtype, "C" if array.flags.c_contiguous else "F")
    return np.empty_like(array) if made is None else made


def empty(size: int, dtype: np.dtype[Any]) -> Array:
    """Return an uninitialised array of one axis, as `numpy.empty` does: for a buffer."""
    made = None if size * dtype.itemsize < SMALLEST_BLOCK else _in_block((size,), dtype, "C")
    return np.empty(size, dtype) if made is None else made


def _in_block(shape: tuple[int, ...], dtype: np.dtype[Any], order: Literal["C", "F"]) -> Array | None:
    block = pool.take(math.prod(shape) * dtype.itemsize + _ALIGNMENT)
    if block is None:
        return None
    return np.ndarray(shape, dtype, block, -block.ctypes.data % _ALIGNMENT, order=order)


def results_like(entries: list[Any]) -> list[Array | None]:
    """Return a new array for each entry that is a dense array; None for others, to be checked first."""
    pool.calls += 1
    if pool.calls % KEPT_CALLS == 0:
        pool.release_unused()
    return [_like(entry) if type(entry) is np.ndarray else None for entry in entries]


def _like(array: Array) -> Array | None:
    if array.nbytes < SMALLEST_BLOCK:
        return np.empty_like(array)
    return empty_like(array) if array.flags.forc else None
