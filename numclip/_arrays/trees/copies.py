"""Copies of containers with other children, made without a call of their class.

A constructor, `__setitem__` or `__copy__` may do anything: share state, keep arrays at two places, write to
the original. So a copy is made by the built-in base of the class. Its state, the storage of that base and the
attributes, is that of the original, with the new children in place of the old ones wherever these are.
"""

import gc
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping
from functools import cached_property
from inspect import getattr_static
from types import MappingProxyType
from typing import Any

import numpy as np

from numclip._arrays.trees import leaves as leaf

_MISSING = object()
_BASES = (OrderedDict, defaultdict, dict, list, tuple, deque)


class CannotCopy(Exception):
    """A container cannot be copied with other children; the message says why."""


class Exchange:
    """What takes the place of what: results of leaves, new containers of old ones.

    `node` takes a container apart, see `numclip._arrays.trees.nodes`, which imports this module.
    """

    def __init__(self, leaves: list[Any], results: list[Any], node: Any) -> None:
        self.node = node
        # The old ones are kept alive: their addresses name them.
        self._old: list[Any] = []
        self._new_of: dict[int, Any] = {}
        self._busy: set[int] = set()
        self._arrays = [value for value in leaves if isinstance(value, np.ndarray)]
        self.note(leaves, results)

    def note(self, old: list[Any], new: list[Any]) -> None:
        """Note that new objects take the place of old ones; numbers and None may be anybody's."""
        for before, after in zip(old, new, strict=True):
            if before is not after and leaf.has_identity(before):
                self._old.append(before)
                self._new_of[id(before)] = after

    def replacement(self, value: Any) -> Any:
        """Return what takes the place of a value, None if nothing does."""
        return self._new_of.get(id(value))

    def is_replaced(self, value: Any) -> bool:
        """Tell whether something else takes the place of a value."""
        return id(value) in self._new_of

    def copied(self, level: Any, children: list[Any]) -> Any:
        """Return a copy of a container with new children."""
        value = level.value
        if hasattr(type(value), "__del__"):
            raise CannotCopy("a copy would release what the original holds")
        if id(value) in self._busy:
            raise CannotCopy("it is part of what it contains")
        self._busy.add(id(value))
        try:
            return _copy(level, children, self) if _has_state(value) else _made(level, children, self)
        finally:
            self._busy.discard(id(value))

    def _has_array(self, value: Any) -> bool:
        level = self.node(value)
        return leaf.has_protocol(value) if level is None else any(map(self._has_array, level.children))

    def __call__(self, value: Any) -> Any:
        """Return what takes the place of a part of the state of a container: mostly the part itself."""
        if self.is_replaced(value):
            return self._new_of[id(value)]
        if not leaf.has_identity(value):
            return value
        if isinstance(value, np.ndarray):
            if any(np.may_share_memory(value, array) for array in self._arrays):
                raise CannotCopy("it holds a view of one of its arrays")
            return value
        level = self.node(value)
        if level is None:
            if any(map(self.is_replaced, parts(value))):
                raise CannotCopy(f"it holds its arrays in a {type(value).__name__} too")
            return value
        if id(value) in self._busy:
            raise CannotCopy("it refers to what contains it")
        self._busy.add(id(value))
        children = list(map(self, level.children))
        self._busy.discard(id(value))
        kept = [old for new, old in zip(children, level.children, strict=True) if new is old]
        if len(kept) == len(children):
            return value
        if any(map(self._has_array, kept)):  # one that is shadowed in a ChainMap
            raise CannotCopy("it holds other arrays beside those that it gives")
        return level.renew(children, self)


def parts(value: Any) -> list[Any]:
    """Return what an object refers to, and what its attributes are."""
    direct = gc.get_referents(value)
    return direct + [part for each in direct if type(each) is dict for part in each.values()]


def _attributes(value: Any) -> Any:
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None


def _slots(value: Any) -> dict[str, Any]:
    state = object.__getstate__(value)
    return state[1] if type(state) is tuple else {}


def _has_state(value: Any) -> bool:
    """Tell whether all that an object is can be seen: classes of C may keep it to themselves."""
    return issubclass(type(value), _BASES) or _attributes(value) is not None or bool(_slots(value))


def _made(level: Any, children: list[Any], exchange: Exchange) -> Any:
    """Return a container made by its class, where there is no other way."""
    cls = type(level.value)
    if cls is MappingProxyType:
        return cls(exchange.node(level.value.copy()).renew(children, exchange))
    return cls(dict(zip(level.names, children, strict=True)) if issubclass(cls, Mapping) else children)


def _copy(level: Any, children: list[Any], exchange: Exchange) -> Any:
    """Return a container made by its built-in base, with the state of the original."""
    value, old = level.value, level.children
    place_of = {name: position for position, name in enumerate(level.names)}

    def renewed(position: int | None, part: Any) -> Any:
        is_child = position is not None and position < len(old) and old[position] is part
        return children[position] if is_child else exchange(part)  # type: ignore[index]

    cls = type(value)
    base: Any = next((each for each in _BASES if issubclass(cls, each)), object)
    if base is tuple:
        new = tuple.__new__(cls, map(renewed, range(len(old)), tuple.__iter__(value)))
    else:
        new = base.__new__(cls)
    exchange.note([value], [new])
    if base is defaultdict:
        base.__init__(new, exchange(vars(base)["default_factory"].__get__(value)))
    if issubclass(base, dict):
        for key, part in base.items(value):
            base.__setitem__(new, key, renewed(place_of.get(key), part))
    elif base is list:
        list.extend(new, [renewed(i, part) for i, part in enumerate(list.__iter__(value))])
    elif base is deque:
        stored = [renewed(i, part) for i, part in enumerate(deque.__iter__(value))]
        base.__init__(new, stored, base.maxlen.__get__(value))
    _copy_attributes(value, new, exchange, lambda name, part: renewed(place_of.get(name), part))
    if level.has_fields and base is object:
        for name, child in zip(level.names, children, strict=True):
            if getattr(new, name, _MISSING) is not child:
                object.__setattr__(new, name, child)
    return new


def _copy_attributes(value: Any, new: Any, exchange: Exchange, renewed: Any) -> None:
    attributes = _attributes(value)
    if attributes is value:
        object.__setattr__(new, "__dict__", new)
    elif type(attributes) is dict:
        others = _attributes(new)
        exchange.note([attributes], [others])
        for name, part in attributes.items():
            # What was computed from the old children is computed anew.
            if not isinstance(getattr_static(type(value), name, None), cached_property):
                others[name] = renewed(name, part)
    elif attributes is not None:
        object.__setattr__(new, "__dict__", exchange(attributes))
    for name, part in _slots(value).items():
        object.__setattr__(new, name, renewed(name, part))
