"""The table of a list: built once, and reused for calls on the same arrays."""

from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numclip._core import contract
from numclip._core.dtypes import FLOAT64, ITEM_SIZE
from numclip._cuda.table import (
    ARRAY_SUMS,
    CHUNK_SUMS,
    COLUMNS,
    DIRECTORY,
    DIRECTORY_SHIFT,
    FIRST_CHUNK,
    FIRST_RUN,
    HEADER,
    LARGE,
    LARGE_COUNT,
    LENGTH,
    NORMS,
    REALS,
    RUN_SUMS,
    RUN_TICKETS,
    SOURCE,
    SUM,
    TARGET,
    TYPECODE,
)

Row = tuple[int, int, int, int, int]  # source, target, length in real numbers, typecode, reals of an element
# The largest number of entries in the directory.
LONGEST_DIRECTORY = 4096
# The parts that are uploaded after the columns.
UPLOADED = DIRECTORY, RUN_TICKETS, ARRAY_SUMS


class Gap(NamedTuple):
    """An array that is not contiguous or not aligned; a dense buffer replaces it."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    item: int  # bytes that are copied at a time
    in_place: bool = False

    @property
    def elements(self) -> int:
        """The number of items."""
        count = 1
        for length in self.shape:
            count *= length
        return count


class Gaps(NamedTuple):
    """The copies before and after the kernels, for one row."""

    row: int
    load: Gap | None
    store: Gap | None


class Copy(NamedTuple):
    """A copy between an array with gaps and its buffer, with offsets into the memory of the table."""

    gap: Gap
    description: int
    buffer: int
    is_store: bool


class Table:
    """A list in the form that the kernels read, relocatable to any address."""

    def __init__(self, rows: tuple[Row, ...], gaps: list[Gaps] | None = None) -> None:
        gaps = gaps or []
        copied = [gap for _, *both in gaps for gap in both if gap is not None]
        self.count = count = len(rows)
        columns = np.zeros((COLUMNS, count + 1), np.int64)
        columns[[SOURCE, TARGET, LENGTH, TYPECODE, REALS], :count] = np.array(rows, np.int64).T
        self.typecodes = tuple(sorted({row[TYPECODE] for row in rows} - {0}))
        self.typecodes_of_rows = columns[TYPECODE, :count].tolist()
        self.has_float64 = FLOAT64 in self.typecodes
        self.has_complex = bool((columns[REALS] == 2).any())
        self.in_place = all(row[TARGET] in (0, row[SOURCE]) for row in rows)
        chunks = -(-columns[LENGTH] // contract.CHUNK)
        runs = np.where(chunks > 1, -(-chunks // contract.CHUNK), 0)
        np.cumsum(chunks[:count], out=columns[FIRST_CHUNK, 1:])
        np.cumsum(runs[:count], out=columns[FIRST_RUN, 1:])
        large = np.flatnonzero(runs > 1)
        columns[LARGE, : large.size] = large
        self.chunks, all_runs = int(columns[FIRST_CHUNK, -1]), int(columns[FIRST_RUN, -1])

        directory, shift = _directory(columns[FIRST_CHUNK], self.chunks)
        width = SUM // 8
        described = sum(2 * len(gap.shape) for gap in copied)
        sizes = {
            DIRECTORY: directory.size,
            RUN_TICKETS: all_runs,
            ARRAY_SUMS: width * _with_levels(count),
            RUN_SUMS: width * all_runs,
            CHUNK_SUMS: width * self.chunks,
            NORMS: count,
        }
        end = description = HEADER + columns.size
        end += described
        self.words = np.zeros(end + sum(sizes[word] for word in UPLOADED), np.int64)
        self.words[HEADER : HEADER + columns.size] = columns.reshape(-1)
        self.words[end : end + directory.size] = directory
        self.words[LARGE_COUNT], self.words[DIRECTORY_SHIFT] = large.size, shift
        for word, size in sizes.items():
            self.words[word] = 8 * end
            end += size

        relative = list(sizes)
        self.copies: list[Copy] = []
        for row, *both in gaps:
            buffer = 0
            for column, gap in zip((SOURCE, TARGET), both, strict=True):
                if gap is None:
                    continue
                self.words[description : description + 2 * len(gap.shape)] = gap.shape + gap.strides
                if not buffer:
                    end += end & 1  # aligned to 16 bytes
                    buffer, end = 8 * end, end + (gap.elements * gap.item + 7) // 8
                place = HEADER + column * (count + 1) + row
                self.words[place] = buffer
                relative.append(place)
                self.copies.append(Copy(gap, 8 * description, buffer, column == TARGET))
                description += 2 * len(gap.shape)
        self._relative = np.array(relative)
        self.size = end
        self._rows = columns[: TYPECODE + 1, :count]

    def at(self, address: int) -> NDArray[np.int64]:
        """Return the words, relocated to an address."""
        words = self.words.copy()
        words[self._relative] += address
        return words

    @cached_property
    def apart(self) -> bool:
        """Whether, by the addresses of dense arrays alone, no target shares memory with another entry."""
        if self.copies:
            return False
        source, target, length, typecode = self._rows[:, self._rows[LENGTH] > 0]
        size = length * np.array(ITEM_SIZE)[typecode]
        elsewhere = source != target
        begin = np.concatenate((target, source[elsewhere]))
        order = np.argsort(begin, kind="stable")
        end = np.concatenate((target + size, (source + size)[elsewhere]))[order]
        return bool((begin[order][1:] >= end[:-1]).all())


def _directory(first_chunk: NDArray[np.int64], chunks: int) -> tuple[NDArray[np.int64], int]:
    """Return the entry of every 2**shift-th chunk and the last entry with chunks, and the shift."""
    shift = max(0, (chunks - 1) // LONGEST_DIRECTORY).bit_length()
    every = np.append(np.arange(0, chunks, 1 << shift), max(chunks - 1, 0))
    return first_chunk[:-1].searchsorted(every, "right") - 1, shift


def _with_levels(count: int) -> int:
    """Return the number of sums of all levels: `count`, then one for each 4096 of the level before."""
    sums = count
    while count > 1:
        count = -(-count // contract.CHUNK)
        sums += count
    return sums


@lru_cache(maxsize=16)
def table_of(rows: tuple[Row, ...]) -> Table:
    """Return the table of a list without gaps: the same one as long as the addresses are the same."""
    return Table(rows)


def pack(rows: list[Row], gaps: list[Gaps]) -> Any:
    """Return the table of a list."""
    return Table(tuple(rows), gaps) if gaps else table_of(tuple(rows))
