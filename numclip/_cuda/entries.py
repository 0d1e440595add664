"""The entries of a list of CUDA arrays: located, and checked as those of the CPU are."""

from typing import Any, NamedTuple

from numpy.typing import NDArray

from numclip._arrays import checks, devices, memory, overlap
from numclip._arrays.devices import array_of, first_array
from numclip._arrays.labels import Labels
from numclip._arrays.slices import IndexedSlices
from numclip._core.dtypes import BY_NAME, ITEM_SIZE
from numclip._cuda.descriptions import name_of
from numclip._cuda.driver import UnknownAddress, on_device
from numclip._cuda.libraries import Interface, library
from numclip._cuda.pack import Gap, Gaps, Row

Array = NDArray[Any]


class Listing(NamedTuple):
    """Where the entries of a list and their targets lie."""

    rows: list[Row]
    gaps: list[Gaps]
    results: list[Any]
    reader: Interface  # of the first array
    streams: set[int]  # on which arrays are still being worked on


class Entry(NamedTuple):
    """Where one entry lies. A source with gaps has a `load`, a target with gaps a `store`."""

    row: Row
    device: int | None
    stream: int | None
    written: Any = None
    load: Gap | None = None
    store: Gap | None = None


def read_list(sources: list[Any], targets: list[Any], names: Labels, *, new: bool) -> tuple[int, Listing]:
    """Check all entries and their targets, raising for what is wrong; return their device and locate them.

    `new` asks for new targets; else a target of ``...`` stands for none.
    """
    first, array = first_array(sources)
    reader, usual = library(array), array.__class__
    listing = Listing([], [], [] if new else targets, reader, set())
    rows, locate = listing.rows, reader.locate
    try:
        device = reader.device(array)
        with on_device(device):  # for new targets
            for index, (entry, target) in enumerate(zip(sources, targets, strict=True)):
                # Most are dense arrays of one library, with themselves, a new array or nothing to write to.
                if entry.__class__ is usual and (target is ... or target is entry):
                    place = locate(entry)
                    if place is not None and place[3] == device and (place[4] or target is ...):
                        address, length, kind, _, _, stream = place
                        written = address if target is entry else 0
                        if new:
                            listing.results.append(result := reader.empty_like(entry))
                            written = reader.address(result)
                        rows.append((address, written, length, kind))
                        if stream is not None:
                            listing.streams.add(stream)
                        continue
                found = _read(entry, target, index, first, names, new=new)
                if found.device not in (None, device):
                    where = f"CUDA device {found.device}, {names.entry(first)} is on {device}"
                    raise ValueError(f"{names.entry(index)} is on {where}")
                rows.append(found.row)
                if found.load or found.store:
                    listing.gaps.append(Gaps(index, found.load, found.store))
                if found.stream is not None:
                    listing.streams.add(found.stream)
                if new:
                    listing.results.append(_like(entry, found.written))
    except UnknownAddress as error:
        raise ValueError(f"{names.entry(max(first, len(rows)))} lies at {error}") from None
    return device, listing


def _read(entry: Any, target: Any, index: int, first: int, names: Labels, *, new: bool) -> Entry:
    """Check and locate one entry."""
    given = target is not ...
    if entry is None and (target is None or not given):
        return Entry((0, 0, 0, 0), None, None)
    if given and target is not entry:
        _counterpart(target, entry, names.target(index), names.entry(index))
    sparse = isinstance(entry, IndexedSlices)
    name, target_name = names.entry(index) + ".values" * sparse, names.target(index) + ".values" * sparse
    array, written = (entry.values, getattr(target, "values", None)) if sparse else (entry, target)
    if not devices.is_cuda(array):
        raise TypeError(f"{name} is not a CUDA array, but {names.entry(first)} is")
    reader = library(array)
    if new:
        written = reader.empty_like(array)
    elif not given:
        written = None
    elif not devices.is_cuda(written):
        raise TypeError(f"{target_name} should be a CUDA array, received {type(written)}")
    place = reader.locate(array)
    if place is not None:
        address, length, kind, device, writable, stream = place
        if new:
            target_address = library(written).address(written)
            return Entry((address, target_address, length, kind), device, stream, written)
        if written is None or (written is array and writable):
            return Entry((address, address if given else 0, length, kind), device, stream)
    return _described(array, written, reader, name, target_name)


def _described(array: Any, written: Any, reader: Interface, name: str, target_name: str) -> Entry:
    """Locate an entry that is not in C order, or whose target is another array."""
    source = reader.describe(array, name)
    if name_of(source.dtype) not in BY_NAME:
        raise TypeError(f"{name} has dtype {source.dtype}, expected a floating or complex dtype")
    if not source.dtype.isnative:
        raise TypeError(f"{name} has dtype {source.dtype}: a CUDA array should be of native byte order")
    device, target = reader.device(array), None
    if written is not None:
        target_reader = library(written)
        target = target_reader.describe(written, target_name)
        checks.target(target, source, target_name, name)
        if target.size and target_reader.device(written) != device:
            raise ValueError(
                f"{target_name} is on CUDA device {target_reader.device(written)}, {name} on {device}"
            )
    element = BY_NAME[name_of(source.dtype)]
    kind, reals = element.typecode, element.reals
    axes = memory.dense_axes(source)
    load = None if _is_flat(source, axes, kind) else _gap(source, axes, kind)
    store, address = None, 0
    if target is not None:
        address = _address(target)
        if not _is_flat(target, axes, kind):
            store = _gap(target, axes, kind, memory.same_elements(source, target))
    row = (_address(source), address, source.size * reals, kind)
    return Entry(row, device, reader.pending(array), written, load, store)


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


def _like(entry: Any, written: Any) -> Any:
    """Return what holds a new array: the like of the entry."""
    if isinstance(entry, IndexedSlices):
        return IndexedSlices(written, entry.indices, entry.dense_shape)
    return written


def check_overlap(listing: Listing, sources: list[Any], names: Labels) -> list[Row]:
    """Raise for a target that shares memory with another entry; drop the second target of one array twice."""
    copied, seen = {gaps.row for gaps in listing.gaps}, set()
    rows, originals, targets = [], [], []
    for index, (row, entry, target) in enumerate(zip(listing.rows, sources, listing.results, strict=True)):
        again = row in seen
        rows.append((row[0], 0, *row[2:]) if again else row)
        originals.append(None if again else _description(entry))
        targets.append(None if again else _description(target))
        if row[0] == row[1] and index not in copied:
            seen.add(row)
    overlap.check(originals, targets, names)
    return rows


def _description(entry: Any) -> Array | None:
    array = array_of(entry)
    return None if array is None else library(array).describe(array, "")
