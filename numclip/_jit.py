"""Every Numba option in one place, and a disk cache that can neither fail nor go stale."""

import sysconfig
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

if numba.config.DISABLE_JIT:
    raise RuntimeError("numclip is compiled by Numba and cannot run without: unset NUMBA_DISABLE_JIT")
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    # The native walk over a list relies on the lock, and so do the borrowed references in it.
    raise RuntimeError("numclip needs a Python with the global interpreter lock, not a free-threaded one")

# No fast-math flag anywhere: the order of every sum is part of the contract.
helper = numba.njit(error_model="numpy", nogil=True)


@cache
def package_stamp() -> str:
    """Digest of every source of the package: Numba's own stamp sees only the file of the cached function."""
    digest = sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


class PackageCache(FunctionCache):
    """Numba's disk cache, keyed by the whole package and all options; a broken one is a miss, never an error.

    Numba's own key leaves the options out: the parallel twin of a function would be handed the serial one.
    """

    def __init__(self, function: Callable[..., Any], **options: bool) -> None:
        self._options = tuple(sorted(options.items()))
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, package_stamp())

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        settings = (numba.config.BOUNDSCHECK, numba.config.OPT, numba.config.DEBUGINFO_DEFAULT)
        return (*super()._index_key(signature, codegen), self._options, settings)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the cached machine code, or None."""
        try:
            return super().load_overload(signature, target_context)
        except Exception:  # a truncated or foreign file can raise anything that unpickling can
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Save the machine code if that is possible."""
        try:
            super().save_overload(signature, data)
        except Exception:  # a full disk or a directory that has gone: compiled code works all the same
            return


def entry(function: Callable[..., Any], *, parallel: bool = False, nogil: bool = True) -> Any:
    """Compile `function` as one that Python calls, cached on disk where a directory can be written."""
    dispatcher = numba.njit(error_model="numpy", nogil=nogil, parallel=parallel)(function)
    # Where no directory can be written, each process compiles for itself.
    with suppress(RuntimeError, OSError):
        dispatcher._cache = PackageCache(function, parallel=parallel, nogil=nogil)
    return dispatcher
