"""What Numba loads of numclip by its entry point `numba_extensions`: the functions for compiled code.

Numba calls `init` when any program first compiles. All that costs is the import of numclip and of NumPy: what
implements the functions is loaded when a compiled function calls one.
"""

from typing import Any

import numclip


def init() -> None:
    """Tell Numba which functions compiled code may call."""
    from numba.extending import overload

    # As for the kernels of numclip itself: no flag of the caller's changes a bit.
    options = {"error_model": "numpy", "fastmath": False}

    @overload(numclip.clip_by_global_norm, jit_options=options)
    def clip_by_global_norm(
        t_list: Any,
        clip_norm: Any,
        use_norm: Any = None,
        name: Any = None,
        out: Any = None,
        eps: Any = 0.0,
        loss_scale: Any = 1.0,
    ) -> Any:
        from numclip._cpu.njit import functions

        return functions.clip_by_global_norm(t_list, clip_norm, use_norm, out, eps, loss_scale)

    @overload(numclip.global_norm, jit_options=options)
    def global_norm(t_list: Any, loss_scale: Any = 1.0) -> Any:
        from numclip._cpu.njit import functions

        return functions.global_norm(t_list, loss_scale)

    @overload(numclip.clip_factor, jit_options=options)
    def clip_factor(
        t_list: Any, clip_norm: Any, use_norm: Any = None, eps: Any = 0.0, loss_scale: Any = 1.0
    ) -> Any:
        from numclip._cpu.njit import functions

        return functions.clip_factor(t_list, clip_norm, use_norm, eps, loss_scale)
