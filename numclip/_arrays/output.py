"""Where the clipped values go: nowhere, to new arrays, or to arrays of the caller."""

from enum import Enum
from typing import Any

from numclip._arrays import checks


class Output(Enum):
    """The use of the clipped values if the caller gives no arrays for them."""

    NONE = "only the norm is wanted"
    NEW = "new arrays"


NONE, NEW = Output


def given(output: Any, sources: list[Any]) -> list[Any]:
    """Return the targets that the caller gives for these entries, as a new list."""
    targets = checks.sequence(output, "out")
    if len(targets) != len(sources):
        raise ValueError(f"out has {len(targets)} entries, t_list has {len(sources)}")
    return targets


def resolve(t_list: Any, output: Any) -> tuple[list[Any], list[Any] | Output]:
    """Return the entries as a new list, and their targets: that list in place, another one, or an Output."""
    sources = t_list.copy() if type(t_list) is list else checks.sequence(t_list, "t_list")
    if output is t_list:
        return sources, sources
    return sources, output if output is NEW or output is NONE else given(output, sources)
