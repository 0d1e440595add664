"""What a CUDA array is: where it lies, what it holds, its stream, and how another one like it is made.

One class for each library, found by the type of an array; nothing is imported that the caller has not.
"""

from functools import cache
from typing import Any

from numclip._cuda.libraries.cupy import CuPy
from numclip._cuda.libraries.interface import Interface
from numclip._cuda.libraries.jax import Jax
from numclip._cuda.libraries.simulated import Simulated
from numclip._cuda.libraries.torch import Torch


def library(array: Any) -> Interface:
    """Return what reads an array."""
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
    # Numba's simulator says that its arrays are those of a device, and has nothing else to say of them.
    simulated = hasattr(cls, "__cuda_ndarray__") and not hasattr(cls, "__cuda_array_interface__")
    return Simulated() if simulated else Interface()
