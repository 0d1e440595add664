"""Which backend a list belongs to: that of its first array."""

from collections.abc import Sequence
from typing import Any

from numclip._dispatch import is_cuda
from numclip._names import Names
from numclip._slices import IndexedSlices


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


def on_cuda(t_list: Any) -> bool:
    """Tell whether the first array of a list lies on a CUDA device; where it is no list, False."""
    return is_cuda(first_array(t_list)[1])


def refuse_mixed(t_list: list[Any], index: int, names: Names) -> None:
    """Raise for an entry that lies on a CUDA device, in a list whose first array does not."""
    first = first_array(t_list)[0]
    if index != first and is_cuda(array_of(t_list[index])):
        name = names.entry(index) + ".values" * isinstance(t_list[index], IndexedSlices)
        raise TypeError(f"{name} is a CUDA array, but {names.entry(first)} is not")
