"""Which backend an array belongs to, from its type, without importing anything."""

from collections.abc import Sequence
from typing import Any

from numclip._arrays.labels import Labels
from numclip._arrays.slices import IndexedSlices


def is_cuda(entry: Any) -> bool:
    """Tell whether an entry lies in the memory of a CUDA device."""
    # Not kept for each class: a program that makes classes would keep them all alive.
    kind = entry.__class__
    if not hasattr(kind, "__cuda_array_interface__"):
        return False
    if kind.__module__.partition(".")[0] in ("cupy", "numba"):
        return True
    # torch's property raises for tensors on the CPU or with gradients, and takes microseconds.
    return bool(entry.is_cuda) if hasattr(kind, "is_cuda") else _has_interface(entry)


def _has_interface(entry: Any) -> bool:
    try:
        return entry.__cuda_array_interface__ is not None
    except (AttributeError, RuntimeError, TypeError):  # JAX has the attribute on arrays of the CPU too
        return False


def refuse_cuda(entry: Any, name: str) -> None:
    """Raise for a CUDA array."""
    if is_cuda(entry):
        raise TypeError(f"{name} is a CUDA array ({type(entry)}), expected one on the CPU")


def array_of(entry: Any) -> Any:
    """Return the array of an entry."""
    return entry.values if isinstance(entry, IndexedSlices) else entry


def first_array(t_list: Any) -> tuple[int, Any]:
    """Return the number of the first array of a list, and the array; (0, None) where there is none."""
    if isinstance(t_list, Sequence):
        for index, entry in enumerate(t_list):
            if entry is not None:
                return index, array_of(entry)
    return 0, None


def refuse_mixed(t_list: list[Any], index: int, labels: Labels) -> None:
    """Raise for an entry that lies in another kind of memory than the first array of its list."""
    first, array = first_array(t_list)
    on_cuda = is_cuda(array)
    if t_list[index] is not None and is_cuda(array_of(t_list[index])) != on_cuda:
        label = labels.entry(index) + ".values" * isinstance(t_list[index], IndexedSlices)
        what, other = ("not a CUDA array", "is") if on_cuda else ("a CUDA array", "is not")
        raise TypeError(f"{label} is {what}, but {labels.entry(first)} {other}")
