"""Which threads of this process run just now, as Linux tells."""

import os
import threading
from contextlib import suppress

# With more threads than these, the load of the machine is asked before each of them: one takes 15 us.
FEW_THREADS = 4


def _read(path: str) -> bytes:
    """Return a short file of the system's: open() takes three times as long."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 1024)
    finally:
        os.close(file)


def thread_ids() -> set[str]:
    try:
        return set(os.listdir("/proc/self/task"))  # noqa: PTH208 a third of the time of pathlib's
    except OSError:  # another system than Linux
        return set()


def _runs_alone() -> bool:
    """Tell whether this thread is the only one on the machine that runs; False where nothing tells."""
    try:
        return _read("/proc/loadavg").split()[3].startswith(b"1/")
    except (OSError, IndexError):
        return False


def running_threads(known: set[str], unknown: int) -> int:
    """Return how many threads of others run in this process just now, or `unknown` if nothing tells.

    Those that TBB has started for numclip spin for a while too, but are there for the next call.
    """
    threads, running = thread_ids(), 0
    if not threads:
        return unknown
    others = threads - known - {str(threading.get_native_id())}
    # A thread takes 15 us to be asked: with the 22 that TensorFlow and JAX start, 330.
    if len(others) > FEW_THREADS and _runs_alone():
        return 0
    for thread in others:
        with suppress(OSError):  # it has ended meanwhile
            running += _read(f"/proc/self/task/{thread}/stat").rpartition(b") ")[2].startswith(b"R")
    return running
