"""Arrays of other libraries on the CPU: their memory as a NumPy array, without importing the library."""

import numbers
from collections.abc import Mapping, Sequence, Set
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays.errors import class_of, name_of, reason
from numclip._arrays.memory import lies_inside
from numclip._arrays.modules import loaded

Array = NDArray[Any]


_PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")
_NUMBERS = (numbers.Number, np.generic)
_MOST_AXES = 64
_TREES = ". numclip.tree clips nested containers of arrays"


class _Misfit(Exception):
    """The fault of an entry: the rest of a message that starts with the name of the entry."""


def lends(value: Any) -> bool:
    """Tell whether a value has a protocol by which it can be read as an array."""
    try:
        return any(hasattr(value, protocol) for protocol in _PROTOCOLS)
    except Exception:  # the attribute exists, and raises: `read` will report it
        return True


def read(entry: Any, name: str, expected: str = "an array") -> Array:
    """Return an array of another library, or numbers, as a NumPy array, a view if they have memory."""
    try:
        _refuse_nonarray(entry, expected)
        if _is_bfloat16_tensor(entry):
            return _bfloat16_memory(entry)
        if hasattr(type(entry), "__dlpack__") and not hasattr(type(entry), "__array__"):
            return np.from_dlpack(entry)
        array = np.asarray(entry)
        if not lies_inside(array):
            raise ValueError("it claims memory outside of its buffer")
        if array.dtype == object and not lends(entry):
            raise _Misfit(f"is a {class_of(entry)}, expected {expected}")
        if array.dtype.name != "bfloat16" and _calls_itself_bfloat16(entry):
            raise ValueError("its bfloat16 comes as another dtype")
        return array
    except MemoryError:
        raise
    except _Misfit as error:
        raise TypeError(f"{name} {error}") from None
    except Exception as error:  # `__array__` and `__dlpack__` are third-party code, and may raise anything
        if _calls_itself_bfloat16(entry) and not _is_bfloat16_tensor(entry):
            message = f"{name} is a bfloat16 {class_of(entry)}, which NumPy cannot read: cast it to float32"
            raise TypeError(message) from error
        raise TypeError(f"{name} cannot be read as an array: {reason(error)}") from error


def _refuse_nonarray(entry: Any, expected: str) -> None:
    """Raise for containers and others that NumPy would stack, or convert to an array of objects."""
    if isinstance(entry, _NUMBERS) or lends(entry):
        return
    if isinstance(entry, str | bytes) or not (isinstance(entry, Sequence) or _is_buffer(entry)):
        trees = _TREES if isinstance(entry, Mapping | Set) else ""
        raise _Misfit(f"is a {class_of(entry)}, expected {expected}{trees}")
    if isinstance(entry, Sequence):
        _refuse_nonnumbers(entry, expected)


def _is_buffer(entry: Any) -> bool:
    try:
        memoryview(entry)
    except TypeError:
        return False
    return True


def _refuse_nonnumbers(entry: Sequence[Any], expected: str) -> None:
    """Raise unless a sequence holds numbers, or sequences of them; breadth first, each list once."""
    level: list[Any] = [entry]
    for _ in range(_MOST_AXES):
        kinds = dict.fromkeys(map(type, chain.from_iterable(level)))
        nested = {kind for kind in kinds if issubclass(kind, Sequence) and not issubclass(kind, str | bytes)}
        for kind in kinds:
            if kind not in nested and not (issubclass(kind, _NUMBERS) and not issubclass(kind, str | bytes)):
                held = f"is a {class_of(entry)} that holds {name_of(kind)}"
                raise _Misfit(f"{held}, expected {expected} or nested lists of numbers{_TREES}")
        if not nested:
            return
        inner = (item for item in chain.from_iterable(level) if type(item) in nested)
        level = list({id(item): item for item in inner}.values())
    raise _Misfit(f"is nested too deeply, expected {expected}")


def _calls_itself_bfloat16(entry: Any) -> bool:
    """Tell whether an array of another library says that it is bfloat16, as those of MLX and Paddle do."""
    try:
        return "bfloat16" in str(getattr(entry, "dtype", "")).lower()
    except Exception:  # third-party code
        return False


def lent(entries: list[Any]) -> list[Any] | None:
    """Return the entries, each PyTorch tensor replaced by an array of its memory; None if that fails.

    Fast path: `read` and `memory` do the same for one entry, and raise an error that names it.
    """
    torch = loaded("torch", "Tensor")
    tensor, bfloat16 = getattr(torch, "Tensor", None), getattr(torch, "bfloat16", None)
    if tensor is None or bfloat16 is None or not any(type(entry) is tensor for entry in entries):
        return None
    try:
        return [
            entry
            if type(entry) is not tensor
            else _bfloat16_memory(entry)
            if entry.dtype is bfloat16
            else entry.numpy()
            for entry in entries
        ]
    except Exception:  # it requires grad, is sparse, conjugated, on a device ...
        return None


def memory(target: Any, name: str) -> Array:
    """Return the memory of a target that is not a NumPy array.

    DLPack alone lends memory and says whether it may be written; `__array__` may return a copy.
    """
    if not hasattr(type(target), "__dlpack__"):
        raise TypeError(f"{name} should be an array, received {class_of(target)}")
    try:
        array = _bfloat16_memory(target) if _is_bfloat16_tensor(target) else np.from_dlpack(target)
    except Exception as error:
        raise TypeError(f"{name} cannot be written as an array: {reason(error)}") from error
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only, as {class_of(target)} is")
    return array


def _is_bfloat16_tensor(entry: Any) -> bool:
    """Tell whether this is a tensor of PyTorch that neither NumPy nor its DLPack can read."""
    torch = loaded("torch", "Tensor")
    return torch is not None and isinstance(entry, torch.Tensor) and entry.dtype is torch.bfloat16


def _bfloat16_memory(tensor: Any) -> Array:
    """Return the memory of a bfloat16 tensor by way of integers, which NumPy does read."""
    if tensor.requires_grad:  # the view below would ignore it
        raise RuntimeError("it requires grad. Use tensor.detach() instead.")
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        raise RuntimeError('bfloat16 needs ml_dtypes: pip install "ml_dtypes>=0.5"') from None
    bits: Array = np.asarray(tensor.view(loaded("torch", "Tensor").int16))
    return bits.view(bfloat16)
