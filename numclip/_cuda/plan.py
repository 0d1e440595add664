"""A list of CUDA arrays, checked and packed, and clipped: nothing here waits for the device."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from numclip._arrays import output as outputs
from numclip._arrays.labels import LIST, Labels
from numclip._arrays.options import DEFAULT, Options
from numclip._arrays.output import NONE, Output
from numclip._cuda.entries import check_overlap, read_list
from numclip._cuda.launches import Launches
from numclip._cuda.numbers import Number
from numclip._cuda.pack import pack
from numclip._cuda.streams import Stream, stream_of, wait_for
from numclip._cuda.target import driver
from numclip._cuda.workspace import Workspace, workspaces


class Plan:
    """The packed form of a list of CUDA arrays, and of the arrays that receive the results.

    A plan that is kept has memory of its own, and uploads its table only once.
    """

    def __init__(
        self, t_list: Any, output: Any, labels: Labels = LIST, stream: Any = None, *, keep: bool = False
    ) -> None:
        # The lists keep the arrays alive for as long as the plan holds their addresses.
        self._sources, self._targets = outputs.resolve(t_list, output)
        self._stream = None if stream is None else stream_of(stream)
        self._listing = listing = read_list(self._sources, self._targets, labels, self._stream)
        self._device, self._reader = listing.device, listing.reader
        self.results: list[Any] = listing.results
        self._table = pack(listing.rows, listing.gaps)
        if not isinstance(self._targets, Output) and not self._table.apart:
            self._table = pack(check_overlap(listing, self._sources, labels), listing.gaps)
        self._launches = Launches(self._table, self._reader, self._device, labels)
        self._writes = self._targets is not NONE
        self._kept: Workspace | None = None
        self._factor: Any = None
        self._last = Stream(0)
        self._order: float | None = None  # of the norm that the sums in the memory are for
        if keep:
            self._keep()

    def _keep(self) -> None:
        """Allocate and fill memory of its own."""
        with driver.on_device(self._device):
            self._last = self._reader.current_stream(self._device)
            self._kept = Workspace(self._last.handle)
            self._kept.fill(self._table, self._reader, self._device)
            self._factor = self._reader.empty_scalar(np.float64, self._device)
            driver.synchronize(self._last.handle)  # so that the table is complete for any stream

    def clip(
        self, clip_norm: Number, use_norm: Number | None = None, options: Options = DEFAULT
    ) -> tuple[Any, Any]:
        """Clip the arrays as they are now; return (norm, factor).

        The factor is a 0-d array on the device, which the next call writes again; None if the plan is not
        kept.
        """
        return self._clip(clip_norm, use_norm, options, with_factor=False)

    def as_function(self, options: Options = DEFAULT) -> Callable[[Number], tuple[Any, Any]]:
        """Return `clip` with these options, after loading their kernels: a call then only launches them."""
        with driver.on_device(self._device):
            self._launches.load(options.order)
        return partial(self.clip, options=options)

    def factor(
        self, clip_norm: Number, use_norm: Number | None = None, options: Options = DEFAULT
    ) -> tuple[Any, Any]:
        """Return (factor, norm), the factor as a 0-d float64 array of the library of the first array."""
        norm, factor = self._clip(clip_norm, use_norm, options, with_factor=True)
        return factor, norm

    def tensor_norms(self, order: float) -> list[Any]:
        """Return the norm of each array as it is now, 0-d arrays of the library of the first array."""

        def launch(base: int, stream: int) -> list[Any]:
            self._launches.sum(base, stream, order)
            return self._launches.norms(base, stream, order, 1.0)

        norms: list[Any] = self._run(launch)
        return norms

    def last_tensor_norms(self, loss_scale: float = 1.0, factor: Any = 1.0) -> list[Any]:
        """Return the norm that each array had in the last call that computed a norm."""
        order = self._order
        if order is None:
            raise RuntimeError("no call has computed a norm yet: use_norm was given")
        norms: list[Any] = self._run(partial(self._launches.norms, order=order, loss_scale=loss_scale))
        return norms

    def sums(self, prescale: float = 1.0) -> Any:
        """Raise: numclip.mpi is for arrays on the CPU. All ranks raise, so none is left waiting."""
        raise TypeError("numclip.mpi is for arrays on the CPU")

    def scale(self, factor: float, prefactor: float) -> None:
        """Raise, as `sums` does."""
        raise TypeError("numclip.mpi is for arrays on the CPU")

    def _clip(
        self, clip_norm: Number, use_norm: Number | None, options: Options, *, with_factor: bool
    ) -> tuple[Any, Any]:
        if options.strict:
            raise TypeError("strict is for arrays on the CPU")

        def launch(base: int, stream: int) -> tuple[Any, Any]:
            reader, factor = self._reader, self._factor
            if with_factor:
                factor = reader.empty_scalar(np.float64, self._device)
            written = 0 if factor is None else reader.address(factor)
            numbers = clip_norm, use_norm, options, written
            norm = self._launches.clip(base, stream, *numbers, writes=self._writes)
            return norm, factor

        numbers = [number for number in (clip_norm, use_norm) if number is not None and number.reader]
        for number in numbers:
            if number.device != self._device:
                where = f"CUDA device {number.device}, the arrays are on {self._device}"
                raise ValueError(f"{number.label} is on {where}")
        if use_norm is None:
            self._order = options.order
        results: tuple[Any, Any] = self._run(launch, numbers, asks=callable(clip_norm.value))
        return results

    def _run(
        self, launch: Callable[[int, int], Any], numbers: list[Number] | None = None, *, asks: bool = False
    ) -> Any:
        """Call launch(base, stream), in order with other work on the arrays and the numbers.

        `asks` is for a call of a function of the caller, which may clip another list meanwhile.
        """
        numbers = numbers or []
        with driver.on_device(self._device):
            current = self._reader.current_stream(self._device)
            stream = self._stream or current
            # The current stream does not wait for the work on a stream that was given.
            others = self._other_streams(numbers) - {stream.handle, current.handle}
            for other in (others | {current.handle}) - {stream.handle}:
                wait_for(other, stream.handle)
            with nullcontext() if stream is current else self._reader.on_stream(stream, self._device):
                results = self._enqueue(stream, launch, numbers, asks=asks)
            for other in others:
                wait_for(stream.handle, other)
            return results

    def _enqueue(
        self, stream: Stream, launch: Callable[[int, int], Any], numbers: list[Number], *, asks: bool
    ) -> Any:
        moved = stream.handle != self._last.handle  # always, for a plan that is not kept
        capturing = moved and driver.is_capturing(stream.handle)
        if self._kept is None and capturing:
            # When the graph is replayed, the memory of the stream may hold another table.
            raise RuntimeError("in a CUDA graph, call a numclip.Clipper that was made before")
        if asks and self._kept is None:
            workspace = Workspace(stream.handle)
        else:
            workspace = self._kept or workspaces(self._device, stream.handle).of(self._table)
        with workspace.lock:
            if self._kept is not None and moved:
                if not capturing:
                    wait_for(self._last.handle, stream.handle)
                self._last = stream
            workspace.fill(self._table, self._reader, self._device)
            results = launch(workspace.address, stream.handle)
            if self._may_be_given_back(stream) and not capturing:
                values = self._sources, self._targets, numbers, workspace.memory
                workspace.held.hold(stream.handle, values)
        return results

    def _other_streams(self, numbers: list[Number]) -> set[int]:
        """Return the streams of other work on these arrays, before and after this call."""
        others = set(self._listing.streams)
        others.update(reader.current_stream(self._device).handle for reader in self._listing.readers[1:])
        for number in numbers:
            others.update(number.streams())
        return others

    def _may_be_given_back(self, stream: Stream) -> bool:
        """Tell whether memory could be reused while the stream still needs it, if nothing referred to it."""
        elsewhere = self._stream is not None or (
            self._kept is not None and self._kept.stream != stream.handle
        )
        return elsewhere or any(reader.reuses_memory for reader in self._listing.readers)
