"""What messages say of keys and paths, in few characters whatever these are."""

import reprlib
from typing import Any

from numclip._arrays import errors

_PATH, _ITEM = 160, 60  # characters

_keys = reprlib.Repr()
_keys.maxstring = _keys.maxother = _keys.maxlong = _ITEM
_keys.maxlevel = 2


def item(key: Any) -> str:
    """Return a key as a subscript."""
    return f"[{errors.shortened(_keys.repr(key), _ITEM)}]"


def path(steps: str) -> str:
    """Return a path, without its middle if it is long."""
    return errors.shortened(steps, _PATH)


def listed(steps: list[str]) -> str:
    """Return the first steps into a container, one after the other."""
    return errors.shortened(" ".join(steps[:20]) + " ..." * (len(steps) > 20)) or "no entries"
