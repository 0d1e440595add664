"""The backend for CUDA arrays: kernels that numba-cuda compiles for a device."""

import warnings

# Importing numba-cuda 0.30 warns under NumPy 2.5, and must not fail where warnings are errors. The filter
# stays: `catch_warnings` would also undo what other threads do to the filters meanwhile.
warnings.filterwarnings(
    "ignore", "The 'generic' unit for NumPy timedelta is deprecated", DeprecationWarning, r"numba\.cuda\."
)
try:
    import numba_cuda  # noqa: F401 the target that Numba itself brings is an old one
except ImportError:
    raise ImportError(
        'clipping CUDA arrays needs numba-cuda: pip install "numba-cuda[cu13]>=0.30" "numpy<2.5", or cu12'
        " for a driver of CUDA 12"
    ) from None
