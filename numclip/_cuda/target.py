"""What the kernels run on: a CUDA device, or Numba's simulator of one where NUMBA_ENABLE_CUDASIM is set.

`driver` is all that the host asks of it, `intrinsics` what the kernels do that is not Python.
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
