"""The properties of a CUDA array: address, dtype and stream, and how to make another one like it.

One class for each library, found by the type of an array. No library is imported that the caller has not
imported.
"""

from functools import cache
from typing import Any

from numclip._cuda.libraries.cupy import CuPy
from numclip._cuda.libraries.interface import Interface
from numclip._cuda.libraries.jax import Jax
from numclip._cuda.libraries.simulated import Simulated
from numclip._cuda.libraries.torch import Torch


def library(array: Any) -> Interface:
    """Return the interface to the library of an array."""
    return _library(array.__class__)


@cache
def _library(cls: type) -> Interface:
    modules = {base.__module__.partition(".")[0] for base in cls.__mro__}
    if "torch" in modules:
        return Torch()
    if "cupy" in modules:
        return CuPy()
    if "jaxlib" in modules:
        return Jax()
    # Arrays of Numba's simulator have the attribute of device arrays, but no interface.
    simulated = hasattr(cls, "__cuda_ndarray__") and not hasattr(cls, "__cuda_array_interface__")
    return Simulated() if simulated else Interface()
