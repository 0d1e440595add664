"""A list of CUDA arrays, checked and packed, and clipped: nothing here waits for the device."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numclip._arrays import output as outputs
from numclip._arrays.labels import LIST, Labels
from numclip._arrays.options import DEFAULT, Options
from numclip._arrays.output import NONE, Output
from numclip._cuda.copies import copy_elements
from numclip._cuda.decision import use_given
from numclip._cuda.entries import check_overlap, read_list
from numclip._cuda.grid import COPY_THREADS, THREADS, WARPS
from numclip._cuda.norm import norm
from numclip._cuda.numbers import typecode_and_value
from numclip._cuda.pack import pack
from numclip._cuda.scaling import scale
from numclip._cuda.streams import handle_of, wait_for
from numclip._cuda.target import driver
from numclip._cuda.workspace import Workspace, shared_workspace


class Plan:
    """The packed form of a list of CUDA arrays, and of the arrays that receive the results.

    A plan that is kept has memory of its own, and uploads its table only once.
    """

    def __init__(
        self, t_list: Any, output: Any, labels: Labels = LIST, stream: Any = None, *, keep: bool = False
    ) -> None:
        # The lists keep the arrays alive for as long as the plan holds their addresses.
        self._sources, targets = outputs.resolve(t_list, output)
        listing = read_list(self._sources, targets, labels)
        self._device, self._reader, self._streams = listing.device, listing.reader, listing.streams
        self.results: list[Any] = listing.results
        self._table = pack(listing.rows, listing.gaps)
        if not isinstance(targets, Output) and not self._table.apart:
            self._table = pack(check_overlap(listing, self._sources, labels), listing.gaps)
        self._writes = targets is not NONE
        self._stream = stream
        self._kept: Workspace | None = None
        if keep:
            with driver.on_device(self._device):
                self._kept = Workspace(self._handle())
                self._kept.fill(self._table)
                driver.synchronize(self._kept.stream)  # once: a call on any stream finds the table there

    def clip(self, clip_norm: Any, use_norm: Any = None, options: Options = DEFAULT) -> tuple[Any, None]:
        """Clip the arrays as they are now; return (norm, None): only the device knows the factor."""
        return self._run(clip_norm, use_norm, None), None

    def as_function(self, options: Options = DEFAULT) -> Callable[[Any], tuple[Any, None]]:
        """Return `clip`."""
        return self.clip

    def sums(self, prescale: float = 1.0) -> Any:
        """Raise: the ranks of MPI share arrays on the CPU alone. No rank is left waiting, as all raise."""
        raise TypeError("numclip.mpi is for arrays on the CPU")

    def scale(self, factor: float, prefactor: float) -> None:
        """Raise, as `sums` does."""
        raise TypeError("numclip.mpi is for arrays on the CPU")

    def last_tensor_norms(self, loss_scale: float = 1.0, factor: Any = 1.0) -> list[Any]:
        """Raise: the norms of single arrays are measured on the CPU alone."""
        raise TypeError("tensor_norms is for arrays on the CPU")

    def factor(self, clip_norm: Any, use_norm: Any = None) -> tuple[Any, Any]:
        """Return (factor, norm), the factor as a 0-d float64 array of the library of the first array."""
        with driver.on_device(self._device):
            factor = self._reader.empty_scalar(np.float64, self._device)
        return factor, self._run(clip_norm, use_norm, factor)

    def _handle(self) -> int:
        if self._stream is not None:
            return handle_of(self._stream)
        return self._reader.current_stream(self._device)

    def _run(self, clip_norm: Any, use_norm: Any, factor: Any) -> Any:
        with driver.on_device(self._device):
            stream = self._handle()
            for pending in self._streams:
                if pending != stream:
                    wait_for(pending, stream)
            if self._kept is None and driver.is_capturing(stream):
                # Whenever the graph is replayed, another table may stand in the memory of the stream.
                raise RuntimeError("in a CUDA graph, call a numclip.Clipper that was made before")
            workspace = self._kept or shared_workspace(self._device, stream)
            with workspace.lock:
                workspace.fill(self._table)
                return self._launch(workspace.address, stream, clip_norm, use_norm, factor)

    def _launch(self, base: int, stream: int, clip_norm: Any, use_norm: Any, factor: Any) -> Any:
        table, reader = self._table, self._reader
        limit_typecode, limit = typecode_and_value(clip_norm)
        factor = 0 if factor is None else reader.address(factor)
        self._copy(base, stream, stores=False)
        blocks = -(-table.chunks // WARPS) or 1
        if use_norm is None:
            dtype = np.float64 if table.compensated else np.float32
            result = reader.empty_scalar(dtype, self._device)
            arguments = base, table.count, limit, reader.address(result), factor
            driver.launch(norm(table.typecodes, limit_typecode), blocks, THREADS, stream, *arguments)
        else:
            typecode, given = typecode_and_value(use_norm)
            driver.launch(use_given(limit_typecode, typecode), 1, 1, stream, base, limit, given, factor)
            result = use_norm
        if self._writes:
            in_place = int(table.in_place)
            driver.launch(scale(table.typecodes), blocks, THREADS, stream, base, table.count, in_place)
            self._copy(base, stream, stores=True)
        return result

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
