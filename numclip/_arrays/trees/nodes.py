"""Containers of every class but plain dicts, lists and tuples, one level at a time."""

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from numclip._arrays import memory
from numclip._arrays.trees import copies, leaves, readback, registries, simple, text

ITEM, FIELD, STEP = "an item", "a field", "a step that is written out"


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """A container taken apart: its children, and how each is reached.

    `build` makes the like of it of other children: what the program has registered for the class, or what
    needs no look at the outcome because the class is simple.
    """

    value: Any
    form: str
    names: list[Any]
    children: list[Any]
    build: Callable[[list[Any]], Any] | None = None
    is_simple: bool = False

    def step(self, position: int) -> str:
        """Return how the child at a position is reached."""
        name = self.names[position]
        return text.item(name) if self.form is ITEM else f".{name}" if self.form is FIELD else name

    @property
    def has_fields(self) -> bool:
        """Tell whether the children are fields."""
        return self.form is FIELD

    def keys(self) -> list[Any]:
        """Return what tells the children apart."""
        return [f".{name}" for name in self.names] if self.form is FIELD else self.names

    def renew(self, children: list[Any], exchange: copies.Exchange | None) -> Any:
        """Return a container of the same class with other children, after a look at what came out.

        `exchange` may be None for a simple one.
        """
        if exchange is not None:
            exchange.note(self.children, children)
        if self.build is not None and self.is_simple:
            return self.build(children)
        assert exchange is not None
        made = exchange.replacement(self.value)
        before = None if made is None else node(made)
        if before is not None and list(map(id, before.children)) == list(map(id, children)):
            return made  # for a child that refers to it
        try:
            new = exchange.copied(self, children) if self.build is None else self.build(children)
            if type(self.value) not in simple.STANDARD:
                readback.verify(self, new, children, exchange)
        except (MemoryError, copies.CannotCopy):
            raise
        except Exception as error:  # its class runs code of others, which may raise anything
            raise copies.CannotCopy(f"{type(error).__name__} was raised") from error
        return new

    def is_stable(self) -> bool:
        """Tell whether the container gives the same arrays each time."""
        again = None if self.is_simple or type(self.value) in simple.STANDARD else node(self.value)
        if again is None:
            return True
        if len(again.children) != len(self.children):
            return False
        return all(map(_are_of_the_same_memory, self.children, again.children))


def _are_of_the_same_memory(child: Any, other: Any) -> bool:
    if child is other or not leaves.has_protocol(child):
        return True
    if isinstance(child, np.ndarray) and isinstance(other, np.ndarray):
        return child.shape == other.shape and memory.same_elements(child, other)
    return bool(_address(child) == _address(other))


def _address(array: Any) -> Any:
    """Return where an array of another library lies, or else which object it is."""
    if hasattr(type(array), "data_ptr"):
        return array.data_ptr()
    if hasattr(type(array), "__cuda_array_interface__"):
        return array.__cuda_array_interface__["data"]
    return id(array)


def node(value: Any) -> Node | None:
    """Take a container apart; return None for a leaf.

    All methods are those of the class: an attribute dict may have keys that are called like them.
    """
    if value is None or leaves.is_surely(value):
        return None
    cls = type(value)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        children = list(cls.__iter__(value))
        if len(children) == len(cls._fields):
            return _node(value, FIELD, list(cls._fields), children)
    if cls not in simple.STANDARD:
        registered = registries.take_apart(value)
        if registered is not None:
            return Node(value, STEP, *registered)
    if issubclass(cls, dict):
        items: Any = list(cls.items(value))
        return _node(value, ITEM, [key for key, _ in items], [child for _, child in items])
    if issubclass(cls, list | tuple | deque):
        return _sequence(value)
    fields = _fields(cls)
    if fields is not None:
        names = [name for name in fields if hasattr(value, name)]  # init=False may leave one unset
        return _node(value, FIELD, names, [getattr(value, name) for name in names])
    if issubclass(cls, Mapping) or (_is_like_a_mapping(cls) and not leaves.has_protocol(value)):
        keys = list(cls.keys(value))
        return Node(value, ITEM, keys, [value[key] for key in keys])
    if issubclass(cls, Sequence) and not issubclass(cls, range) and not leaves.has_protocol(value):
        return _sequence(value)
    return None


def _node(value: Any, form: str, names: list[Any], children: list[Any]) -> Node:
    build = simple.builder(value, names)
    return Node(value, form, names, children, build, build is not None)


def simple_fields(value: Any) -> tuple[list[str], Any] | None:
    """Return the names of the children of all instances of a simple dataclass, and those of all fields.

    None for an instance of any other class.
    """
    cls = type(value)
    everything = simple.fields(cls)
    if not everything or leaves.is_surely(value) or registries.take_apart(value) is not None:
        return None
    return _fields(cls) or [], everything


def node_of_fields(value: Any, names: list[str], everything: Any) -> Node | None:
    """Take an instance of a simple dataclass apart."""
    attributes = vars(value).copy()
    build = simple.of_fields(type(value), attributes, names, everything)
    if build is None:
        return node(value)
    return Node(value, FIELD, names, [attributes[name] for name in names], build, True)


def _sequence(value: Any) -> Node:
    children = list(type(value).__iter__(value))
    return _node(value, ITEM, list(range(len(children))), children)


def _fields(cls: Any) -> list[str] | None:
    """Return the names of the fields of a dataclass or attrs class that may hold arrays, not the static ones.

    Equinox marks static fields by ``static=True``, Flax, Chex and optree by ``pytree_node=False``.
    """
    fields = getattr(cls, "__dataclass_fields__", None)
    if isinstance(fields, dict):
        fields = dataclasses.fields(cls)
    else:
        fields = getattr(cls, "__attrs_attrs__", None)
        if not isinstance(fields, tuple):
            return None
    return [field.name for field in fields if not _is_static(field.metadata)]


def _is_static(metadata: Mapping[Any, Any]) -> bool:
    return bool(metadata.get("static", False)) or not metadata.get("pytree_node", True)


def _is_like_a_mapping(cls: Any) -> bool:
    """Tell whether a class has the methods of a mapping without being one, as ConfigDict has."""
    return all(hasattr(cls, name) for name in ("keys", "values", "items", "__getitem__", "__len__"))
