"""Counterparts: the objects of the results for entries that are more than an array."""

from typing import Any

from numclip._arrays.slices import IndexedSlices, is_slices


def check(target: Any, entry: Any, target_label: str, label: str) -> None:
    """Raise for a target that is not None where its entry is, or not an IndexedSlices where its entry is."""
    if entry is None and target is not None:
        raise TypeError(f"{target_label} should be None, as {label} is None")
    if is_slices(entry) and not is_slices(target):
        raise TypeError(f"{target_label} should be an IndexedSlices, as {label} is")


def like(entry: Any, array: Any) -> Any:
    """Return the counterpart of an entry, with this array in it."""
    if is_slices(entry):
        return IndexedSlices(array, entry.indices, entry.dense_shape)
    return array


def array_label(entry: Any, label: str) -> str:
    """Return the name of the array of an entry in errors."""
    return f"{label}.values" if is_slices(entry) else label
