"""Classes whose instances are what they seem, so that a copy needs no care and no look: most of them.

A namedtuple as it was generated, and a dataclass that only holds its fields, have no code of their own that
could keep a child anywhere else, or give another one.
"""

import dataclasses
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from functools import partial
from inspect import getattr_static
from typing import Any
from weakref import WeakKeyDictionary

STANDARD = (dict, list, tuple, OrderedDict, defaultdict, deque)

_CODE = ("__getattr__", "__del__", "__iter__", "__getitem__", "__slots__", "get", "values", "keys")
_known: WeakKeyDictionary[type, bool] = WeakKeyDictionary()  # a cache keeps no class alive


def builder(value: Any, names: list[Any]) -> Callable[[list[Any]], Any] | None:
    """Return what makes the like of a container of new children; None where that takes care."""
    cls = type(value)
    if cls is OrderedDict:
        return None if vars(value) else lambda children: OrderedDict(zip(names, children, strict=True))
    if cls is defaultdict:
        factory = value.default_factory
        return lambda children: defaultdict(factory, zip(names, children, strict=True))
    if cls is deque:
        return lambda children: deque(children, value.maxlen)
    if cls in STANDARD or not _is_simple(cls):
        return None
    if issubclass(cls, tuple):
        return partial(tuple.__new__, cls)
    return of_fields(cls, vars(value).copy(), names, fields(cls))


def of_fields(
    cls: Any, attributes: dict[str, Any], names: list[str], everything: Any
) -> Callable[[list[Any]], Any] | None:
    """Return `builder` for an instance of a simple dataclass, of which these are the attributes."""
    # There may be another attribute, or a field that is not set.
    return partial(instance, cls, attributes, names) if attributes.keys() == everything else None


def instance(cls: Any, attributes: dict[str, Any], names: list[str], children: Iterable[Any]) -> Any:
    """Return an instance of a simple dataclass with other children."""
    new = object.__new__(cls)
    own = vars(new)
    own |= attributes
    own.update(zip(names, children, strict=True))
    return new


def fields(cls: Any) -> Any:
    """Return the names of all fields of a simple dataclass; None for any other class."""
    return getattr(cls, "__dataclass_fields__", {}).keys() if _is_simple(cls) else None


def _is_simple(cls: Any) -> bool:
    known = _known.get(cls)
    if known is None:
        known = _known[cls] = _has_no_code(cls)
    return known


def _has_no_code(cls: Any) -> bool:
    if cls.__getattribute__ is not object.__getattribute__:
        return False
    if issubclass(cls, tuple):
        own = [name for base in cls.__mro__ if base not in (tuple, object) for name in vars(base)]
        return (
            cls.__bases__ == (tuple,) and not set(own) & (set(_CODE) - {"__slots__"}) and "__slots__" in own
        )
    if not dataclasses.is_dataclass(cls) or any(hasattr(cls, name) for name in _CODE):
        return False
    fields = (getattr_static(cls, name, None) for name in cls.__dataclass_fields__)
    return not any(hasattr(field, "__get__") for field in fields)
