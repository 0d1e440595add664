"""Where the clipped values go: nowhere, to new arrays, or to arrays of the caller."""

from enum import Enum
from typing import Any

from numclip._arrays import checks


class Output(Enum):
    """What becomes of the clipped values where the caller gives no arrays for them."""

    NONE = "only the norm is wanted"
    NEW = "new arrays"


def resolve(t_list: Any, output: Any) -> tuple[list[Any], list[Any] | Output]:
    """Return the entries as a new list, and their targets: that list in place, another one, or an Output."""
    sources = checks.sequence(t_list, "t_list")
    if isinstance(output, Output):
        return sources, output
    if output is t_list:
        return sources, sources
    targets = checks.sequence(output, "out")
    if len(targets) != len(sources):
        raise ValueError(f"out has {len(targets)} entries, t_list has {len(sources)}")
    return sources, targets
