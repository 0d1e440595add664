"""The backend for CUDA arrays: kernels that numba-cuda compiles for a device."""
