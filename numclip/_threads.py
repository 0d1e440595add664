"""How many threads a call uses: decided for each call, by what pays right after a matrix product.

Measured on two cores, a sum of squares and a scaling in place, 50 % / 90 % in microseconds, the call coming
straight after a 600 x 600 matrix product, whose BLAS threads still spin:

=========  =============  ===============  ================
elements   one thread     two under TBB    two under OpenMP
=========  =============  ===============  ================
65 k       86 / 95        161 / 181        19983 / 20144
1 M        410 / 419      504 / 552        22251 / 27739
4 M        1404 / 1530    1477 / 1553      32654 / 36023
64 M       30419 / 33473  24562 / 25152    57989 / 65350
=========  =============  ===============  ================

The column of OpenMP is from another run, on a busier machine. At 4 million elements two threads break even
after a product, and alone take half the time (576 against 1128). So one thread up to 4 million elements, then
as many as have a megabyte each, under TBB alone (the package ``tbb``, found in a virtual environment too).
GNU OpenMP, which a plain installation of Numba uses, stalls for milliseconds, and ends a process that forks
and then uses it; Numba's workqueue ends a process in which two threads meet. Neither is started by numclip.
The results have the same bits whatever is decided here.
"""

import ctypes
import importlib
import logging  # noqa: F401 what it does before a fork, taking its lock, has to come after what is done here
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

SERIAL_ELEMENTS = 4_000_000
ELEMENTS_PER_THREAD = 1 << 18

_limit: int | None = None
_forked = False

# Held while Numba is loaded.
loading = threading.RLock()
_held: list[Any] = []
_LONGEST_COMPILATION = 30.0


def _before_fork() -> None:
    """Wait until no other thread loads Numba or compiles: a child would wait for its locks for ever."""
    if loading.acquire(timeout=_LONGEST_COMPILATION):
        _held.append(loading)
    compiler = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    lock = getattr(compiler, "_lock", None)
    if lock is not None and lock.acquire(timeout=_LONGEST_COMPILATION):
        _held.append(lock)


def _after_fork() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    # A child has none of its parent's threads: it computes alone, which is right under every layer.
    global _forked  # noqa: PLW0603
    _forked = True
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off until the end: after one in the middle of its import, Numba is broken for good."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    try:
        signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            before(*came[0])


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


def available_cores() -> int:
    """Return the cores that this process may use, by its affinity and its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no control group, or one without a quota
        return cores


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
    return serial_elements() < sys.maxsize and available_cores() > 1


def serial_elements() -> int:
    """Return the most elements of a list that one thread handles."""
    if _limit == 1 or _forked or not _runs_tbb():
        return sys.maxsize
    return SERIAL_ELEMENTS


def blocks(elements: int) -> int:
    """Return the number of threads, each with a block of its own, for a list of this many elements."""
    if elements <= SERIAL_ELEMENTS or elements <= serial_elements():
        return 1
    cores = min(available_cores(), elements // ELEMENTS_PER_THREAD)
    if _limit is not None:
        cores = min(cores, _limit)
    return cores if cores <= 1 else min(cores, _numba_threads())


def _numba_threads() -> int:
    """Return how many threads Numba may use, after starting them."""
    import numba

    starts = not _is_running()
    threads = int(numba.get_num_threads())
    if starts:
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
