"""Which backend an array belongs to, from its type, without importing anything."""

from collections.abc import Sequence
from typing import Any

from numclip._arrays.errors import class_of
from numclip._arrays.labels import Labels
from numclip._arrays.slices import is_slices


def is_cuda(entry: Any) -> bool:
    """Tell whether an entry lies in the memory of a CUDA device."""
    # Not cached by class: the cache would keep every class of a program alive.
    kind = entry.__class__
    if hasattr(kind, "__cuda_ndarray__"):  # Numba's, also those of its simulator
        return True
    if not hasattr(kind, "__cuda_array_interface__"):
        return False
    home = kind.__module__.partition(".")[0]
    if home == "cupy":
        return True
    if home == "jaxlib":  # the property raises for bfloat16, for other orders of the axes and for shards
        return _is_on_gpu(entry)
    # torch's property raises for tensors on the CPU or with gradients, and is slow.
    return bool(entry.is_cuda) if hasattr(kind, "is_cuda") else _has_interface(entry)


def _has_interface(entry: Any) -> bool:
    try:
        return entry.__cuda_array_interface__ is not None
    except (AttributeError, RuntimeError, TypeError):
        return False


def _is_on_gpu(entry: Any) -> bool:
    return any(device.platform in ("gpu", "cuda") for device in entry.devices())


def refuse_cuda(entry: Any, name: str) -> None:
    """Raise for a CUDA array."""
    if is_cuda(entry):
        raise TypeError(f"{name} is a CUDA array ({class_of(entry)}), expected one on the CPU")


def array_of(entry: Any) -> Any:
    """Return the array of an entry."""
    return entry.values if is_slices(entry) else entry


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
        label = labels.entry(index) + ".values" * is_slices(t_list[index])
        what, other = ("not a CUDA array", "is") if on_cuda else ("a CUDA array", "is not")
        raise TypeError(f"{label} is {what}, but {labels.entry(first)} {other}")
