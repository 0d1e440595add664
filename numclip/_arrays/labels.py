"""What errors call an entry and its target."""

from collections.abc import Callable
from typing import NamedTuple


class Labels(NamedTuple):
    """The labels of the entry at an index, and of the target that it has."""

    entry: Callable[[int], str]
    target: Callable[[int], str]


LIST = Labels("t_list[{}]".format, "out[{}]".format)
ARRAY = Labels(lambda _: "t", lambda _: "out")
