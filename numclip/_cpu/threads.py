"""How many threads a call uses: decided for each call, by what pays right after a matrix product.

A product leaves the threads of the BLAS spinning on all cores, OpenBLAS's for more than 50 ms. Measured on
two cores, float32 in place by one thread and by two under TBB, medians in microseconds; "after" stands for
straight after a 600 x 600 matrix product:

==========  =======  ==========  =======  ==========  =======  ==========  =======  ==========
elements    summed   by two      after    by two      and      by two      after    by two
                                                      scaled
==========  =======  ==========  =======  ==========  =======  ==========  =======  ==========
4.1 M       168      116         206      232         521      358         576      651
8 M         489      312         555      614         1126     1040        1124     1720
16 M        1319     784         1314     1203        3251     2356        2876     4025
25 M        2186     1180        2236     1458        5596     2955        4645     6717
40 M        3755     2359        3716     2067        9303     4600        8465     9095
64 M        6307     5373        6219     6512        13422    12504       13894    14312
==========  =======  ==========  =======  ==========  =======  ==========  =======  ==========

(The memory of such a shared host gives two cores twice as much as one in one second, and no more than one in
the next.) A second thread that came to its core for the sum is sent away in the middle of the scaling. A sum
by two with a scaling by one is no way out: after a product 25 million elements take 6.2 ms by that, and 5.0
by one thread; where nothing is clipped, 2.3 and 2.4.

So one thread up to 4 million elements; up to 64 million as many as have a megabyte each and a core that no
other thread of this process runs on, which takes 70 us to find out when the caches have just been
emptied; beyond that as many as there are cores.

Under TBB alone (the package ``tbb``, found in a virtual environment too): GNU OpenMP, which a plain
installation of Numba uses, stalls a call after a product for 20 ms whatever its size, and ends a process that
forks and then uses it; Numba's workqueue ends a process in which two threads meet. Neither is started by
numclip. The results have the same bits whatever is decided here.
"""

import ctypes
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from numclip._core import process
from numclip._cpu import cores

SERIAL_ELEMENTS = 4_000_000
CONTESTED_ELEMENTS = 64_000_000
ELEMENTS_PER_THREAD = 1 << 18
FEW_THREADS = 4

_limit: int | None = None
_workers: set[str] = set()


def set_num_threads(threads: int | None) -> None:
    """Set the largest number of threads of a call; None, the default, is every available core.

    Numba's own setting is not touched, and never exceeded.

    Parameters
    ----------
    threads : int or None
        At least 1. With 1, no call uses a second thread.

    Examples
    --------
    >>> import numclip
    >>> numclip.set_num_threads(1)
    >>> numclip.set_num_threads(None)
    """
    global _limit  # noqa: PLW0603
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int)):
        raise TypeError(f"threads should be an int or None. Received {threads!r}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads should be at least 1. Received {threads}")
    _limit = threads


def _load_tbb() -> None:
    """Load TBB from where pip puts it, outside the search path of a virtual environment's interpreter."""
    from importlib import metadata

    try:
        files = metadata.files("tbb") or []
    except metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name in ("libtbb.so.12", "tbb12.dll"):
            try:
                ctypes.CDLL(str(file.locate()), ctypes.RTLD_GLOBAL)
            except OSError:
                return


def layer() -> str:
    """Return Numba's threading layer if it is running, else "tbb" if it would be that, else ""."""
    import numba
    from numba.core import config

    if _is_running():
        return str(numba.threading_layer())
    if config.THREADING_LAYER not in ("default", "safe", "threadsafe", "forksafe", "tbb"):
        return ""
    return "tbb" if config.THREADING_LAYER_PRIORITY[0] == "tbb" and _has_tbb() else ""


@cache
def _has_tbb() -> bool:
    _load_tbb()
    try:
        importlib.import_module("numba.np.ufunc.tbbpool")
    except ImportError:
        return False
    return True


@cache
def _runs_tbb() -> bool:
    return layer() == "tbb"


def may_start() -> bool:
    """Tell whether any list is large enough for a second thread, as things are."""
    return serial_elements() < sys.maxsize and cores.available_cores() > 1


def serial_elements() -> int:
    """Return the most elements of a list that one thread handles."""
    if _limit == 1 or process.is_forked() or not _runs_tbb():
        return sys.maxsize
    return SERIAL_ELEMENTS


def blocks(elements: int) -> int:
    """Return the number of threads, each with a block of its own, for a list of this many elements."""
    if elements <= SERIAL_ELEMENTS or elements <= serial_elements():
        return 1
    usable = cores.available_cores()
    if elements < CONTESTED_ELEMENTS:
        usable -= _running_threads(usable)
    usable = min(usable, elements // ELEMENTS_PER_THREAD)
    if _limit is not None:
        usable = min(usable, _limit)
    return 1 if usable <= 1 else min(usable, _numba_threads())


def _read(path: str) -> bytes:
    """Return a short file of the system's: open() takes three times as long."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 1024)
    finally:
        os.close(file)


def _thread_ids() -> set[str]:
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


def _running_threads(unknown: int) -> int:
    """Return how many threads of others run in this process just now, or `unknown` if nothing tells.

    Those that TBB has started for numclip spin for a while too, but are there for the next call.
    """
    threads, running = _thread_ids(), 0
    if not threads:
        return unknown
    others = threads - _workers - {str(threading.get_native_id())}
    # A thread takes 15 us to be asked: with the 22 that TensorFlow and JAX start, 330.
    if len(others) > FEW_THREADS and _runs_alone():
        return 0
    for thread in others:
        with suppress(OSError):  # it has ended meanwhile
            running += _read(f"/proc/self/task/{thread}/stat").rpartition(b") ")[2].startswith(b"R")
    return running


@contextmanager
def noting_workers() -> Iterator[None]:
    """Take the threads that appear meanwhile for those that TBB has started for numclip."""
    before = _thread_ids()
    yield
    _workers.update(_thread_ids() - before)


def _numba_threads() -> int:
    """Return how many threads Numba may use, after starting them."""
    import numba

    if _is_running():
        return int(numba.get_num_threads())
    with noting_workers():
        threads = int(numba.get_num_threads())
        # Numba starts TBB with an empty task. A process that forks before that has run waits for it when it
        # ends, for ever: on one core always.
        pool = importlib.import_module("numba.np.ufunc.tbbpool")
        ctypes.CFUNCTYPE(None)(pool.synchronize)()
    return threads


def _is_running() -> bool:
    import numba

    try:
        return bool(numba.threading_layer())
    except ValueError:
        return False
