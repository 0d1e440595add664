"""Driver and intrinsics for Numba's simulator: kernels run as Python, on the memory of the host."""
