"""The properties of a CUDA array: address, dtype and stream, and how to make another one like it.

One class for each library, found by the type of an array. No library is imported that the caller has not
imported.
"""

from functools import cache
from typing import Any

from numclip._arrays.modules import loaded
from numclip._cuda.libraries.cupy import CuPy
from numclip._cuda.libraries.interface import Interface
from numclip._cuda.libraries.jax import Jax
from numclip._cuda.libraries.simulated import Simulated
from numclip._cuda.libraries.torch import Torch


@cache
def _made(cls: type[Interface], *module: Any) -> Interface:
    """Return the interface to a library, the same one each time.

    It is not cached by the class of the arrays: the cache would keep every class of a program alive.
    """
    return cls(*module)


def library(array: Any) -> Interface:
    """Return the interface to the library of an array."""
    cls = array.__class__
    modules = {base.__module__.partition(".")[0] for base in cls.__mro__}
    if "torch" in modules and (torch := loaded("torch", "Tensor")):
        return _made(Torch, torch)
    if "cupy" in modules and (cupy := loaded("cupy", "ndarray")):
        return _made(CuPy, cupy)
    if "jaxlib" in modules:
        return _made(Jax)
    # Arrays of Numba's simulator have the attribute of device arrays, but no interface.
    simulated = hasattr(cls, "__cuda_ndarray__") and not hasattr(cls, "__cuda_array_interface__")
    return _made(Simulated if simulated else Interface)
