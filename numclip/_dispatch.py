"""Which backend an array belongs to, from its type, without importing anything."""

from typing import Any


def is_cuda(entry: Any) -> bool:
    """Tell whether an entry lies in the memory of a CUDA device."""
    try:
        return hasattr(type(entry), "__cuda_array_interface__") and entry.__cuda_array_interface__ is not None
    except (AttributeError, RuntimeError, TypeError):
        # torch has the attribute on every tensor, and raises for those on the CPU or with gradients.
        return getattr(entry, "is_cuda", False) is True


def refuse_cuda(entry: Any, name: str) -> None:
    """Raise for a CUDA array: this is where the CUDA backend takes over once it is there."""
    if is_cuda(entry):
        raise TypeError(f"{name} is a CUDA array ({type(entry)}): numclip clips arrays on the CPU only")
