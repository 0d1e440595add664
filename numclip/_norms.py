"""The norms of a run as a table, and as a CSV file."""

import csv
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numclip._arrays.errors import shortened

AnyPath = str | PathLike[str]
COLUMNS = ["step", "norm", "clip_norm"]


class Norms(NamedTuple):
    """A row for each step: its number, its norm, its threshold, and the norm of each array."""

    steps: NDArray[np.int64]
    norms: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    tensor_norms: NDArray[np.float64]
    names: list[str]

    @property
    def clipped(self) -> NDArray[np.bool]:
        """Return for each step whether its norm was above its threshold."""
        return self.norms > self.thresholds

    def rows(self) -> Iterator[list[Any]]:
        """Yield the rows of the file."""
        columns = self.steps, self.norms, self.thresholds, *self.tensor_norms.T
        return map(list, zip(*(column.tolist() for column in columns), strict=True))


def table(first: int, rows: Iterable[Any], names: list[str]) -> Norms:
    """Return the table of rows of a norm, a threshold, and the norms of arrays, whose first step is given."""
    values = np.array([*rows], np.float64).reshape(-1, 2 + len(names))
    steps = np.arange(first, first + len(values))
    return Norms(steps, values[:, 0], values[:, 1], values[:, 2:], names)


def write(path: AnyPath, names: list[str], rows: Iterable[list[Any]]) -> None:
    """Write a file of these rows; a norm reads back as the same float64."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[*COLUMNS, *names], *rows])


def append(path: AnyPath, row: list[Any]) -> None:
    """Append a row, and close the file: it is complete however the program ends."""
    with Path(path).open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(row)


def read(path: AnyPath) -> Norms:
    """Read a file; raise a ValueError of one line if it is not valid."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV file of norms: {shortened(str(error))}") from error
    if header[:3] != COLUMNS:
        raise ValueError(f"{path} is no CSV file of norms: it begins with {shortened(repr(header[:3]))}")
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise ValueError(f"{path} has {len(line)} cells in row {number}, expected {len(header)}")
    try:
        values = np.array([line[1:] for line in lines], np.float64).reshape(-1, len(header) - 1)
        steps = np.array([line[0] for line in lines], np.int64)
    except ValueError as error:
        raise ValueError(f"{path} has a cell that is no number: {shortened(str(error))}") from error
    return Norms(steps, values[:, 0], values[:, 1], values[:, 2:], header[3:])
