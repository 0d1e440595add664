"""The backend for NumPy arrays: kernels that Numba compiles for the host."""
