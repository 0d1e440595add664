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
# The largest number of tables of one stream, for lists that take turns, such as those of two models.
MOST_TABLES = 4
# In words; a table of some 10,000 arrays with its sums fits. Smaller memory is allocated with room for a
# larger table; larger memory is not, as buffers of arrays with gaps can take gigabytes.
SMALL = 1 << 20


class Held:
    """Objects that are kept alive until the work that is on streams so far is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: deque[tuple[Any, Any]] = deque()  # the oldest first

    def hold(self, stream: int, values: Any) -> None:
        """Keep values alive until the work that is on a stream so far is done."""
        event = driver.Event()
        event.record(stream)
        with self._lock:
            while self._values and self._values[0][0].has_passed():
                self._values.popleft()
            self._values.append((event, values))


class Workspace:
    """Memory on a device for the calls of one stream, and pinned memory of the host to fill it from."""

    def __init__(self, stream: int, held: Held | None = None) -> None:
        self.stream = stream
        self.held = Held() if held is None else held
        # Held while the work of a call is enqueued: no other call may use the memory in between.
        self.lock = threading.RLock()
        self.table: Any = None
        self.memory: Any = None
        self._size = 0
        self._uploads: deque[tuple[NDArray[np.int64], Any]] = deque()  # the oldest first
        self.address = 0

    def fill(self, table: Any, reader: Any, device: int) -> None:
        """Upload a table, unless the memory holds it already.

        The memory is allocated by the library of the list, on the stream of the workspace.
        """
        if table is self.table:
            return
        self.table = None  # until the upload has succeeded
        if table.size > self._size or (self._size > SMALL and table.size < self._size // 4):
            self.memory, self._size = None, 0  # released first, so that the library can reuse it
            size = min(2 * table.size, SMALL) if table.size < SMALL else table.size
            self.memory, self.address = reader.empty_words(size, device)
            self._size = size
        self._upload(table.at(self.address))
        self.table = table

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


class Workspaces:
    """The workspaces of the calls of one stream: lists that take turns each find their table there."""

    def __init__(self, stream: int) -> None:
        self._stream, self._lock, self._held = stream, threading.Lock(), Held()
        self._of_gaps = Workspace(stream, self._held)
        self._workspaces: deque[Workspace] = deque()  # the last one used at the end

    def of(self, table: Any) -> Workspace:
        """Return the workspace that holds a table, or a new one, or else the one least recently used.

        A table of arrays with gaps is new each time, and its buffers may be large: all share one workspace.
        """
        if table.copies:
            return self._of_gaps
        with self._lock:
            for workspace in self._workspaces:
                if workspace.table is table:
                    break
            else:
                if len(self._workspaces) < MOST_TABLES:
                    self._workspaces.append(Workspace(self._stream, self._held))
                    return self._workspaces[-1]
                workspace = self._workspaces[0]
            self._workspaces.remove(workspace)
            self._workspaces.append(workspace)
            return workspace


@lru_cache(maxsize=64)
def _of_stream(device: int, stream: int) -> Workspaces:
    return Workspaces(stream)


class _OfThread(threading.local):
    """The workspaces of each thread's own per-thread default stream, by device."""

    def __init__(self) -> None:
        self.workspaces: dict[int, Workspaces] = {}


_of_thread = _OfThread()


def workspaces(device: int, stream: int) -> Workspaces:
    """Return the workspaces of a stream, for calls that need them only until their end.

    The stream executes the calls in order, so all can use the same memory.
    """
    if stream == PER_THREAD:
        return _of_thread.workspaces.setdefault(device, Workspaces(stream))
    return _of_stream(device, stream)
