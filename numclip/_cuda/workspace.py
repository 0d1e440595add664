"""The memory that the calls of one stream use: the table of a list, and what the kernels leave each other."""

import threading
from collections import deque
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._cuda.streams import PER_THREAD
from numclip._cuda.target import driver

# Tables that are on their way to the device at once. The host waits before it sends another one.
MOST_UPLOADS = 8
# A table with its sums takes so many words or fewer for some 10,000 arrays. Memory of up to this size is
# allocated with room for a larger table; beyond it, buffers of arrays with gaps take gigabytes.
SMALL = 1 << 20


class Workspace:
    """Memory on a device for the calls of one stream, and pinned memory of the host to fill it from."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        # Between these, nothing else may use the memory: a call is enqueued as a whole.
        self.lock = threading.RLock()
        self._table: Any = None
        self.memory: Any = None
        self._size = 0
        self._uploads: deque[tuple[NDArray[np.int64], Any]] = deque()  # the oldest first
        self._held: deque[tuple[Any, Any]] = deque()
        self.address = 0

    def fill(self, table: Any, reader: Any, device: int) -> None:
        """Make this the memory of a table; nothing is uploaded if it is that of the table already.

        The memory is allocated by the library of the list, on the stream of the workspace.
        """
        if table is self._table:
            return
        self._table = None  # until it is there
        if table.size > self._size or (self._size > SMALL and table.size < self._size // 4):
            self.memory, self._size = None, 0  # first, so that the library can use it again
            size = min(2 * table.size, SMALL) if table.size < SMALL else table.size
            self.memory, self.address = reader.empty_words(size, device)
            self._size = size
        self._upload(table.at(self.address))
        self._table = table

    def hold(self, stream: int, values: Any) -> None:
        """Keep values alive until a stream has done what it has been given so far."""
        while self._held and self._held[0][0].has_passed():
            self._held.popleft()
        event = driver.Event()
        event.record(stream)
        self._held.append((event, values))

    def _upload(self, words: NDArray[np.int64]) -> None:
        """Fill the first words; the host does not wait for this."""
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
    """The workspaces of the stream that each thread has for itself, by device."""

    def __init__(self) -> None:
        self.workspaces: dict[int, Workspace] = {}


_of_thread = _OfThread()


def shared_workspace(device: int, stream: int) -> Workspace:
    """Return the workspace of a stream, for calls that leave nothing behind in it.

    The stream keeps the calls in order, so they can use the same memory, and none has to be allocated.
    """
    if stream == PER_THREAD:
        return _of_thread.workspaces.setdefault(device, Workspace(stream))
    return _workspace(device, stream)
