"""The entries of a list of CUDA arrays: located, and checked as those of the CPU are."""

from contextlib import nullcontext
from typing import Any, NamedTuple

from numpy.typing import NDArray

from numclip._arrays import checks, counterparts, devices, memory, overlap
from numclip._arrays.devices import array_of, first_array
from numclip._arrays.labels import Labels
from numclip._arrays.output import NEW, Output
from numclip._core.dtypes import BY_NAME, ITEM_SIZE
from numclip._cuda.descriptions import name_of
from numclip._cuda.libraries import library
from numclip._cuda.libraries.interface import Interface
from numclip._cuda.pack import Gap, Gaps, Row
from numclip._cuda.streams import Stream
from numclip._cuda.target import driver

Array = NDArray[Any]


class Listing(NamedTuple):
    """Where the entries of a list and their targets lie."""

    device: int
    rows: list[Row]
    gaps: list[Gaps]
    results: list[Any]
    reader: Interface  # of the first array
    readers: list[Interface]  # of all arrays, one for each library
    streams: set[int]  # that arrays name


class Entry(NamedTuple):
    """Where one entry lies. A source with gaps has a `load`, a target with gaps a `store`."""

    row: Row
    device: int | None
    readers: tuple[Interface, ...] = ()
    streams: tuple[int | None, ...] = ()
    written: Any = None
    load: Gap | None = None
    store: Gap | None = None


def read_list(
    sources: list[Any], targets: list[Any] | Output, labels: Labels, stream: Stream | None
) -> Listing:
    """Check all entries and their targets, and locate them.

    New arrays are allocated on `stream`, or on the current one of their library.
    """
    first, array = first_array(sources)
    reader = library(array)
    rows: list[Row] = []
    try:
        device = reader.device(array)
        if device is None:
            device = driver.current_device() or 0
        with driver.on_device(device), reader.on_stream(stream, device) if stream else nullcontext():
            return _read_all(sources, targets, labels, (first, reader, device), rows)
    except driver.UnknownAddress as error:
        raise ValueError(f"{labels.entry(max(first, len(rows)))} lies at {error}") from None


def _read_all(
    sources: list[Any],
    targets: list[Any] | Output,
    labels: Labels,
    start: tuple[int, Interface, int],
    rows: list[Row],
) -> Listing:
    first, reader, device = start
    usual, locate = array_of(sources[first]).__class__, reader.locate
    given, new = not isinstance(targets, Output), targets is NEW
    results: list[Any] = [] if isinstance(targets, Output) else targets
    gaps: list[Gaps] = []
    streams: set[int | None] = set()
    readers: dict[type, Interface] = {type(reader): reader}
    for index, entry in enumerate(sources):
        target = results[index] if given else None
        # Fast path: a dense array of the first one's library, clipped in place or into a new array.
        if entry.__class__ is usual and (target is entry or not given):
            place = locate(entry)
            if place is not None and place.device in (device, None) and (place.writable or not given):
                written = place.address if given else 0
                if new:
                    results.append(result := reader.empty_like(entry))
                    written = reader.address(result)
                rows.append((place.address, written, place.length, place.typecode, place.reals))
                streams.add(place.stream)
                continue
        if entry is not None:
            devices.refuse_mixed(sources, index, labels)
        found = _read(entry, target, targets, labels.entry(index), labels.target(index))
        if found.device not in (None, device):
            where = f"CUDA device {found.device}, {labels.entry(first)} is on {device}"
            raise ValueError(f"{labels.entry(index)} is on {where}")
        rows.append(found.row)
        if found.load or found.store:
            gaps.append(Gaps(index, found.load, found.store))
        streams.update(found.streams)
        readers.update((type(other), other) for other in found.readers)
        if new:
            results.append(counterparts.like(entry, found.written))
    return Listing(device, rows, gaps, results, reader, [*readers.values()], streams - {None})  # type: ignore[arg-type]


