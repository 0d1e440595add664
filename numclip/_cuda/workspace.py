"""The memory that the calls of one stream use: the table of a list, and what the kernels leave each other."""

import threading
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._cuda.streams import PER_THREAD
from numclip._cuda.target import driver


class Workspace:
    """Memory on a device for the calls of one stream, and pinned memory of the host to fill it from."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        # Between these, nothing else may use the memory: a call is enqueued as a whole.
        self.lock = threading.Lock()
        self._table: Any = None
        self._memory: Any = None
        self._size = 0
        self._pinned: list[tuple[NDArray[np.int64], Any]] = []
        self.address = 0

    def fill(self, table: Any) -> None:
        """Make this the memory of a table; nothing is uploaded if it is that of the table already."""
        if table is self._table:
            return
        if table.size > self._size:
            self._size = max(table.size, 2 * self._size)
            self._memory, self.address = driver.allocate(self._size)
        self._table = None  # until it is there
        self._upload(table.at(self.address))
        self._table = table

    def _upload(self, words: NDArray[np.int64]) -> None:
        """Fill the first words; the host does not wait, neither for this nor for earlier uploads."""
        pinned, event = self._free_pinned(words.size)
        pinned[: words.size] = words
        driver.upload(pinned[: words.size], self.address, self.stream)
        event.record(self.stream)

    def _free_pinned(self, words: int) -> tuple[NDArray[np.int64], Any]:
        for pinned, event in self._pinned:
            if pinned.size >= words and event.has_passed():
                return pinned, event
        self._pinned.append((driver.allocate_pinned(max(words, 1024)), driver.Event()))
        return self._pinned[-1]


@lru_cache(maxsize=64)
def _workspace(device: int, stream: int, thread: int) -> Workspace:
    return Workspace(stream)


def shared_workspace(device: int, stream: int) -> Workspace:
    """Return the workspace of a stream, for calls that leave nothing behind in it.

    The stream keeps the calls in order, so they can use the same memory, and none has to be allocated.
    """
    return _workspace(device, stream, threading.get_ident() if stream == PER_THREAD else 0)
