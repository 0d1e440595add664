"""What errors call an entry and its target."""

from typing import Protocol


class Labels(Protocol):
    """The labels of the entry at an index, and of the target that it has."""

    def entry(self, index: int, /) -> str:
        """Return what the entry is called."""
        ...

    def target(self, index: int, /) -> str:
        """Return what its target is called."""
        ...


class _ListLabels:
    entry = staticmethod("t_list[{}]".format)
    target = staticmethod("out[{}]".format)


class _ArrayLabels:
    def entry(self, _: int, /) -> str:
        return "t"

    def target(self, _: int, /) -> str:
        return "out"


LIST: Labels = _ListLabels()
ARRAY: Labels = _ArrayLabels()
