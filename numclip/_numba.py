"""The functions of numclip for compiled code, registered by the entry point `numba_extensions` of Numba.

Numba calls `init` when a program first compiles. That costs the import of numclip and of NumPy: the
implementations are loaded when a compiled function calls one.

The types of the arguments are checked while the caller is compiled. Neither objects of Python nor the GIL are
touched, so that callers with ``nogil=True`` may call; the thread of the caller does all the work. An array
that is not one block of memory is copied, and such entries of `out` are not checked for overlap.
"""

from typing import Any

import numclip


class Stamp:
    """A mark in machine code that callers keep on disk: the code of another version of numclip is not loaded.

    It is loaded before any other module of numclip that the code names, which another version may not have.
    The files of callers name `check_stamp` and this module: both must stay where they are.
    """

    def __reduce__(self) -> Any:
        """Keep the digest of the package that was compiled in."""
        return check_stamp, (_package_stamp(),)


def check_stamp(stamp: str) -> Stamp:
    """Return the mark of this version; raise for another one: Numba then compiles again."""
    if stamp != _package_stamp():
        raise OSError("compiled with another version of numclip")
    return Stamp()


def _package_stamp() -> str:
    from numclip._core import cache

    return cache.package_stamp()


# As for the kernels of numclip itself: no flag of the caller's changes a bit.
_OPTIONS = {"error_model": "numpy", "fastmath": False}


def init() -> None:
    """Tell Numba which functions compiled code may call."""
    from numba.extending import overload

    for name, typing in (
        ("clip_by_global_norm", _clip_by_global_norm),
        ("global_norm", _global_norm),
        ("clip_factor", _clip_factor),
    ):
        overload(getattr(numclip, name), jit_options=_OPTIONS)(typing)


def _functions() -> Any:
    """Return the module that implements the functions, while a caller is compiled."""
    from numclip._core import process

    # An exception in the middle of an import, such as that of Ctrl-C, would leave modules half made.
    with process.without_signals():
        from numclip._cpu.njit import functions
    return functions


def _clip_by_global_norm(
    t_list: Any,
    clip_norm: Any,
    use_norm: Any = None,
    name: Any = None,
    out: Any = None,
    ord: Any = 2,
    eps: Any = 0.0,
    loss_scale: Any = 1.0,
    nonfinite: Any = "nan",
    strict: Any = False,
    stream: Any = None,
) -> Any:
    functions = _functions()
    mark = functions.kept_with_code(Stamp())
    functions.refuse(ord=ord, nonfinite=nonfinite, strict=strict, stream=stream)
    clip = functions.clip_of(t_list, clip_norm, use_norm, out, eps, loss_scale)

    def clip_by_global_norm(
        t_list: Any,
        clip_norm: Any,
        use_norm: Any = None,
        name: Any = None,
        out: Any = None,
        ord: Any = 2,
        eps: Any = 0.0,
        loss_scale: Any = 1.0,
        nonfinite: Any = "nan",
        strict: Any = False,
        stream: Any = None,
    ) -> Any:
        mark()
        results, norm, _ = clip(t_list, clip_norm, use_norm, out, eps, loss_scale)
        return results, norm

    return clip_by_global_norm


def _global_norm(t_list: Any, ord: Any = 2, loss_scale: Any = 1.0, stream: Any = None) -> Any:
    functions = _functions()
    mark = functions.kept_with_code(Stamp())
    functions.refuse(ord=ord, stream=stream)
    clip = functions.clip_of(t_list, 0.0, None, None, 0.0, loss_scale, writes=False)

    def global_norm(t_list: Any, ord: Any = 2, loss_scale: Any = 1.0, stream: Any = None) -> Any:
        mark()
        return clip(t_list, 0.0, None, None, 0.0, loss_scale)[1]

    return global_norm


def _clip_factor(
    t_list: Any,
    clip_norm: Any,
    use_norm: Any = None,
    ord: Any = 2,
    eps: Any = 0.0,
    loss_scale: Any = 1.0,
    nonfinite: Any = "nan",
) -> Any:
    functions = _functions()
    mark = functions.kept_with_code(Stamp())
    functions.refuse(ord=ord, nonfinite=nonfinite)
    clip = functions.clip_of(t_list, clip_norm, use_norm, None, eps, loss_scale, writes=False)

    def clip_factor(
        t_list: Any,
        clip_norm: Any,
        use_norm: Any = None,
        ord: Any = 2,
        eps: Any = 0.0,
        loss_scale: Any = 1.0,
        nonfinite: Any = "nan",
    ) -> Any:
        mark()
        _, norm, factor = clip(t_list, clip_norm, use_norm, None, eps, loss_scale)
        return factor, norm

    return clip_factor
