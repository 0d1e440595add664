"""The names of an entry and its target in errors."""

from typing import Protocol


class Labels(Protocol):
    """The names of the entry at an index, and of its target."""

    def entry(self, index: int, /) -> str:
        """Return the name of the entry."""
        ...

    def target(self, index: int, /) -> str:
        """Return the name of its target."""
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


def places(labels: Labels, count: int) -> list[str]:
    """Return where each entry stands: its label without the name of the list or tree."""
    return [labels.entry(i).removeprefix("t_list").removeprefix("tree") for i in range(count)]
