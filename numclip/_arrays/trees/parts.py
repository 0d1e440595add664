"""The structure of a tree: what is left when its leaves are taken out, and how each of them is reached."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from numclip._arrays.errors import class_of
from numclip._arrays.trees import text
from numclip._arrays.trees.nodes import FIELD, Node


class Level:
    """A container that is not flat: its class, itself or a copy, and the structure of each child.

    `kind` is dict, list or tuple where the container is just that; for any other container it is Node, and
    the container is its node.
    """

    __slots__ = ("container", "kind", "parts")

    def __init__(self, kind: Any, container: Any, parts: "list[Part]") -> None:
        self.kind, self.container, self.parts = kind, container, parts


class Record:
    """An instance of a simple dataclass that is flat: itself, the names of its children, its attributes."""

    __slots__ = ("attributes", "names", "value")

    def __init__(self, value: Any, names: list[str], attributes: dict[str, Any]) -> None:
        self.value, self.names, self.attributes = value, names, attributes

    def __len__(self) -> int:
        return len(self.names)


# The structure of a leaf is None. That of a flat container, a plain dict, list or tuple or a simple dataclass
# of plain leaves alone, is a copy of it: most containers are flat, and reading and rebuilding one takes a few
# calls of C.
Part = Level | Record | dict[Any, Any] | list[Any] | tuple[Any, ...] | None


def _parts(part: Part) -> list[Part]:
    """Return the structure of each child."""
    return part.parts if isinstance(part, Level) else [None] * len(part or ())


def _container(part: Part) -> Any:
    """Return the container that a structure was taken from or a copy of it, or its node."""
    if isinstance(part, Record):
        return Node(part.value, FIELD, part.names, [part.attributes[name] for name in part.names])
    return part.container if isinstance(part, Level) else part


def value_of(part: Part) -> Any:
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


def path_of(part: Part, index: int) -> str:
    """Return the path to a leaf."""
    for position, child in enumerate(_parts(part)):
        count = _count(child)
        if index < count:
            return _step(part, position) + path_of(child, index)
        index -= count
    return ""


def path_to(part: Part, level: Level) -> str | None:
    """Return the path to a level, None where it is somewhere else."""
    if part is level:
        return ""
    for position, child in enumerate(part.parts if isinstance(part, Level) else ()):
        path = path_to(child, level)
        if path is not None:
            return _step(part, position) + path
    return None


def is_aligned(part: Part, other: Part) -> bool:
    """Tell whether two structures have the same steps in the same order."""
    if part is None or other is None:
        return part is other
    if _keys(part) != _keys(other):
        return False
    if isinstance(part, Level) or isinstance(other, Level):
        return all(map(is_aligned, _parts(part), _parts(other)))
    return True


def nested_like(part: Part, leaves: Iterator[Any]) -> Any:
    """Return the leaves as lists nested like a structure."""
    return next(leaves) if part is None else [nested_like(child, leaves) for child in _parts(part)]


def match(part: Part, other: Part, path: str, nested: Any, targets: list[Any]) -> None:
    """Append the target for each leaf, in whatever order the other structure has them."""
    where = text.path(path)
    if part is None:
        # A container in place of an array is refused later, as any target that is no array.
        targets.append(nested if other is None else value_of(other))
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
        match(child, like, path + step, below, targets)
