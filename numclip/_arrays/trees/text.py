"""What messages say of keys, paths and classes, in few characters whatever these are."""

import reprlib
from typing import Any

_PATH, _ITEM, _LIST = 160, 60, 100  # characters

_keys = reprlib.Repr()
_keys.maxstring = _keys.maxother = _keys.maxlong = _ITEM
_keys.maxlevel = 2


def item(key: Any) -> str:
    """Return a key as a subscript."""
    return f"[{shortened(_keys.repr(key), _ITEM)}]"


def shortened(text: str, length: int = _PATH) -> str:
    """Return a text without its middle if it is longer than this."""
    half = length // 2 - 2
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"


def listed(steps: list[str]) -> str:
    """Return the first steps into a container, one after the other."""
    return shortened(" ".join(steps[:20]) + " ..." * (len(steps) > 20), _LIST) or "no entries"


def class_of(value: Any) -> str:
    """Return the class of an object."""
    return shortened(str(type(value)), _LIST)
