"""The target of the kernels: a CUDA device, or Numba's simulator if NUMBA_ENABLE_CUDASIM is set.

`driver` has the functions for the host, `intrinsics` the functions for kernels that cannot be written in
Python.
"""

from typing import Any

from numba import config

__all__ = ["driver", "intrinsics"]

driver: Any
intrinsics: Any

if config.ENABLE_CUDASIM:
    from numclip._cuda.simulator import driver, intrinsics
else:
    from numclip._cuda import driver, intrinsics
