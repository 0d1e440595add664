"""A list of NumPy arrays, checked and packed, to be clipped at once or again and again."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import overlap
from numclip._arrays.devices import refuse_mixed
from numclip._arrays.entries import prepare
from numclip._arrays.labels import LIST, Labels
from numclip._arrays.memory import guards
from numclip._arrays.output import NEW, NONE, resolve
from numclip._arrays.pool import results_like
from numclip._core.contract import COLUMNS, TYPECODE
from numclip._core.dtypes import FLOAT64, REALS
from numclip._core.scalars import as_float32
from numclip._cpu import abi, kernels, pack_by_python, threads
from numclip._cpu.pack import GIVEN_TARGETS, NEW_TARGETS, NO_TARGETS

Array = NDArray[Any]
# What `kernels.clip_list` gives of a list that it leaves to a plan: the rows, how many of them are filled,
# and of a whole list the bit mask of its typecodes, its reals, and whether a target may overlap another
# entry.
Packed = tuple[NDArray[np.int64], int, int, int, bool]


def arguments(t_list: Any, output: Any) -> tuple[list[Any], list[Any], int]:
    """Return the entries as a new list, the list of their targets, and what these are."""
    sources, targets = resolve(t_list, output)
    if targets is NEW:
        return sources, results_like(sources), NEW_TARGETS
    if targets is NONE:
        return sources, sources, NO_TARGETS
    return sources, targets, GIVEN_TARGETS  # type: ignore[return-value]


class Plan:
    """The packed form of a list, and of the arrays that receive the results; see `numclip._backend.Plan`."""

    __slots__ = (
        "_compensated",
        "_fused",
        "_guards",
        "_in_place",
        "_labels",
        "_loads",
        "_rows",
        "_sources",
        "_stores",
        "_targets",
        "_total",
        "_typecodes",
        "results",
    )

    def __init__(
        self,
        sources: list[Any],
        targets: list[Any],
        mode: int,
        labels: Labels = LIST,
        packed: Packed | None = None,
    ) -> None:
        # The rows hold addresses in the arrays of these lists, which therefore live as long as the plan.
        self._sources, self._targets, self.results = sources, targets, targets
        self._labels = labels
        self._guards: Any = ()
        self._loads: list[tuple[Array, Array]] = []
        self._stores: list[tuple[Array, Array, bool]] = []
        if packed is None:
            self._rows = np.empty((len(sources), COLUMNS), np.int64)
            done = self._pack(0, mode)
        else:
            self._rows, done, self._typecodes, self._total, overlaps = packed
            if overlaps:
                overlap.check(sources, targets, labels)
        if done < len(sources):
            self._prepare(done, mode)
        self._compensated = bool(self._typecodes & 1 << FLOAT64)
        self._in_place = targets is sources and not self._stores
        self._fused = self._clip_at_once()

    def _pack(self, start: int, mode: int) -> int:
        """Fill the rows from `start` on; return where an entry needs to be prepared, or the end."""
        done: int
        pack_list = kernels.pack_list() if abi.IS_AS_EXPECTED else pack_by_python.pack_list
        done, self._typecodes, self._total, overlaps = pack_list(
            self._sources, self._targets, abi.ADDRESS, self._rows, start, mode
        )
        if overlaps:
            overlap.check(self._sources, self._targets, self._labels)
        return done

    def _prepare(self, done: int, mode: int) -> None:
        """Replace the entries that are not plain by flat arrays that are, and pack those."""
        sources, targets = self._sources.copy(), self._targets.copy()
        # From here on code of the entries may run, and addresses have been taken already.
        self._guards = guards((*sources, *targets))
        self._sources, self._targets, self.results = sources.copy(), targets.copy(), targets.copy()
        while done < len(sources):
            output: Any = {NO_TARGETS: NONE, NEW_TARGETS: NEW}.get(mode, targets[done])
            refuse_mixed(sources, done, self._labels)
            label, target_label = self._labels.entry(done), self._labels.target(done)
            plain = prepare(sources[done], output, label, target_label)
            sources[done], targets[done] = plain.source, plain.target
            self._sources[done], self._targets[done] = plain.flat_source, plain.flat_target
            abi.register(plain.flat_source.dtype)
            self.results[done] = plain.result
            self._loads += plain.loads
            self._stores += plain.stores
            stopped, done = done, self._pack(done, mode)
            if done == stopped:
                raise RuntimeError(f"{label} could not be packed")
        if self._stores and mode == GIVEN_TARGETS:
            overlap.check(sources, targets, self._labels)

    @property
    def typecode(self) -> int:
        """The typecode of all arrays, or 0 if there are several."""
        return self._typecodes.bit_length() - 1 if self._typecodes.bit_count() == 1 else 0

    def _clip_at_once(self) -> Callable[[float], tuple[Any, float]] | None:
        """Return what clips a list of one typecode by one thread, or None for other lists."""
        typecode = self.typecode
        if not typecode or self._total > threads.policy.serial_elements or not abi.IS_AS_EXPECTED:
            return None
        address, count = self._rows.ctypes.data, len(self._rows)
        return partial(kernels.clip_rows(typecode), address, count, typecode, *abi.scalar_addresses(typecode))

    def guard(self) -> None:
        """Keep the addresses of all arrays valid for the life of the plan: NumPy resizes none of them."""
        self._guards = guards(self._arrays())

    def as_function(self) -> Callable[[float], tuple[Any, float]]:
        """Return `clip` without a use_norm: the machine code itself where that does it all."""
        return self.clip if self._fused is None or self._loads or self._stores else self._fused

    def _arrays(self) -> list[Array]:
        """Return every array whose memory the plan reads or writes."""
        staged = [array for load in self._loads for array in load] + [store[0] for store in self._stores]
        return [array for array in (*self._sources, *self._targets, *staged) if array is not None]

    def clip(self, clip_norm: float, use_norm: float | None = None) -> tuple[Any, float]:
        """Clip the arrays as they are now; return (norm, factor)."""
        self._load()
        if use_norm is None and self._fused is not None:
            norm, factor = self._fused(clip_norm)
        else:
            norm, factor = self._clip_in_parts(clip_norm, use_norm)
        self._store(factor)
        return norm, factor

    def sums(self, prescale: float = 1.0) -> tuple[Array, Array, Array]:
        """Return for each entry: its sum of squares as it is now, the error, if it is 64-bit.

        An array has the same sum in every list: its own element type decides whether the sum is compensated.
        Prescaled, all are.
        """
        self._load()
        sums, errors = np.zeros((2, len(self._rows)))
        blocks = threads.policy.blocks(self._total)
        with threads.policy.noting_workers() if blocks > 1 else nullcontext():
            for typecode in self._each_typecode():
                compensated = typecode == FLOAT64 or prescale != 1.0
                self._sum_rows(typecode, compensated, blocks, prescale, sums, errors)
        return sums, errors, self._rows[:, TYPECODE] == FLOAT64

    def scale(self, factor: float, prefactor: float) -> None:
        """Write the clipped values of what `sums` has read."""
        blocks = threads.policy.blocks(self._total)
        with threads.policy.noting_workers() if blocks > 1 else nullcontext():
            self._scale(blocks, factor, prefactor)
        self._store(factor * prefactor)

    def _load(self) -> None:
        for buffer, array in self._loads:
            np.copyto(buffer, array)

    def _store(self, factor: float) -> None:
        for target, buffer, in_place in self._stores:
            if not (in_place and factor == 1.0):
                np.copyto(target, buffer)

    def _clip_in_parts(self, clip_norm: float, use_norm: float | None) -> tuple[Any, float]:
        """Sum, decide and scale one after the other, each for all typecodes."""
        blocks = threads.policy.blocks(self._total)
        with threads.policy.noting_workers() if blocks > 1 else nullcontext():
            norm_hi, norm_lo, prescale = self._sum(blocks) if use_norm is None else (use_norm, 0.0, 1.0)
            compensated = self._compensated or use_norm is not None
            norm, *factors, product = kernels.decide()(norm_hi, norm_lo, prescale, clip_norm, compensated)
            self._scale(blocks, *factors)
        if use_norm is not None:
            return use_norm, product
        return (np.float64 if self._compensated else as_float32)(norm), product

    def _scale(self, blocks: int, factor: float, prefactor: float) -> None:
        # Skip the parallel launch if nothing will be written: waking the pool can cost a scheduling delay.
        if factor == prefactor == 1.0 and self._in_place:
            return
        for typecode in self._each_typecode():
            kernels.scale(typecode, parallel=blocks > 1)(self._rows, typecode, blocks, factor, prefactor)

    def _sum(self, blocks: int) -> tuple[float, float, float]:
        """Return (norm_hi, norm_lo, prescale): the norm is (norm_hi + norm_lo) / prescale."""
        norm_hi, norm_lo, prescale = self._sum_prescaled(blocks, 1.0)
        if prescale != 1.0:
            norm_hi, norm_lo, _ = self._sum_prescaled(blocks, prescale)
        return norm_hi, norm_lo, prescale

    def _sum_prescaled(self, blocks: int, prescale: float) -> tuple[float, float, float]:
        flag = True if self._compensated else None
        sums, errors = np.zeros((2, len(self._rows)))
        for typecode in self._each_typecode():
            self._sum_rows(typecode, self._compensated, blocks, prescale, sums, errors)
        norm: tuple[float, float, float] = kernels.norm_of_sums(self._compensated)(sums, errors, flag)
        return norm

    def _sum_rows(
        self, typecode: int, compensated: bool, blocks: int, prescale: float, sums: Array, errors: Array
    ) -> None:
        """Set the sums and errors of the rows of a typecode."""
        sum_squares = kernels.sum_squares(typecode, compensated, parallel=blocks > 1)
        sum_squares(self._rows, typecode, blocks, prescale, True if compensated else None, sums, errors)

    def _each_typecode(self) -> list[int]:
        return [typecode for typecode in REALS if self._typecodes >> typecode & 1]
