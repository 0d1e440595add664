"""Numba's threading layers, for the tests that start one."""

import ctypes.util
import sys

import pytest

needs_openmp = pytest.mark.skipif(
    sys.platform == "linux" and ctypes.util.find_library("gomp") is None, reason="needs GNU OpenMP's libgomp"
)
OPENMP = pytest.param("omp", marks=needs_openmp)
LAYERS = ["tbb", OPENMP, "workqueue"]