def _read(entry: Any, target: Any, targets: list[Any] | Output, label: str, target_label: str) -> Entry:
    """Check and locate one entry."""
    given = not isinstance(targets, Output)
    if given:
        counterparts.check(target, entry, target_label, label)
    if entry is None:
        return Entry((0, 0, 0, 0, 1), None)
    array, written = array_of(entry), array_of(target)
    label = counterparts.array_label(entry, label)
    target_label = counterparts.array_label(entry, target_label)
    reader = library(array)
    if given and not devices.is_cuda(written):
        raise TypeError(f"{target_label} should be a CUDA array, received {type(written)}")
    place = reader.locate(array)
    if place is not None and (not given or (written is array and place.writable)):
        address = place.address if given else 0
        if targets is NEW:
            written = reader.empty_like(array)
            address = reader.address(written)
        row = (place.address, address, place.length, place.typecode, place.reals)
        return Entry(row, place.device, (reader,), (place.stream,), written)
    return _described(array, NEW if targets is NEW else written, reader, label, target_label)


def _described(array: Any, written: Any, reader: Interface, label: str, target_label: str) -> Entry:
    """Locate an entry that is not in C order, or whose target is another array.

    `written` is the target, None where there is none, or NEW.
    """
    source = reader.describe(array, label)
    if name_of(source.dtype) not in BY_NAME:
        raise TypeError(f"{label} has dtype {source.dtype}, expected a floating or complex dtype")
    if not source.dtype.isnative:
        raise TypeError(f"{label} has dtype {source.dtype}: a CUDA array should be of native byte order")
    device, target, readers, streams = reader.device(array), None, [reader], [reader.pending(array)]
    if written is NEW:
        written = reader.empty_like(array)
    if written is not None:
        target_reader = library(written)
        readers.append(target_reader)
        streams.append(target_reader.pending(written))
        target = target_reader.describe(written, target_label)
        checks.target(target, source, target_label, label)
        other = target_reader.device(written)
        if target.size and other != device:
            raise ValueError(f"{target_label} is on CUDA device {other}, {label} on {device}")
    element = BY_NAME[name_of(source.dtype)]
    typecode, reals = element.typecode, element.reals
    axes = memory.dense_axes(source)
    load = None if _is_flat(source, axes, typecode) else _gap(source, axes, typecode)
    store, address = None, 0
    if target is not None:
        address = _address(target)
        if not _is_flat(target, axes, typecode):
            store = _gap(target, axes, typecode, memory.same_elements(source, target))
    row = (_address(source), address, source.size * reals, typecode, reals)
    return Entry(row, device, tuple(readers), tuple(streams), written, load, store)


def _address(description: Array) -> int:
    return int(description.__array_interface__["data"][0])


def _is_flat(array: Array, axes: tuple[int, ...], typecode: int) -> bool:
    """Tell whether the elements are contiguous with the axes in this order, and aligned."""
    dense = array.transpose(axes).flags.c_contiguous
    return array.size == 0 or (dense and _address(array) % ITEM_SIZE[typecode] == 0)


def _gap(array: Array, axes: tuple[int, ...], typecode: int, in_place: bool = False) -> Gap:
    """Describe a copy: of real numbers, or of bytes if the numbers are not aligned."""
    ordered, item = array.transpose(axes), ITEM_SIZE[typecode]
    shape, strides = ordered.shape, ordered.strides
    if array.itemsize > item:
        shape, strides = (*shape, array.itemsize // item), (*strides, item)
    if any(number % item for number in (_address(array), *strides)):
        shape, strides, item = (*shape, item), (*strides, 1), 1
    return Gap(_address(array), shape, strides, item, in_place)


def check_overlap(listing: Listing, sources: list[Any], labels: Labels) -> list[Row]:
    """Raise for a target that shares memory with another entry; an array given twice is written once."""
    copied, seen = {gaps.row for gaps in listing.gaps}, set()
    rows, originals, targets = [], [], []
    for index, (row, entry, target) in enumerate(zip(listing.rows, sources, listing.results, strict=True)):
        again = row in seen
        rows.append((row[0], 0, *row[2:]) if again else row)
        originals.append(None if again else _description(entry))
        targets.append(None if again else _description(target))
        if row[0] == row[1] and index not in copied:
            seen.add(row)
    overlap.check(originals, targets, labels)
    return rows


def _description(entry: Any) -> Array | None:
    array = array_of(entry)
    return None if array is None else library(array).describe(array, "")
