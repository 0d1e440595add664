"""A list of CUDA arrays, checked and packed, and clipped: nothing here waits for the device."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip import _check, _cuda_decide, _cuda_scale, _cuda_sums, _dispatch
from numclip._backend import first_array
from numclip._cuda_arrays import library, name_of
from numclip._cuda_chunks import CHUNK, COPY_THREADS, CREW, FOLD_THREADS, LANES, THREADS
from numclip._cuda_copies import copy_elements
from numclip._cuda_decide import read_scalar, write_factor
from numclip._cuda_driver import (
    Workspace,
    handle_of,
    launch,
    on_device,
    require,
    shared_workspace,
    stream_of,
    wait_for,
)
from numclip._cuda_entries import Gap, NotOnDevice, check_overlap, read
from numclip._cuda_table import (
    ARRAY_SUMS,
    CHUNK_SUMS,
    COLUMNS,
    FIRST_CHUNK,
    FIRST_RUN,
    GIVEN,
    HEADER,
    KIND,
    LARGE,
    LARGE_COUNT,
    LENGTH,
    LIMIT,
    RUN_SUMS,
    SOURCE,
    TARGET,
)
from numclip._known import KINDS
from numclip._names import LIST, Names
from numclip._slices import IndexedSlices
from numclip._table import FLOAT64

Array = NDArray[Any]

ON_DEVICE = -1.0  # stands for a clip_norm or use_norm that the device reads


class Plan:
    """The packed form of a list of CUDA arrays, and of the arrays that receive the results.

    `out` is None where only the norm is wanted, ``...`` for new arrays, else the caller's targets. A plan
    that is kept has memory of its own, and uploads its table only once.
    """

    def __init__(
        self, t_list: Any, out: Any, names: Names = LIST, stream: Any = None, *, keep: bool = False
    ) -> None:
        require()
        sources = _check.sequence(t_list, "t_list")
        targets = [...] * len(sources)
        given = not (out is None or out is ...)
        if given:
            targets = sources if out is t_list else _check.sequence(out, "out")
            if len(targets) != len(sources):
                raise ValueError(f"out has {len(targets)} entries, t_list has {len(sources)}")
        first, array = first_array(sources)
        new = out is ...
        try:
            with on_device(library(array).device(array)):  # for new targets
                entries = [
                    read(entry, target, i, names, new=new)
                    for i, (entry, target) in enumerate(zip(sources, targets, strict=True))
                ]
        except NotOnDevice as error:
            raise TypeError(f"{error} is not a CUDA array, but {names.entry(first)} is") from None
        for i, entry in enumerate(entries):
            if entry.array is not None and entry.device != entries[first].device:
                raise ValueError(
                    f"{names.entry(i)} is on CUDA device {entry.device}, "
                    f"{names.entry(first)} is on {entries[first].device}"
                )
        # The entries keep the arrays alive for as long as the plan holds their addresses.
        self._entries = check_overlap(entries, names) if given else entries
        self._device, self._reader = entries[first].device, entries[first].reader
        self._with_streams = [entry for entry in entries if entry.reader and entry.reader.has_streams]
        self._writes = out is not None
        self._in_place = all(entry.source == entry.target for entry in self._entries if entry.target)
        kinds = {entry.kind for entry in entries if entry.array is not None}
        self._single = FLOAT64 not in kinds
        self._kinds = tuple(sorted(kinds))
        self._stream = stream
        self._pack()
        self.results = targets
        if new:
            self.results = [
                _like(source, entry.written) for source, entry in zip(sources, entries, strict=True)
            ]
        self._kept: Workspace | None = None
        if keep:
            with on_device(self._device):
                self._kept = Workspace(stream_of(self._device, self._handle()))
                self._fill(self._kept)
                self._kept.stream.synchronize()  # once, so that a call on any stream finds the table there

    # --- packing ---

    def _pack(self) -> None:
        """Lay the table out, with offsets where the address of the memory is not known yet."""
        entries, count = self._entries, len(self._entries)
        gaps = [gap for entry in entries for gap in (entry.load, entry.store) if gap is not None]
        described = sum(2 * len(gap.shape) for gap in gaps)
        words = np.zeros(HEADER + COLUMNS * (count + 1) + described, np.int64)
        columns = words[HEADER : HEADER + COLUMNS * (count + 1)].reshape(COLUMNS, count + 1)
        columns[: KIND + 1, :count] = np.array([entry[:4] for entry in entries], np.int64).T
        chunks = -(-columns[LENGTH] // CHUNK)
        runs = np.maximum(1, -(-chunks // CHUNK))
        columns[FIRST_CHUNK, 1:] = np.cumsum(chunks[:count])
        columns[FIRST_RUN, 1:] = np.cumsum(runs[:count])
        large = np.flatnonzero(runs[:count] > 1)
        columns[LARGE, : large.size] = large
        words[LARGE_COUNT] = large.size
        self._count, self._chunks, self._runs = (
            count,
            int(columns[FIRST_CHUNK, -1]),
            int(columns[FIRST_RUN, -1]),
        )
        # Behind the table: the sums of the arrays and of these sums, of the runs, of the chunks; the buffers.
        end = words.size
        for word, size in ((ARRAY_SUMS, 2 * count + 2), (RUN_SUMS, self._runs), (CHUNK_SUMS, self._chunks)):
            words[word] = 8 * end
            end += size
        self._words, self._relative = words, [ARRAY_SUMS, RUN_SUMS, CHUNK_SUMS]
        self._copies: list[tuple[Gap, int, int, bool]] = []
        description = words.size - described
        for row, entry in enumerate(entries):
            buffer = 0
            for gap, column in ((entry.load, SOURCE), (entry.store, TARGET)):
                if gap is None:
                    continue
                words[description : description + 2 * len(gap.shape)] = gap.shape + gap.strides
                if not buffer:
                    end += end & 1  # 16 bytes
                    buffer, end = 8 * end, end + (gap.elements * gap.item + 7) // 8
                columns[column, row] = buffer
                self._relative.append(HEADER + column * (count + 1) + row)
                self._copies.append((gap, 8 * description, buffer, column == TARGET))
                description += 2 * len(gap.shape)
        self._size = end

    def _fill(self, workspace: Workspace) -> None:
        base = workspace.reserve(self._size)
        words = self._words.copy()
        words[self._relative] += base
        workspace.upload(words)

    # --- running ---

    def _handle(self) -> int:
        if self._stream is not None:
            return handle_of(self._stream)
        handle: int = self._reader.current_stream(self._device)
        return handle

    def run(self, clip_norm: Any, use_norm: Any = None) -> tuple[Any, None]:
        """Clip, and return (norm, None): the factor is known to the device alone."""
        return self._run(clip_norm, use_norm, None), None

    def factor(self, clip_norm: Any, use_norm: Any = None) -> tuple[Any, Any]:
        """Return (factor, norm), the factor as a 0-d float64 array of the library of the first array."""
        with on_device(self._device):
            factor = self._reader.empty_scalar(np.float64, self._device)
        return factor, self._run(clip_norm, use_norm, factor)

    def _run(self, clip_norm: Any, use_norm: Any, factor: Any) -> Any:
        with on_device(self._device):
            handle = self._handle()
            stream = stream_of(self._device, handle)
            for pending in {entry.reader.pending(entry.array) for entry in self._with_streams}:
                if pending not in (None, handle):
                    wait_for(pending, self._device, stream)
            workspace = self._kept or shared_workspace(self._device, handle)
            with workspace.lock:
                if self._kept is None:
                    self._fill(workspace)
                norm = self._launch(workspace.address, stream, clip_norm, use_norm)
                if factor is not None:
                    address = library(factor).address(factor)
                    launch(write_factor(), 1, 1, stream, workspace.address, address)
                return norm

    def _launch(self, base: int, stream: Any, clip_norm: Any, use_norm: Any) -> Any:
        count, single, kinds = self._count, self._single, self._kinds
        crews, warps = THREADS // CREW, FOLD_THREADS // LANES
        limit = _number(clip_norm, base + 8 * LIMIT, stream)
        self._copy(base, stream, stores=False)
        blocks = max(1, -(-self._chunks // crews))
        if use_norm is None:
            norm = self._reader.empty_scalar(np.float32 if single else np.float64, self._device)
            address = library(norm).address(norm)
            launch(_cuda_sums.chunk_sums(kinds), blocks, THREADS, stream, base, count)
            folds = max(1, -(-self._runs // warps))
            launch(
                _cuda_decide.finish(single, False), folds, FOLD_THREADS, stream, base, count, limit, address
            )
            if not single:
                launch(_cuda_sums.chunk_sums_again(kinds), blocks, THREADS, stream, base, count)
                again = _cuda_decide.finish(single, True)
                launch(again, folds, FOLD_THREADS, stream, base, count, limit, address)
        else:
            norm = use_norm
            given = _number(use_norm, base + 8 * GIVEN, stream)
            launch(_cuda_decide.use_given(), 1, 1, stream, base, limit, given)
        if self._writes:
            launch(_cuda_scale.scale(kinds), blocks, THREADS, stream, base, count, int(self._in_place))
            self._copy(base, stream, stores=True)
        return norm

    def _copy(self, base: int, stream: Any, *, stores: bool) -> None:
        """Copy arrays with gaps to their buffers, or back."""
        for gap, description, buffer, is_store in self._copies:
            if is_store == stores and gap.elements:
                launch(
                    copy_elements(gap.item, stores),
                    -(-gap.elements // COPY_THREADS),
                    COPY_THREADS,
                    stream,
                    gap.elements,
                    len(gap.shape),
                    base + description,
                    gap.address,
                    base + buffer,
                    base if gap.in_place else 0,
                )


def _like(entry: Any, result: Any) -> Any:
    """Return what holds the result: the like of the entry."""
    if isinstance(entry, IndexedSlices):
        return IndexedSlices(result, entry.indices, entry.dense_shape)
    return result


def _number(value: Any, word: int, stream: Any) -> float:
    """Return a number that is on the host, or copy it to a word of the header."""
    if not _dispatch.is_cuda(value):
        return float(value)
    reader = library(value)
    kind = KINDS[name_of(reader.describe(value, "").dtype)][0]
    launch(read_scalar(kind), 1, 1, stream, reader.address(value), word)
    return ON_DEVICE


def clip_norm(value: Any) -> Any:
    """Return a clip_norm: a float64, or a number on the device."""
    return _on_device(value, "clip_norm") if _dispatch.is_cuda(value) else _check.clip_norm(value)


def use_norm(value: Any) -> Any:
    """Return a use_norm: a float64, or a number on the device."""
    return _on_device(value, "use_norm") if _dispatch.is_cuda(value) else _check.use_norm(value)


def _on_device(value: Any, name: str) -> Any:
    description = library(value).describe(value, name)
    if description.ndim or KINDS.get(name_of(description.dtype), (0, 2))[1] != 1:
        raise TypeError(f"{name} should be a real number or 0-d array. Received {type(value)}")
    return value


def clip(
    t_list: Any, out: Any, limit: Any, given: Any, names: Names, stream: Any
) -> tuple[list[Any], Any, None]:
    """Clip once, and return (results, norm, None)."""
    limit, checked = clip_norm(limit), None if given is None else use_norm(given)
    plan = Plan(t_list, out, names, stream)
    norm, factor = plan.run(limit, checked)
    return plan.results, norm if given is None else given, factor


def clip_factor(t_list: Any, limit: Any, given: Any) -> tuple[Any, Any]:
    """Return (factor, norm), both on the device."""
    limit, checked = clip_norm(limit), None if given is None else use_norm(given)
    return Plan(t_list, None).factor(limit, checked)
