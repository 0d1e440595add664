"""The containers of which trees are made, one level at a time."""

import copy
import dataclasses
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from numclip._arrays.slices import IndexedSlices


class Node(NamedTuple):
    """A container taken apart: its children, how each is reached, and what puts new ones together."""

    steps: list[str]
    children: list[Any]
    rebuild: Callable[[list[Any]], Any]


def node(value: Any) -> Node | None:
    """Take a container apart; return None for a leaf."""
    if value is None or isinstance(value, IndexedSlices):
        return None
    if isinstance(value, dict):
        return Node(_indexed(value), list(value.values()), lambda children: _with_values(value, children))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return Node(_dotted(value._fields), list(value), type(value)._make)  # type: ignore[attr-defined]
    if isinstance(value, list | tuple):
        return Node(_indexed(range(len(value))), list(value), type(value))
    registered = _registered(value)
    if registered is not None:
        return registered
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        children = [getattr(value, field) for field in fields]
        return Node(_dotted(fields), children, lambda children: _with_fields(value, fields, children))
    return None


def _indexed(keys: Iterable[Any]) -> list[str]:
    return [f"[{key!r}]" for key in keys]


def _dotted(fields: Iterable[str]) -> list[str]:
    return [f".{field}" for field in fields]


def _with_values(mapping: dict[Any, Any], values: list[Any]) -> dict[Any, Any]:
    """Return a dict of the same class and keys: a copy, which keeps the factory of a defaultdict."""
    new = copy.copy(mapping)
    new.update(zip(mapping, values, strict=True))
    return new


def _with_fields(instance: Any, fields: list[str], values: list[Any]) -> Any:
    """Return an instance of a dataclass with other values, frozen or not, without calling it."""
    new = copy.copy(instance)
    for field, value in zip(fields, values, strict=True):
        object.__setattr__(new, field, value)
    return new


def _registered(value: Any) -> Node | None:
    """Take apart what the program has registered with optree, which is therefore imported."""
    optree: Any = sys.modules.get("optree")
    if optree is None or optree.tree_is_leaf(value, none_is_leaf=True):
        return None
    level = optree.tree_flatten_one_level(value, none_is_leaf=True)
    children, metadata, entries, unflatten = level
    steps = [level.path_entry_type(entry, level.type, level.kind).codify("") for entry in entries]
    return Node(steps, children, lambda children: unflatten(metadata, children))
