"""The backend for CUDA arrays: kernels that numba-cuda compiles for a device."""

import warnings

# Importing numba-cuda 0.30 warns under NumPy 2.5, and must not fail where warnings are errors. The filter
# stays: `catch_warnings` would also undo what other threads do to the filters meanwhile.
warnings.filterwarnings(
    "ignore", "The 'generic' unit for NumPy timedelta is deprecated", DeprecationWarning, r"numba\.cuda\."
)
INSTALL = 'pip install "numba-cuda[cu13]>=0.30" "numpy<2.5", or cu12 for a driver of CUDA 12'
try:
    import numba_cuda  # noqa: F401 replaces Numba's own CUDA target, which is deprecated
except ImportError:
    raise ImportError(f"clipping CUDA arrays needs numba-cuda: {INSTALL}") from None
try:
    from numba import cuda as cuda
except Exception as error:  # without CUDA's runtime library it raises an error of its own
    reason = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
    raise ImportError(f"numba-cuda cannot be loaded ({reason}): {INSTALL}") from error
