"""Arrays of other libraries on the CPU: their memory as a NumPy array, without importing the library."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays.memory import lies_inside
from numclip._arrays.modules import loaded

Array = NDArray[Any]


def read(entry: Any, name: str) -> Array:
    """Return what is not a NumPy array as one, sharing its memory where it has any."""
    try:
        if _is_bfloat16_tensor(entry):
            return _bfloat16_memory(entry)
        if hasattr(type(entry), "__dlpack__") and not hasattr(type(entry), "__array__"):
            return np.from_dlpack(entry)
        array = np.asarray(entry)
        if not lies_inside(array):
            raise ValueError("it claims memory outside of its buffer")
        return array
    except MemoryError:
        raise
    except Exception as error:  # `__array__` and `__dlpack__` are code of others, and may raise anything
        raise TypeError(f"{name} cannot be read as an array: {error}") from error


def memory(target: Any, name: str) -> Array:
    """Return the memory of a target that is not a NumPy array.

    DLPack alone lends memory and says whether it may be written; `__array__` may return a copy.
    """
    if not hasattr(type(target), "__dlpack__"):
        raise TypeError(f"{name} should be an array, received {type(target)}")
    try:
        array = _bfloat16_memory(target) if _is_bfloat16_tensor(target) else np.from_dlpack(target)
    except Exception as error:
        raise TypeError(f"{name} cannot be written as an array: {error}") from error
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only, as {type(target)} is")
    return array


def _is_bfloat16_tensor(entry: Any) -> bool:
    """Tell whether this is a tensor of PyTorch that neither NumPy nor its DLPack can read."""
    torch = loaded("torch", "Tensor")
    return torch is not None and isinstance(entry, torch.Tensor) and entry.dtype is torch.bfloat16


def _bfloat16_memory(tensor: Any) -> Array:
    """Return the memory of a bfloat16 tensor by way of integers, which NumPy does read."""
    if tensor.requires_grad:  # the view below would forget it
        raise RuntimeError("it requires grad. Use tensor.detach() instead.")
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        raise RuntimeError('bfloat16 needs ml_dtypes: pip install "numclip[bfloat16]"') from None
    bits: Array = np.asarray(tensor.view(loaded("torch", "Tensor").int16))
    return bits.view(bfloat16)
