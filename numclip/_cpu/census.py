"""The number of threads of this process that are running now, from /proc on Linux."""

import os
import threading
from contextlib import suppress

# With more threads than these, the load of the machine is read first, instead of the state of each thread.
FEW_THREADS = 4


def _read(path: str) -> bytes:
    """Return the content of a short system file; open() would be slower."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 1024)
    finally:
        os.close(file)


def thread_ids() -> set[str]:
    try:
        return set(os.listdir("/proc/self/task"))  # noqa: PTH208 pathlib is slower
    except OSError:  # not on Linux
        return set()


def _runs_alone() -> bool:
    """Tell whether this thread is the only running one of the machine; False if that is unknown."""
    try:
        return _read("/proc/loadavg").split()[3].startswith(b"1/")
    except (OSError, IndexError):
        return False


def running_threads(known: set[str], unknown: int) -> int:
    """Return the number of running threads of this process, without the `known` ones; `unknown` off Linux.

    The known threads are those that TBB has started for numclip: they spin too, but will work for this call.
    """
    threads, running = thread_ids(), 0
    if not threads:
        return unknown
    others = threads - known - {str(threading.get_native_id())}
    # Reading the state of many threads, such as those of TensorFlow and JAX, can cost more than a second
    # thread gains (see benchmarks/notes.md).
    if len(others) > FEW_THREADS and _runs_alone():
        return 0
    for thread in others:
        with suppress(OSError):  # it has ended meanwhile
            running += _read(f"/proc/self/task/{thread}/stat").rpartition(b") ")[2].startswith(b"R")
    return running
