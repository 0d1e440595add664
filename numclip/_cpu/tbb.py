"""Numba's TBB layer, the only one that numclip starts threads of.

GNU OpenMP, which a plain installation of Numba uses, stalls a call after a matrix product for 20 ms whatever
its size, and ends a process that forks and then uses it. Numba's workqueue ends a process in which two
threads meet. The package ``tbb`` is found in a virtual environment too, where Numba does not look for it.
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
    """Return Numba's threading layer if it is running, else "tbb" if it would be that, else ""."""
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
    # Numba starts TBB with an empty task. A process that forks before that has run waits for it when it ends,
    # for ever: on one core always.
    pool = importlib.import_module("numba.np.ufunc.tbbpool")
    ctypes.CFUNCTYPE(None)(pool.synchronize)()
