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

# Leaves that need no look: nearly all.
_PLAIN = frozenset({np.ndarray, type(None)})


class Level:
    """A container that is not flat: its class, itself or a copy, and the structure of each child.

    `kind` is dict, list or tuple where the container is just that; for any other container it is Node, and
    the container is its node.
    """

    __slots__ = ("container", "kind", "parts")

    def __init__(self, kind: Any, container: Any, parts: "list[Part]") -> None:
        self.kind, self.container, self.parts = kind, container, parts


# The structure of a leaf is None. That of a flat container, a plain dict, list or tuple of plain leaves
# alone, is a copy of it: most containers are flat, and reading and rebuilding one takes a few calls of C.
Part = Level | dict[Any, Any] | list[Any] | tuple[Any, ...] | None


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
                path, received = text.path(_path(self._top, index)), class_of(value)
                raise TypeError(f"{name}{path} is no array and no container. Received {received}")

    def entry(self, index: int, /) -> str:
        """Return the label of a leaf."""
        return f"tree{text.path(_path(self._top, index))}"

    def target(self, index: int, /) -> str:
        """Return the label of the target of a leaf."""
        return f"out{text.path(_path(self._top, index))}"

    def check_stable(self, name: str) -> None:
        """Raise for a container that makes its arrays anew when it is read."""
        for level in self.nodes:
            if not level.container.is_stable():
                raise TypeError(
                    f"{name}{self._path_to(level)} makes its arrays anew at each access, and what is written"
                    f" to them is lost. Received {class_of(_value(level))}"
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
            path, received = self._path_to(failure.level), class_of(_value(failure.level))
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
        if _is_aligned(self._top, other._top):
            return other.leaves
        found: list[Any] = []
        _match(self._top, other._top, "", _nested(other._top, iter(other.leaves)), found)
        return found

    def _path_to(self, level: Level) -> str:
        return text.path(_path_to(self._top, level) or "")


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
        container = None
        if kind is not np.ndarray and value is not None:
            if kind not in fields:
                fields[kind] = simple_fields(value)
            known = fields[kind]
            container = node(value) if known is None else node_of_fields(value, *known)
        if container is None:
            leaves.append(value)
            return None
        kind, children = Node, container.children
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


def _put(part: Any, results: Iterator[Any], exchange: Exchange | None) -> Any:
    """Return a tree of a structure with the next results as its leaves."""
    kind = type(part)
    if kind is dict:
        return dict(zip(part, results))  # noqa: B905 the keys are as many as it takes
    if part is None:
        return next(results)
    if kind is not Level:
        return kind(islice(results, len(part)))
    children = [_put(each, results, exchange) for each in part.parts]
    if part.kind is not Node:
        return dict(zip(part.container, children, strict=True)) if part.kind is dict else part.kind(children)
    try:
        return part.container.renew(children, exchange)
    except CannotCopy as error:
        raise _Failure(part) from error


def _parts(part: Part) -> list[Part]:
    """Return the structure of each child."""
    return part.parts if isinstance(part, Level) else [None] * len(part or ())


def _container(part: Part) -> Any:
    """Return the container that a structure was taken from or a copy of it, or its node."""
    return part.container if isinstance(part, Level) else part


def _value(part: Part) -> Any:
    """Return the container that a structure was taken from, or a copy of it."""
    container = _container(part)
    return container.value if isinstance(container, Node) else container


def _keys(part: Part) -> list[Any]:
    """Return what tells the children apart."""
    container = _container(part)
    if isinstance(container, Node):
        return container.keys()
    return list(container) if isinstance(container, dict) else list(range(len(container)))


def _step(part: Part, position: int) -> str:
    """Return how the child at a position is reached."""
    container = _container(part)
    if isinstance(container, Node):
        return container.step(position)
    if isinstance(container, dict):
        return text.item(next(islice(container, position, None)))
    return f"[{position}]"


def _steps(part: Part) -> list[str]:
    return [_step(part, position) for position in range(len(_parts(part)))]


def _count(part: Part) -> int:
    """Return the number of leaves."""
    if part is None:
        return 1
    return sum(map(_count, part.parts)) if isinstance(part, Level) else len(part)


def _path(part: Part, index: int) -> str:
    """Return the path to a leaf."""
    for position, child in enumerate(_parts(part)):
        count = _count(child)
        if index < count:
            return _step(part, position) + _path(child, index)
        index -= count
    return ""


def _path_to(part: Part, level: Level) -> str | None:
    """Return the path to a level, None where it is somewhere else."""
    if part is level:
        return ""
    for position, child in enumerate(part.parts if isinstance(part, Level) else ()):
        path = _path_to(child, level)
        if path is not None:
            return _step(part, position) + path
    return None


def _is_aligned(part: Part, other: Part) -> bool:
    """Tell whether two structures have the same steps in the same order."""
    if part is None or other is None:
        return part is other
    if _keys(part) != _keys(other):
        return False
    if isinstance(part, Level) or isinstance(other, Level):
        return all(map(_is_aligned, _parts(part), _parts(other)))
    return True


def _nested(part: Part, leaves: Iterator[Any]) -> Any:
    """Return the leaves as lists nested like a structure."""
    return next(leaves) if part is None else [_nested(child, leaves) for child in _parts(part)]


def _match(part: Part, other: Part, path: str, nested: Any, targets: list[Any]) -> None:
    """Append the target for each leaf, in whatever order the other structure has them."""
    where = text.path(path)
    if part is None:
        # A container in place of an array is refused later, as any target that is no array.
        targets.append(nested if other is None else _value(other))
        return
    if other is None:
        received = class_of(nested)
        raise TypeError(f"out{where} should be a container like tree{where}. Received {received}")
    steps, expected = _steps(other), _steps(part)
    if sorted(steps) != sorted(expected):
        raise ValueError(f"out{where} has {text.listed(steps)}, tree{where} has {text.listed(expected)}")
    others = {step: child for step, *child in zip(steps, _parts(other), nested, strict=True)}
    for step, child in zip(expected, _parts(part), strict=True):
        like, below = others[step]
        _match(child, like, path + step, below, targets)
