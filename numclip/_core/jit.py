"""How numclip compiles for the host: every option of Numba in one place.

A helper is called by compiled code alone. A kernel is called by Python: its signature stands on its body, so
that it is compiled once, not for each layout and read-only flag of its arrays, and it is cached on disk.
"""

import logging
import sys
import sysconfig
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
from numba import types

from numclip._core import apart, interpreters
from numclip._core.cache import PackageCache
from numclip._core.dtypes import REALS

if numba.config.DISABLE_JIT:
    raise RuntimeError("numclip is compiled by Numba and cannot run without: unset NUMBA_DISABLE_JIT")
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    # Compiled code that packs a list relies on the GIL, as its borrowed references do.
    raise RuntimeError("numclip needs a Python with the global interpreter lock, not a free-threaded one")
if sys.byteorder != "little" or sys.maxsize < 2**32:
    # That code reads fields of 64 bits, and takes the first bytes of a number for its low-order bits.
    raise RuntimeError("numclip needs a processor of 64 bits that stores the lowest byte first")

logger = logging.getLogger("numclip")

# No fast-math flag anywhere: the order of every sum is part of the contract. Rewrites, and wrappers of
# helpers, gain nothing here: without them, a first call compiles faster. A helper is always inlined: its
# calls would count references and spill vectors, and inlining does not take longer to compile. See
# benchmarks/notes.md.
_OPTIONS = {"error_model": "numpy", "no_rewrites": True, "no_cfunc_wrapper": True}
_HELPER_OPTIONS = _OPTIONS | {"no_cpython_wrapper": True, "forceinline": True}
helper = numba.njit(**_HELPER_OPTIONS)
# For a helper that branches on whether an argument is None: the rewrites drop the other branch before that is
# compiled.
choosing_helper = numba.njit(**_HELPER_OPTIONS | {"no_rewrites": False})
# For a large helper that the functions of users call: each of them would take a second longer to compile.
outlined_helper = numba.njit(**_HELPER_OPTIONS | {"forceinline": False})


def named_helper(name: str, make: Any = helper) -> Callable[[Callable[..., Any]], Any]:
    """Make a helper of a function that a factory has made, under a name of its own.

    Code from the disk cache is linked by names, in which the functions of one factory differ only by a number
    that each process counts for itself. Two files from two processes could have one name for two functions,
    and one would be called for both (https://github.com/numba/numba/issues/10486).
    """

    def decorate(function: Callable[..., Any]) -> Any:
        function.__name__ = function.__qualname__ = name
        return make(function)

    return decorate


def kernel(
    signature: Callable[..., Any], *, nogil: bool = True, parallel: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Make a kernel of a function: a callable that returns its machine code for the given choices.

    `signature` takes the choices, such as a typecode, and returns the types of the arguments. A kernel with
    `parallel` also returns, if called with ``parallel=True``, machine code whose `prange` loops are shared
    among threads. Numba's own dispatcher would compile again for each layout and each read-only flag of an
    array, and inspect both at each call.
    """

    def decorate(body: Callable[..., Any]) -> Any:
        dispatchers = {shared: _dispatcher(body, shared, nogil) for shared in (False, True)[: 1 + parallel]}

        @cache
        def compiled(*choices: Any, parallel: bool = False) -> Callable[..., Any]:
            if parallel:
                # Compiling starts Numba's threads: start them in this thread, not in that of the compiler, as
                # TBB warns of a fork in any thread but the one that has started it.
                numba.get_num_threads()

            dispatcher, start = dispatchers[parallel], time.perf_counter()
            code: Callable[..., Any] = apart.run(
                (body, choices, parallel), lambda: _compile(dispatcher, signature(*choices))
            )
            # Log in this thread, not in that of the compiler: the caller may hold a lock that a log handler
            # takes.
            verb = "loaded" if dispatcher._cache.was_found else "compiled"
            detail = [REALS[choice].name for choice in choices if type(choice) is int]
            what = " ".join([body.__name__, *detail, *["parallel"] * parallel])
            logger.info("%s %s in %.2f s", verb, what, time.perf_counter() - start)
            return code

        compiled.body, compiled.dispatchers = body, dispatchers  # type: ignore[attr-defined]
        return compiled

    return decorate


def _dispatcher(body: Callable[..., Any], parallel: bool, nogil: bool) -> Any:
    dispatcher = numba.njit(**_OPTIONS, nogil=nogil, parallel=parallel)(body)
    dispatcher._cache = PackageCache(body, parallel=parallel, nogil=nogil)
    return dispatcher


def _compile(dispatcher: Any, signature: Any) -> Callable[..., Any]:
    with dispatcher._cache.one_process_compiles(signature, dispatcher.targetctx):
        code: Callable[..., Any] = dispatcher.compile(signature)
    takes_arrays = any(isinstance(kind, types.Array) for kind in signature)
    return interpreters.in_own_thread(code) if takes_arrays and interpreters.is_subinterpreter() else code
