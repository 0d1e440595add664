"""Reading a new container in every way in which the original can be read.

A class may keep its children at several places, and give them by methods that nobody knows here. So what came
out is trusted only as far as it was read.
"""

from itertools import islice
from typing import Any

from numclip._arrays.trees import leaves as leaf
from numclip._arrays.trees.copies import CannotCopy, Exchange, parts


def verify(level: Any, new: Any, children: list[Any], exchange: Exchange) -> None:
    """Raise unless a new container gives the new children wherever the original gives the old ones."""
    value, node = level.value, exchange.node
    if new is value or type(new) is not type(value):
        raise CannotCopy("its class gives another object")
    again = node(new)
    if again is None or again.keys() != level.keys() or not _same(again.children, children, node):
        raise CannotCopy("the copy does not give back what it was given")
    if any(map(exchange.is_replaced, parts(new))):
        raise CannotCopy("the copy keeps what it should not")
    for name, old, child in zip(level.names, level.children, children, strict=True):
        for way, read in _OF_ONE.items():
            found = _result(read, value, name)
            is_read = leaf.has_identity(found) and _same([found], [old], node)
            if is_read and not _same([_result(read, new, name)], [child], node):
                raise CannotCopy(f"the copy gives something else by {way}")
    most = 2 * len(children) + 16  # what has a subscript for every number can be iterated over without end
    for way, read in _OF_ALL.items():
        before, after = _result(read, value, most), _result(read, new, most) or []
        is_read = _same(before, level.children, node)
        if (is_read and not _same(after, children, node)) or any(map(exchange.is_replaced, after)):
            raise CannotCopy(f"the copy gives something else by {way}")


def _same(found: Any, expected: list[Any], node: Any) -> bool:
    """Tell whether these are the same objects, or containers of the same objects made anew."""
    if not isinstance(found, list) or len(found) != len(expected):
        return False
    for one, other in zip(found, expected, strict=True):
        if one is other:
            continue
        level, like = node(one), node(other)
        if level is None or like is None or not _same(level.children, like.children, node):
            return False
    return True


def _iterated(container: Any, most: int) -> Any:
    iterator = iter(container)
    return None if iterator is container else list(islice(iterator, most))


_OF_ONE: dict[str, Any] = {
    "a subscript": lambda container, name: container[name],
    "get": lambda container, name: type(container).get(container, name),
    "an attribute": lambda container, name: getattr(container, name.removeprefix(".")),
}
_OF_ALL: dict[str, Any] = {
    "iteration": _iterated,
    "values": lambda container, most: list(islice(type(container).values(container), most)),
}


def _result(read: Any, *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except Exception:  # this container cannot be read in this way
        return None
