"""The entries of a list of CUDA arrays: located, and checked as those of the CPU are."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numclip import _check, _dispatch, _layout, _overlap
from numclip._cuda_arrays import Interface, library, name_of
from numclip._known import KINDS
from numclip._names import Names
from numclip._slices import IndexedSlices
from numclip._table import ITEM_SIZE

Array = NDArray[Any]


class Gap(NamedTuple):
    """An array that is no aligned run of memory; a dense buffer stands in for it."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    item: int  # bytes that are copied at a time
    in_place: bool = False

    @property
    def elements(self) -> int:
        """How many items there are."""
        count = 1
        for length in self.shape:
            count *= length
        return count


class Entry(NamedTuple):
    """Where an entry and its target lie. A source with gaps has a `load`, a target with gaps a `store`."""

    source: int = 0
    target: int = 0
    length: int = 0
    kind: int = 0
    array: Any = None
    written: Any = None
    reader: Any = None
    device: int = 0
    load: Gap | None = None
    store: Gap | None = None


NOTHING = Entry()


class NotOnDevice(Exception):
    """An entry, by its name, is no CUDA array; the list tells which other one is."""


def read(entry: Any, target: Any, index: int, names: Names, *, new: bool) -> Entry:
    """Check an entry and its target, raising for what is wrong, and locate both.

    `new` asks for a new target; else a target of ``...`` stands for none.
    """
    if entry is None and (target is None or target is ...):
        return NOTHING
    given = target is not ...
    if given and target is not entry:
        _counterpart(target, entry, names.target(index), names.entry(index))
    sparse = isinstance(entry, IndexedSlices)
    array, written = (entry.values, getattr(target, "values", None)) if sparse else (entry, target)
    if not _dispatch.is_cuda(array):
        raise NotOnDevice(names.entry(index) + ".values" * sparse)
    reader = library(array)
    plain = reader.plain(array)
    if plain is not None:
        address, length, kind, device, writable = plain
        if new:
            written = reader.empty_like(array)
            target_address = library(written).address(written)
            return Entry(address, target_address, length, kind, array, written, reader, device)
        if not given:
            return Entry(address, 0, length, kind, array, None, reader, device)
        if written is array and writable:
            return Entry(address, address, length, kind, array, array, reader, device)
    name, target_name = names.entry(index) + ".values" * sparse, names.target(index) + ".values" * sparse
    if new:
        written = reader.empty_like(array)
    elif not given:
        written = None
    elif not _dispatch.is_cuda(written):
        raise TypeError(f"{target_name} should be a CUDA array, received {type(written)}")
    return _described(array, written, reader, name, target_name)


def _described(array: Any, written: Any, reader: Interface, name: str, target_name: str) -> Entry:
    """Locate an entry that is not in C order, or whose target is another array."""
    source = reader.describe(array, name)
    if name_of(source.dtype) not in KINDS:
        raise TypeError(f"{name} has dtype {source.dtype}, expected a floating or complex dtype")
    if not source.dtype.isnative:
        raise TypeError(f"{name} has dtype {source.dtype}: a CUDA array should be of native byte order")
    device, target = reader.device(array), None
    if written is not None:
        target_reader = library(written)
        target = target_reader.describe(written, target_name)
        _check.target(target, source, target_name, name)
        if target.size and target_reader.device(written) != device:
            raise ValueError(
                f"{target_name} is on CUDA device {target_reader.device(written)}, {name} on {device}"
            )
    kind, reals = KINDS[name_of(source.dtype)]
    axes = _layout.dense_axes(source)
    load = None if _is_flat(source, axes, kind) else _gap(source, axes, kind)
    store, address = None, 0
    if target is not None:
        address = _address(target)
        if not _is_flat(target, axes, kind):
            store = _gap(target, axes, kind, _overlap.same_elements(source, target))
    length = source.size * reals
    return Entry(_address(source), address, length, kind, array, written, reader, device, load, store)


def _address(description: Array) -> int:
    return int(description.__array_interface__["data"][0])


def _is_flat(array: Array, axes: tuple[int, ...], kind: int) -> bool:
    """Tell whether the elements lie one after the other with the axes in this order, and aligned."""
    dense = array.transpose(axes).flags.c_contiguous
    return array.size == 0 or (dense and _address(array) % ITEM_SIZE[kind] == 0)


def _gap(array: Array, axes: tuple[int, ...], kind: int, in_place: bool = False) -> Gap:
    """Describe a copy: of real numbers, or of bytes where these are not aligned."""
    ordered, item = array.transpose(axes), ITEM_SIZE[kind]
    shape, strides = ordered.shape, ordered.strides
    if array.itemsize > item:
        shape, strides = (*shape, array.itemsize // item), (*strides, item)
    if any(step % item for step in (_address(array), *strides)):
        shape, strides, item = (*shape, item), (*strides, 1), 1
    return Gap(_address(array), shape, strides, item, in_place)


def _counterpart(value: Any, entry: Any, name: str, source_name: str) -> None:
    """Raise where a target is None or IndexedSlices and its source is not, or the reverse."""
    if entry is None:
        raise TypeError(f"{name} should be None, as {source_name} is None")
    if isinstance(entry, IndexedSlices) and not isinstance(value, IndexedSlices):
        raise TypeError(f"{name} should be an IndexedSlices, as {source_name} is")


def check_overlap(entries: list[Entry], names: Names) -> list[Entry]:
    """Raise for a target that shares memory with another entry; drop the second target of one array twice."""
    rows = np.array([entry[:4] for entry in entries if entry.length], np.int64).reshape(-1, 4)
    source, target, length = rows[:, 0], rows[:, 1], rows[:, 2]
    size = length * np.array(ITEM_SIZE)[rows[:, 3]]
    apart = source != target
    begin = np.concatenate((target, source[apart]))
    order = np.argsort(begin, kind="stable")
    end = np.concatenate((target + size, (source + size)[apart]))[order]
    if not any(entry.load or entry.store for entry in entries) and (begin[order][1:] >= end[:-1]).all():
        return entries
    described = [_descriptions(entry) for entry in entries]
    _overlap.check([source for source, _ in described], [target for _, target in described], names)
    seen: set[tuple[int, ...]] = set()
    result = []
    for entry in entries:
        again = entry[:4] in seen and entry.store is None
        seen.add(entry[:4])
        result.append(entry._replace(target=0) if again else entry)
    return result


def _descriptions(entry: Entry) -> tuple[Array | None, Array | None]:
    if entry.array is None:
        return None, None
    written = entry.written
    target = library(written).describe(written, "out")
    return entry.reader.describe(entry.array, "t_list"), target
