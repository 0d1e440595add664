"""A tree as a list of leaves and a structure, and a list of results as a tree of that structure."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from numclip._arrays.errors import class_of
from numclip._arrays.trees import leaves as leaf
from numclip._arrays.trees import text
from numclip._arrays.trees.copies import CannotCopy, Exchange
from numclip._arrays.trees.nodes import Node, node, node_of_fields, simple_fields
from numclip._arrays.trees.parts import (
    Level,
    Part,
    Record,
    is_aligned,
    match,
    nested_like,
    path_of,
    path_to,
    value_of,
)
from numclip._arrays.trees.simple import instance

# Leaves that need no look: nearly all.
_PLAIN = frozenset({np.ndarray, type(None)})


class Tree:
    """A tree of arrays, taken apart as it is at the moment; its name is for errors.

    As the `Labels` of its leaves, it calls them by their paths, which are built for an error alone.
    """

    __slots__ = ("_top", "leaves", "nodes")

    def __init__(self, value: Any, name: str = "tree") -> None:
        if type(value) is dict:
            # Shortcut: most trees are a flat dict.
            flat = value.copy()
            leaves = [*flat.values()]
            if _PLAIN.issuperset(map(type, leaves)):
                self._top: Part = flat
                self.leaves: list[Any] = leaves
                self.nodes: list[Level] | tuple[()] = ()
                return
        self.leaves, self.nodes = [], []
        try:
            self._top = _take(value, self.leaves, self.nodes, {})
        except RecursionError:
            raise RecursionError(f"{name} contains itself, or is nested too deeply") from None
        if not _PLAIN.issuperset(map(type, self.leaves)):
            self._check_leaves(name)

    def _check_leaves(self, name: str) -> None:
        for index, value in enumerate(self.leaves):
            if type(value) not in _PLAIN and not leaf.is_arraylike(value):
                path, received = text.path(path_of(self._top, index)), class_of(value)
                raise TypeError(f"{name}{path} is no array and no container. Received {received}")

    def entry(self, index: int, /) -> str:
        """Return the label of a leaf."""
        return f"tree{text.path(path_of(self._top, index))}"

    def target(self, index: int, /) -> str:
        """Return the label of the target of a leaf."""
        return f"out{text.path(path_of(self._top, index))}"

    def check_stable(self, name: str) -> None:
        """Raise for a container that makes its arrays anew when it is read."""
        for level in self.nodes:
            if not level.container.is_stable():
                raise TypeError(
                    f"{name}{self._path_to(level)} makes its arrays anew at each access, and what is written"
                    f" to them is lost. Received {class_of(value_of(level))}"
                )

    def rebuilt(self, results: list[Any], remedy: str) -> Any:
        """Return the same structure with a result in place of each leaf.

        `remedy` says what the caller can do about a container that cannot be copied.
        """
        if type(self._top) is dict:
            return dict(zip(self._top, results))  # noqa: B905 they are as many as the leaves
        with_care = not all(level.container.is_simple for level in self.nodes)
        exchange = Exchange(self.leaves, results, node) if with_care else None
        try:
            return _put(self._top, iter(results), exchange)
        except _Failure as failure:
            path, received = self._path_to(failure.level), class_of(value_of(failure.level))
            reason = failure.__cause__
            raise TypeError(
                f"tree{path} cannot be copied with other arrays: {reason}. {remedy}. Received {received}"
            ) from reason

    def targets(self, out: Any) -> list[Any]:
        """Return the target for each leaf, found by the same steps in another tree."""
        if type(self._top) is dict and type(out) is dict:
            # Shortcut: the targets of a flat dict are looked at by the backend, also what is no array.
            flat = out.copy()
            if [*flat] == [*self._top]:
                return [*flat.values()]
        other = Tree(out, "out")
        other.check_stable("out")
        if is_aligned(self._top, other._top):
            return other.leaves
        found: list[Any] = []
        match(self._top, other._top, "", nested_like(other._top, iter(other.leaves)), found)
        return found

    def _path_to(self, level: Level) -> str:
        return text.path(path_to(self._top, level) or "")


class _Failure(Exception):
    """A level could not be copied, for the reason that is the cause."""

    def __init__(self, level: Level) -> None:
        self.level = level


def _take(value: Any, leaves: list[Any], nodes: Any, fields: dict[type, Any]) -> Part:
    """Append the leaves, and the levels of nodes; return the structure.

    `fields` has the `simple_fields` of each class so far.
    """
    # Another thread may change a container at any time: it is copied before it is read.
    kind: Any = type(value)
    if kind is dict:
        container = value.copy()
        children: Iterable[Any] = container.values()
    elif kind is list:
        container = children = value.copy()
    elif kind is tuple:
        container = children = value
    else:
        other = _take_other(value, leaves, fields)
        if not isinstance(other, Node):
            return other
        kind, container, children = Node, other, other.children
    if kind is not Node and _PLAIN.issuperset(map(type, children)):
        leaves.extend(children)
        flat: Part = container
        return flat
    level = Level(kind, container, [])
    if kind is Node:
        nodes.append(level)
    for child in children:
        if type(child) is np.ndarray:
            leaves.append(child)
            level.parts.append(None)
        else:
            level.parts.append(_take(child, leaves, nodes, fields))
    return level


def _take_other(value: Any, leaves: list[Any], fields: dict[type, Any]) -> Node | Record | None:
    """Do what `_take` does for a leaf and for a flat dataclass; return the node of any other container."""
    kind = type(value)
    if kind is np.ndarray or value is None:
        leaves.append(value)
        return None
    if kind not in fields:
        fields[kind] = simple_fields(value)
    if fields[kind] is None:
        container = node(value)
        if container is None:
            leaves.append(value)
        return container
    names, everything = fields[kind]
    attributes = vars(value).copy()
    if attributes.keys() == everything:
        children = [attributes[name] for name in names]
        if _PLAIN.issuperset(map(type, children)):
            leaves.extend(children)
            return Record(value, names, attributes)
    return node_of_fields(value, names, everything)


def _put(part: Any, results: Iterator[Any], exchange: Exchange | None) -> Any:
    """Return a tree of a structure with the next results as its leaves."""
    kind = type(part)
    if kind is dict:
        return dict(zip(part, results))  # noqa: B905 the keys are as many as it takes
    if part is None:
        return next(results)
    if kind is Record:
        return instance(type(part.value), part.attributes, part.names, islice(results, len(part.names)))
    if kind is not Level:
        return kind(islice(results, len(part)))
    children = [_put(each, results, exchange) for each in part.parts]
    if part.kind is not Node:
        return dict(zip(part.container, children, strict=True)) if part.kind is dict else part.kind(children)
    try:
        return part.container.renew(children, exchange)
    except CannotCopy as error:
        raise _Failure(part) from error
