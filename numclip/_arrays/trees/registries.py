"""Classes that the program has registered as containers, with optree or JAX, neither of which is imported."""

from collections.abc import Callable
from typing import Any

from numclip._arrays.modules import loaded

# The steps to the children, the children, and what puts new ones together.
Registered = tuple[list[str], list[Any], Callable[[list[Any]], Any]]


def take_apart(value: Any) -> Registered | None:
    """Take apart an instance of a registered class; return None for any other object."""
    return _by_optree(value) or _by_jax(value)


def _by_optree(value: Any) -> Registered | None:
    optree = loaded("optree", "tree_is_leaf", "tree_flatten_one_level")
    if optree is None or optree.tree_is_leaf(value, none_is_leaf=True):
        return None
    level = optree.tree_flatten_one_level(value, none_is_leaf=True)
    children, metadata, entries, unflatten = level
    steps = [level.path_entry_type(entry, level.type, level.kind).codify("") for entry in entries]
    return steps, children, lambda new: unflatten(metadata, new)


def _by_jax(value: Any) -> Registered | None:
    tree_util = loaded("jax.tree_util", "tree_flatten_with_path", "tree_unflatten", "keystr")
    if tree_util is None:
        return None
    is_below = iter([False])  # JAX asks about the value first, then about its children
    flat, structure = tree_util.tree_flatten_with_path(value, is_leaf=lambda _: next(is_below, True))
    if len(flat) == 1 and not flat[0][0]:
        return None
    steps = [tree_util.keystr(path) for path, _ in flat]
    return steps, [child for _, child in flat], lambda new: tree_util.tree_unflatten(structure, new)
