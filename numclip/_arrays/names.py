"""What the errors call an entry and its target."""

from collections.abc import Callable
from typing import NamedTuple


class Names(NamedTuple):
    """The names of the entry at an index, and of the target that it has."""

    entry: Callable[[int], str]
    target: Callable[[int], str]


LIST = Names("t_list[{}]".format, "out[{}]".format)
ARRAY = Names(lambda _: "t", lambda _: "out")
