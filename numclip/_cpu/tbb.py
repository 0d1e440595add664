"""Numba's TBB layer, the only one whose threads numclip starts.

GNU OpenMP, which a plain installation of Numba uses, stalls calls after a matrix product (see
benchmarks/notes.md), and ends a process that uses it after a fork. Numba's workqueue ends a process in which
two threads use it at once. The package ``tbb`` is found in a virtual environment too, where Numba does not
search for it.
"""

import ctypes
import importlib
from functools import cache


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
    """Return Numba's threading layer if it is running, else "tbb" if Numba would start that, else ""."""
    import numba
    from numba.core import config

    if is_running():
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
def is_used() -> bool:
    return layer() == "tbb"


def is_running() -> bool:
    """Tell whether any layer of Numba's is running."""
    import numba

    try:
        return bool(numba.threading_layer())
    except ValueError:
        return False


def start() -> None:
    """Start the threads."""
    import numba

    numba.get_num_threads()
    # Numba starts TBB with an empty task, which must finish before a fork: otherwise the process waits for it
    # at its end, for ever. On one core, that always happened.
    pool = importlib.import_module("numba.np.ufunc.tbbpool")
    ctypes.CFUNCTYPE(None)(pool.synchronize)()
