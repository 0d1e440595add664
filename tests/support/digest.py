"""Prints a digest of the norms and results of fixed lists: the same under all settings."""

import hashlib
import sys

import ml_dtypes
import numba
import numpy as np
from policy import share_every_list

import numclip
from numclip._cpu import tbb

DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.complex64, np.complex128)


def lists():
    """Sizes around the lanes and the chunks, all magnitudes, each dtype alone and all together."""
    rng = np.random.default_rng(1)
    every = []
    for dtype in DTYPES:
        arrays = []
        for size in (0, 1, 7, 8, 31, 33, 4095, 4097, 50_000):
            real = rng.standard_normal(size) * 2.0 ** rng.integers(-12, 12, size)
            arrays.append((real * (1 + 1j) if np.dtype(dtype).kind == "c" else real).astype(dtype))
        every.append(arrays)
    every.append([array for arrays in every for array in arrays])
    every.append([np.array([2.0**-24, 2.0**-15, 65504], np.float16)])
    every.append([np.array([1e-40, 1e-39, 1e-38], ml_dtypes.bfloat16)])
    every.append([np.array([1e200, 3e-200, 5.0]), np.array([1e30], np.float32)])
    every.append([np.array([1e-200, 3e-201])])
    return every


def digest():
    """Hash the norm, the factor and the results of each list, clipped to two bounds."""
    sha = hashlib.sha256()
    for arrays in lists():
        for bound in (0.37, 1e-3):
            clipped, norm = numclip.clip_by_global_norm(arrays, bound)
            factor, _ = numclip.clip_factor(arrays, bound)
            sha.update(norm.tobytes() + np.float64(factor).tobytes())
            for array in clipped:
                sha.update(array.tobytes())
    return sha.hexdigest()


if __name__ == "__main__":
    if sys.argv[1] == "serial":
        print(digest())
    else:
        tbb.layer()  # finds TBB, as a call does
        share_every_list(int(sys.argv[1]))
        print(digest(), numba.threading_layer())
