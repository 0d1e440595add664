"""The launches of a call: one kernel after the other on a stream, in the memory of the list's table."""

import math
from typing import Any

import numpy as np

from numclip._arrays.labels import Labels
from numclip._arrays.options import Options, threshold
from numclip._core.dtypes import FLOAT64, NOTHING
from numclip._cuda.array_norms import norms_of_arrays
from numclip._cuda.copies import copy_elements
from numclip._cuda.decision import decide_again, use_given
from numclip._cuda.grid import COPY_THREADS, THREADS, WARPS
from numclip._cuda.norm import norm
from numclip._cuda.numbers import Number
from numclip._cuda.orders import SQUARES, summands_of
from numclip._cuda.pack import Table
from numclip._cuda.scaling import scale
from numclip._cuda.table import ARRAY_SUMS, NORM_HI, RETURNED, SUM
from numclip._cuda.target import driver


def load_kernels(typecodes: tuple[int, ...], order: float = 2.0, *, has_complex: bool = False) -> None:
    """Compile and load, for this thread's device, the kernels of a call with norms from the host."""
    for summand in summands_of(order, FLOAT64 in typecodes):
        driver.load(norm(summand, typecodes, has_complex, None))
    driver.load(use_given(None, None))
    driver.load(scale(typecodes))


class Launches:
    """The launches for one table; `base` is the address of its memory."""

    def __init__(self, table: Table, reader: Any, device: int, labels: Labels) -> None:
        self._table, self._reader, self._device, self._labels = table, reader, device, labels
        self._blocks = -(-table.chunks // WARPS) or 1

    def load(self, order: float) -> None:
        """Load the kernels for a norm of this order."""
        load_kernels(self._table.typecodes, order, has_complex=self._has_complex(order))
        for gap, *_, is_store in self._table.copies:
            driver.load(copy_elements(gap.item, is_store))

    def clip(
        self,
        base: int,
        stream: int,
        clip_norm: Number,
        use_norm: Number | None,
        options: Options,
        factor: int,
        *,
        writes: bool,
    ) -> Any:
        """Sum, decide and scale; return the norm, or None if it is given.

        The factor goes to the address `factor`, if that is not 0.
        """
        self._copy(base, stream, stores=False)
        limit = math.inf if callable(clip_norm.value) else clip_norm.value
        rest, result = (options.eps, options.loss_scale, int(options.nonfinite == "zero")), None
        if use_norm is None:
            result = self._reader.empty_scalar(
                np.float64 if self._table.has_float64 else np.float32, self._device
            )
            numbers = limit, *rest, options.order, self._reader.address(result), factor
            self._sum(base, stream, options.order, clip_norm.typecode, numbers)
        else:
            kernel = use_given(clip_norm.typecode, use_norm.typecode)
            driver.launch(kernel, 1, 1, stream, base, limit, use_norm.value, *rest, factor)
        if options.nonfinite == "raise":
            self._refuse_nonfinite(base, stream, use_norm)
        if callable(clip_norm.value):
            [known] = driver.download(base + 8 * RETURNED, 1, stream)
            limit = threshold(clip_norm.value, known)
            driver.launch(decide_again(), 1, 1, stream, base, limit, *rest, factor)
        if writes:
            kernel, in_place = scale(self._table.typecodes), int(self._table.in_place)
            driver.launch(kernel, self._blocks, THREADS, stream, base, self._table.count, in_place)
            self._copy(base, stream, stores=True)
        return result

    def sum(self, base: int, stream: int, order: float) -> None:
        """Compute the sums for a norm of this order, and nothing else."""
        self._copy(base, stream, stores=False)
        norm = base + 8 * RETURNED  # which the decision writes as well
        self._sum(base, stream, order, None, (math.inf, 0.0, 1.0, 0, order, norm, 0))

    def norms(self, base: int, stream: int, order: float, loss_scale: float) -> list[Any]:
        """Return the norm of each array from the last sums, which are for a norm of this order."""
        table = self._table
        codes = table.typecodes_of_rows
        made: dict[Any, tuple[list[Any], int]] = {np.float32: ([], 0), np.float64: ([], 0)}
        for dtype in {_dtype(code) for code in codes}:
            made[dtype] = self._reader.empty_scalars(table.count, dtype, self._device)
        summand = SQUARES if order == 2.0 else summands_of(order, table.has_float64)[-1]
        kernel = norms_of_arrays(summand, table.typecodes, self._has_complex(order))
        addresses = made[np.float32][1], made[np.float64][1]
        driver.launch(kernel, table.count, THREADS, stream, base, table.count, loss_scale, *addresses)
        return [None if code == NOTHING else made[_dtype(code)][0][row] for row, code in enumerate(codes)]

    def _has_complex(self, order: float) -> bool:
        """Tell whether complex elements are summed by magnitude: for squares, they are pairs of reals."""
        return self._table.has_complex and order != 2.0

    def _sum(
        self, base: int, stream: int, order: float, limit_typecode: int | None, arguments: tuple[Any, ...]
    ) -> None:
        table, has_complex = self._table, self._has_complex(order)
        for summand in summands_of(order, table.has_float64):
            kernel = norm(summand, table.typecodes, has_complex, limit_typecode)
            driver.launch(kernel, self._blocks, THREADS, stream, base, table.count, *arguments)

    def _refuse_nonfinite(self, base: int, stream: int, use_norm: Number | None) -> None:
        """Raise for a norm that is not finite, naming the entries with such elements; the host waits."""
        [norm_hi] = driver.download(base + 8 * NORM_HI, 1, stream)
        if math.isfinite(norm_hi):
            return
        if use_norm is not None:
            raise FloatingPointError(f"use_norm is {norm_hi}")
        place, width = base + int(self._table.words[ARRAY_SUMS]), SUM // 8
        sums = driver.download(place, width * self._table.count, stream)[::width]
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


def _dtype(typecode: int) -> Any:
    return np.float64 if typecode == FLOAT64 else np.float32
