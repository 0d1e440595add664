"""A list of CUDA arrays, checked and packed, and clipped: nothing here waits for the device."""

from typing import Any

import numpy as np

from numclip._arrays import checks, devices
from numclip._arrays.labels import LIST, Labels
from numclip._core.dtypes import BY_NAME
from numclip._cuda.copies import copy_elements
from numclip._cuda.decision import use_given
from numclip._cuda.descriptions import name_of
from numclip._cuda.driver import (
    Workspace,
    handle_of,
    is_capturing,
    launch,
    on_device,
    require,
    shared_workspace,
    stream_of,
    wait_for,
)
from numclip._cuda.entries import check_overlap, read_list
from numclip._cuda.grid import COPY_THREADS, CREWS, THREADS
from numclip._cuda.libraries import library
from numclip._cuda.norm import norm
from numclip._cuda.pack import pack
from numclip._cuda.scaling import scale


class Plan:
    """The packed form of a list of CUDA arrays, and of the arrays that receive the results.

    `out` is None where only the norm is wanted, ``...`` for new arrays, else the caller's targets. A plan
    that is kept has memory of its own, and uploads its table only once.
    """

    def __init__(
        self, t_list: Any, out: Any, names: Labels = LIST, stream: Any = None, *, keep: bool = False
    ) -> None:
        require()
        # Both keep the arrays alive for as long as the plan holds their addresses.
        self._sources = sources = checks.sequence(t_list, "t_list")
        targets = [...] * len(sources)
        given = not (out is None or out is ...)
        if given:
            targets = sources if out is t_list else checks.sequence(out, "out")
            if len(targets) != len(sources):
                raise ValueError(f"out has {len(targets)} entries, t_list has {len(sources)}")
        self._device, listing = read_list(sources, targets, names, new=out is ...)
        self.results, self._reader, self._streams = listing.results, listing.reader, listing.streams
        self._table = pack(listing.rows, listing.gaps)
        if given and not self._table.apart:
            self._table = pack(check_overlap(listing, sources, names), listing.gaps)
        self._writes = out is not None
        self._stream = stream
        self._kept: Workspace | None = None
        if keep:
            with on_device(self._device):
                self._kept = Workspace(stream_of(self._device, self._handle()))
                self._kept.fill(self._table)
                self._kept.stream.synchronize()  # once, so that a call on any stream finds the table there

    def _handle(self) -> int:
        if self._stream is not None:
            return handle_of(self._stream)
        return self._reader.current_stream(self._device)

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
            for pending in self._streams:
                if pending != handle:
                    wait_for(pending, self._device, stream)
            if self._kept is None and is_capturing(handle):
                # Whenever the graph is replayed, another table may stand in the memory of the stream.
                raise RuntimeError("in a CUDA graph, call a numclip.Clipper that was made before")
            workspace = self._kept or shared_workspace(self._device, handle)
            with workspace.lock:
                workspace.fill(self._table)
                return self._launch(workspace.address, stream, clip_norm, use_norm, factor)

    def _launch(self, base: int, stream: Any, clip_norm: Any, use_norm: Any, factor: Any) -> Any:
        table, reader = self._table, self._reader
        limit_kind, limit = _number(clip_norm)
        factor = 0 if factor is None else reader.address(factor)
        self._copy(base, stream, stores=False)
        blocks = -(-table.chunks // CREWS) or 1
        if use_norm is None:
            result = reader.empty_scalar(np.float32 if table.single else np.float64, self._device)
            address = reader.address(result)
            kernel = norm(table.kinds, limit_kind)
            launch(kernel, blocks, THREADS, stream, base, table.count, limit, address, factor)
        else:
            kind, given = _number(use_norm)
            launch(use_given(limit_kind, kind), 1, 1, stream, base, limit, given, factor)
            result = use_norm
        if self._writes:
            launch(scale(table.kinds), blocks, THREADS, stream, base, table.count, int(table.in_place))
            self._copy(base, stream, stores=True)
        return result

    def _copy(self, base: int, stream: Any, *, stores: bool) -> None:
        """Copy arrays with gaps to their buffers, or back."""
        for gap, description, buffer, is_store in self._table.copies:
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


def _number(value: Any) -> tuple[int | None, float | int]:
    """Return (None, number) for a number of the host, or the kind and the address of one on the device."""
    if not devices.is_cuda(value):
        return None, float(value)
    reader = library(value)
    return BY_NAME[name_of(reader.describe(value, "").dtype)].typecode, reader.address(value)


def clip_norm(value: Any) -> Any:
    """Return a clip_norm: a float64, or a number on the device."""
    return _on_device(value, "clip_norm") if devices.is_cuda(value) else checks.clip_norm(value)


def use_norm(value: Any) -> Any:
    """Return a use_norm: a float64, or a number on the device."""
    return _on_device(value, "use_norm") if devices.is_cuda(value) else checks.use_norm(value)


def _on_device(value: Any, name: str) -> Any:
    description = library(value).describe(value, name)
    element = BY_NAME.get(name_of(description.dtype))
    if description.ndim or element is None or element.reals != 1:
        raise TypeError(f"{name} should be a real number or 0-d array. Received {type(value)}")
    return value


def clip(
    t_list: Any, out: Any, limit: Any, given: Any, names: Labels, stream: Any
) -> tuple[list[Any], Any, None]:
    """Clip once, and return (results, norm, None)."""
    limit, checked = clip_norm(limit), None if given is None else use_norm(given)
    plan = Plan(t_list, out, names, stream)
    norm, factor = plan.run(limit, checked)
    return plan.results, norm if given is None else given, factor


def clip_factor(t_list: Any, limit: Any, given: Any, names: Labels = LIST) -> tuple[Any, Any]:
    """Return (factor, norm), both on the device."""
    limit, checked = clip_norm(limit), None if given is None else use_norm(given)
    factor, norm = Plan(t_list, None, names).factor(limit, checked)
    return factor, norm if given is None else given
