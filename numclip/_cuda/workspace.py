"""The memory that calls on one stream use: the table of a list, and the intermediate results of kernels."""

import threading
from collections import deque
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._cuda.streams import PER_THREAD
from numclip._cuda.target import driver

# The most uploads of tables at the same time: with so many unfinished, the host waits for the oldest.
MOST_UPLOADS = 8
# In words; a table of some 10,000 arrays with its sums fits. Smaller memory is allocated with room for a
# larger table; larger memory is not, as buffers of arrays with gaps can take gigabytes.
SMALL = 1 << 20


class Workspace:
    """Memory on a device for the calls of one stream, and pinned memory of the host to fill it from."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        # Held while the work of a call is enqueued: no other call may use the memory in between.
        self.lock = threading.RLock()
        self._table: Any = None
        self.memory: Any = None
        self._size = 0
        self._uploads: deque[tuple[NDArray[np.int64], Any]] = deque()  # the oldest first
        self._held: deque[tuple[Any, Any]] = deque()
        self.address = 0

    def fill(self, table: Any, reader: Any, device: int) -> None:
        """Upload a table, unless the memory holds it already.

        The memory is allocated by the library of the list, on the stream of the workspace.
        """
        if table is self._table:
            return
        self._table = None  # until the upload has succeeded
        if table.size > self._size or (self._size > SMALL and table.size < self._size // 4):
            self.memory, self._size = None, 0  # released first, so that the library can reuse it
            size = min(2 * table.size, SMALL) if table.size < SMALL else table.size
            self.memory, self.address = reader.empty_words(size, device)
            self._size = size
        self._upload(table.at(self.address))
        self._table = table

    def hold(self, stream: int, values: Any) -> None:
        """Keep values alive until the work that is on a stream so far is done."""
        while self._held and self._held[0][0].has_passed():
            self._held.popleft()
        event = driver.Event()
        event.record(stream)
        self._held.append((event, values))

    def _upload(self, words: NDArray[np.int64]) -> None:
        """Copy words to the device; the host does not wait."""
        pinned, event = self._free_pinned(words.size)
        pinned[: words.size] = words
        driver.upload(pinned[: words.size], self.address, self.stream)
        event.record(self.stream)
        self._uploads.append((pinned, event))

    def _free_pinned(self, words: int) -> tuple[NDArray[np.int64], Any]:
        """Return pinned memory that no upload reads any more, and an event."""
        if self._uploads:
            pinned, event = self._uploads[0]
            passed = event.has_passed()
            if passed or len(self._uploads) == MOST_UPLOADS:
                if not passed:
                    event.wait()
                self._uploads.popleft()
                return pinned if pinned.size >= words else driver.allocate_pinned(words), event
        return driver.allocate_pinned(max(words, 1024)), driver.Event()


@lru_cache(maxsize=64)
def _workspace(device: int, stream: int) -> Workspace:
    return Workspace(stream)


class _OfThread(threading.local):
    """The workspaces of each thread's own per-thread default stream, by device."""

    def __init__(self) -> None:
        self.workspaces: dict[int, Workspace] = {}


_of_thread = _OfThread()


def shared_workspace(device: int, stream: int) -> Workspace:
    """Return the workspace of a stream, for calls that need it only until their end.

    The stream executes the calls in order, so all can use the same memory.
    """
    if stream == PER_THREAD:
        return _of_thread.workspaces.setdefault(device, Workspace(stream))
    return _workspace(device, stream)
