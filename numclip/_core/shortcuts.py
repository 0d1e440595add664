"""Functions of machine code that a backend offers for the usual list, once it has compiled them.

They take the arguments of the public functions as they come, and return None for all that is not usual.
"""

from collections.abc import Callable
from typing import Any


def unusual(*arguments: Any) -> None:
    """Take the place of a function that there is not: nothing is usual then."""


class Shortcuts:
    """`clip` for `numclip.clip_by_global_norm`, `norm` for `numclip.global_norm`."""

    __slots__ = ("clip", "norm")

    def __init__(self) -> None:
        self.clip: Callable[..., Any] = unusual
        self.norm: Callable[..., Any] = unusual


shortcuts = Shortcuts()
