"""A list of CUDA arrays, checked and packed, and clipped: nothing here waits for the device."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from numclip._arrays import output as outputs
from numclip._arrays.labels import LIST, Labels
from numclip._arrays.options import DEFAULT, Options, threshold
from numclip._arrays.output import NONE, Output
from numclip._cuda.copies import copy_elements
from numclip._cuda.decision import decide_again, use_given
from numclip._cuda.entries import check_overlap, read_list
from numclip._cuda.grid import COPY_THREADS, THREADS, WARPS
from numclip._cuda.norm import norm
from numclip._cuda.numbers import Number
from numclip._cuda.pack import pack
from numclip._cuda.scaling import scale
from numclip._cuda.streams import Stream, stream_of, wait_for
from numclip._cuda.table import ARRAY_SUMS, NORM_HI, RETURNED
from numclip._cuda.target import driver
from numclip._cuda.workspace import Workspace, shared_workspace


def load_kernels(typecodes: tuple[int, ...], *, writes: bool) -> None:
    """Compile what a call needs whose norms are numbers of the host, and bring it to this thread's device."""
    driver.load(norm(typecodes, None))
    driver.load(use_given(None, None))
    if writes:
        driver.load(scale(typecodes))


class Plan:
    """The packed form of a list of CUDA arrays, and of the arrays that receive the results.

    A plan that is kept has memory of its own, and uploads its table only once.
    """

    def __init__(
        self, t_list: Any, output: Any, labels: Labels = LIST, stream: Any = None, *, keep: bool = False
    ) -> None:
        # The lists keep the arrays alive for as long as the plan holds their addresses.
        self._sources, self._targets = outputs.resolve(t_list, output)
        self._labels = labels
        self._stream = None if stream is None else stream_of(stream)
        self._listing = listing = read_list(self._sources, self._targets, labels, self._stream)
        self._device, self._reader = listing.device, listing.reader
        self.results: list[Any] = listing.results
        self._table = pack(listing.rows, listing.gaps)
        if not isinstance(self._targets, Output) and not self._table.apart:
            self._table = pack(check_overlap(listing, self._sources, labels), listing.gaps)
        self._writes = self._targets is not NONE
        self._kept: Workspace | None = None
        self._factor: Any = None
        self._last = Stream(0)
        if keep:
            self._keep()

    def _keep(self) -> None:
        """Allocate and fill memory of its own, and load the kernels: a call has nothing left but launches."""
        with driver.on_device(self._device):
            self._last = self._reader.current_stream(self._device)
            self._kept = Workspace(self._last.handle)
            self._kept.fill(self._table, self._reader, self._device)
            self._factor = self._reader.empty_scalar(np.float64, self._device)
            driver.synchronize(self._last.handle)  # once: a call on any stream finds the table there
            load_kernels(self._table.typecodes, writes=self._writes)
            for gap, *_, is_store in self._table.copies:
                driver.load(copy_elements(gap.item, is_store))

    def clip(
        self, clip_norm: Number, use_norm: Number | None = None, options: Options = DEFAULT
    ) -> tuple[Any, Any]:
        """Clip the arrays as they are now; return (norm, factor).

        The factor is a 0-d array on the device, which the next call writes again; None if the plan is not
        kept.
        """
        return self._run(clip_norm, use_norm, options, with_factor=False)

    def as_function(self, options: Options = DEFAULT) -> Callable[[Number], tuple[Any, Any]]:
        """Return `clip` with these options."""
        return partial(self.clip, options=options)

    def sums(self, prescale: float = 1.0) -> Any:
        """Raise: the ranks of MPI share arrays on the CPU alone. No rank is left waiting, as all raise."""
        raise TypeError("numclip.mpi is for arrays on the CPU")

    def scale(self, factor: float, prefactor: float) -> None:
        """Raise, as `sums` does."""
        raise TypeError("numclip.mpi is for arrays on the CPU")

    def last_tensor_norms(self, loss_scale: float = 1.0, factor: Any = 1.0) -> list[Any]:
        """Raise: the norms of single arrays are measured on the CPU alone."""
        raise TypeError("tensor_norms is for arrays on the CPU")

    def factor(
        self, clip_norm: Number, use_norm: Number | None = None, options: Options = DEFAULT
    ) -> tuple[Any, Any]:
        """Return (factor, norm), the factor as a 0-d float64 array of the library of the first array."""
        norm, factor = self._run(clip_norm, use_norm, options, with_factor=True)
        return factor, norm

    def _run(
        self, clip_norm: Number, use_norm: Number | None, options: Options, *, with_factor: bool
    ) -> tuple[Any, Any]:
        if options.order != 2.0:
            raise TypeError(f"ord is {options.order}: arrays on a device have the norm of order 2 alone")
        numbers = [number for number in (clip_norm, use_norm) if number is not None and number.reader]
        for number in numbers:
            if number.device != self._device:
                where = f"CUDA device {number.device}, the arrays are on {self._device}"
                raise ValueError(f"{number.label} is on {where}")
        with driver.on_device(self._device):
            current = self._reader.current_stream(self._device)
            stream = self._stream or current
            # The current stream does not wait for the end of what goes to a stream that was given.
            others = self._other_streams(numbers) - {stream.handle, current.handle}
            for other in (others | {current.handle}) - {stream.handle}:
                wait_for(other, stream.handle)
            with nullcontext() if stream is current else self._reader.on_stream(stream, self._device):
                results = self._enqueue(stream, numbers, clip_norm, use_norm, options, with_factor)
            for other in others:
                wait_for(stream.handle, other)
            return results

    def _enqueue(
        self,
        stream: Stream,
        numbers: list[Number],
        clip_norm: Number,
        use_norm: Number | None,
        options: Options,
        with_factor: bool,
    ) -> tuple[Any, Any]:
        moved = stream.handle != self._last.handle  # always, for a plan that is not kept
        capturing = moved and driver.is_capturing(stream.handle)
        if self._kept is None and capturing:
            # Whenever the graph is replayed, another table may stand in the memory of the stream.
            raise RuntimeError("in a CUDA graph, call a numclip.Clipper that was made before")
        if callable(clip_norm.value) and self._kept is None:
            workspace = Workspace(stream.handle)  # the callable may clip something else on this stream
        else:
            workspace = self._kept or shared_workspace(self._device, stream.handle)
        with workspace.lock:
            if self._kept is not None and moved:
                if not capturing:
                    wait_for(self._last.handle, stream.handle)
                self._last = stream
            workspace.fill(self._table, self._reader, self._device)
            results = self._launch(
                workspace.address, stream.handle, clip_norm, use_norm, options, with_factor
            )
            if self._may_be_given_back(stream) and not capturing:
                values = self._sources, self._targets, numbers, workspace.memory
                workspace.hold(stream.handle, values)
        return results

    def _other_streams(self, numbers: list[Number]) -> set[int]:
        """Return the streams on which others may work on these arrays, before this call and after it."""
        others = set(self._listing.streams)
        others.update(reader.current_stream(self._device).handle for reader in self._listing.readers[1:])
        for number in numbers:
            others.update(number.streams())
        return others

    def _may_be_given_back(self, stream: Stream) -> bool:
        """Tell whether memory may get another use while the stream still needs it, if nothing holds it."""
        elsewhere = self._stream is not None or (
            self._kept is not None and self._kept.stream != stream.handle
        )
        return elsewhere or any(reader.reuses_memory for reader in self._listing.readers)

    def _launch(
        self,
        base: int,
        stream: int,
        clip_norm: Number,
        use_norm: Number | None,
        options: Options,
        with_factor: bool,
    ) -> tuple[Any, Any]:
        table, reader = self._table, self._reader
        factor = reader.empty_scalar(np.float64, self._device) if with_factor else self._factor
        written = 0 if factor is None else reader.address(factor)
        self._copy(base, stream, stores=False)
        blocks, result = -(-table.chunks // WARPS) or 1, None
        limit = math.inf if callable(clip_norm.value) else clip_norm.value
        rest = options.eps, options.loss_scale, int(options.nonfinite == "zero")
        if use_norm is None:
            dtype = np.float64 if table.compensated else np.float32
            result = reader.empty_scalar(dtype, self._device)
            addresses = reader.address(result), written
            kernel = norm(table.typecodes, clip_norm.typecode)
            driver.launch(kernel, blocks, THREADS, stream, base, table.count, limit, *rest, *addresses)
        else:
            kernel = use_given(clip_norm.typecode, use_norm.typecode)
            driver.launch(kernel, 1, 1, stream, base, limit, use_norm.value, *rest, written)
        if options.nonfinite == "raise":
            self._refuse_nonfinite(base, stream, use_norm)
        if callable(clip_norm.value):
            [known] = driver.download(base + 8 * RETURNED, 1, stream)
            limit = threshold(clip_norm.value, known)
            driver.launch(decide_again(), 1, 1, stream, base, limit, *rest, written)
        if self._writes:
            in_place = int(table.in_place)
            driver.launch(scale(table.typecodes), blocks, THREADS, stream, base, table.count, in_place)
            self._copy(base, stream, stores=True)
        return result, factor

    def _refuse_nonfinite(self, base: int, stream: int, use_norm: Number | None) -> None:
        """Raise for a norm that is not finite, naming the entries to blame: the host waits for it."""
        [norm_hi] = driver.download(base + 8 * NORM_HI, 1, stream)
        if math.isfinite(norm_hi):
            return
        if use_norm is not None:
            raise FloatingPointError(f"use_norm is {norm_hi}")
        width = 2 if self._table.compensated else 1
        offset = int(self._table.words[ARRAY_SUMS])
        sums = driver.download(base + offset, width * self._table.count, stream)[::width]
        named = [self._labels.entry(i) for i in np.flatnonzero(~np.isfinite(sums)).tolist()]
        more = f" and {len(named) - 5} more entries" if len(named) > 5 else ""
        raise FloatingPointError(f"NaN or infinite elements: {', '.join(named[:5])}{more}")

    def _copy(self, base: int, stream: int, *, stores: bool) -> None:
        """Copy arrays with gaps to their buffers, or back."""
        for gap, description, buffer, is_store in self._table.copies:
            if is_store == stores and gap.elements:
                driver.launch(
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
