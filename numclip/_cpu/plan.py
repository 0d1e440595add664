"""A list of NumPy arrays, checked and packed, to be clipped at once or again and again."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import overlap
from numclip._arrays.devices import refuse_mixed
from numclip._arrays.entries import prepare
from numclip._arrays.foreign import lent
from numclip._arrays.labels import LIST, Labels
from numclip._arrays.memory import count_nonfinite, guards
from numclip._arrays.options import DEFAULT, Options, threshold
from numclip._arrays.output import NEW, NONE, resolve
from numclip._arrays.pool import results_like
from numclip._core.contract import COLUMNS, DOWN, SMALLEST_SUM, SOURCE, TARGET, TYPECODE
from numclip._core.dtypes import FLOAT64, REALS
from numclip._core.environment import default_environment
from numclip._core.scalars import as_float32
from numclip._cpu import abi, kernels, pack_by_python, strict, threads
from numclip._cpu.orders import Measure, magnitudes
from numclip._cpu.pack import GIVEN_TARGETS, NEW_TARGETS, NO_TARGETS

Array = NDArray[Any]
Threshold = float | Callable[[float], Any]


def arguments(t_list: Any, output: Any) -> tuple[list[Any], list[Any], int]:
    """Return the entries as a new list, the list of their targets, and the mode."""
    sources, targets = resolve(t_list, output)
    if targets is NEW:
        return sources, results_like(sources), NEW_TARGETS
    if targets is NONE:
        return sources, sources, NO_TARGETS
    return sources, targets, GIVEN_TARGETS  # type: ignore[return-value]


class Plan:
    """The packed form of a list, and of the arrays that receive the results; see `numclip._backend.Plan`.

    A plan that is `kept` for many calls keeps the addresses of all arrays valid, and the sums of its last
    call.
    """

    __slots__ = (
        "_compensated",
        "_fused",
        "_guards",
        "_in_place",
        "_kept",
        "_labels",
        "_last_prescale",
        "_last_sums",
        "_loads",
        "_measure",
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
        packed: bytearray | None = None,
        *,
        kept: bool = False,
    ) -> None:
        # The rows hold addresses of the arrays in these lists: the lists live as long as the plan.
        self._sources, self._targets, self.results = sources, targets, targets
        self._labels = labels
        self._guards: Any = ()
        self._loads: list[tuple[Array, Array]] = []
        self._stores: list[tuple[Array, Array, bool]] = []
        if packed is None:
            self._rows = np.empty((len(sources), COLUMNS), np.int64)
            done = self._pack(0, mode)
        else:
            table = np.frombuffer(packed, np.int64).reshape(-1, COLUMNS)  # of `kernels.clip_list`
            self._rows = table[:-1]
            done, self._typecodes, self._total, overlaps, _ = table[-1].tolist()
            if overlaps:
                overlap.check(sources, targets, labels)
        if done < len(sources):
            done = self._borrow(done, mode)
        if done < len(sources):
            self._prepare(done, mode)
        self._compensated = bool(self._typecodes & 1 << FLOAT64)
        self._in_place = targets is sources and not self._stores
        self._measure: Measure | None = None
        self._kept: NDArray[np.float64] | None = None
        if kept:
            self._guards = guards(self._arrays())
            self._kept = np.zeros(2 * len(sources) + 1)
            self._last_sums = self._kept[:-1].reshape(2, -1)
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

    def _borrow(self, done: int, mode: int) -> int:
        """Replace PyTorch tensors by arrays of their memory, if possible, and pack on, as `_pack`."""
        sources, targets = lent(self._sources), self._targets
        if sources is None:
            return done
        if mode == NEW_TARGETS:
            self.results = targets = results_like(sources)
        elif mode == GIVEN_TARGETS:
            targets = sources if targets is self._sources else lent(targets) or targets
        self._sources, self._targets = sources, targets
        return self._pack(done, mode)

    def _prepare(self, done: int, mode: int) -> None:
        """Replace the entries that are not plain arrays by flat plain ones, and pack them."""
        sources, targets = self._sources.copy(), self._targets.copy()
        # Reading an entry may execute third-party code, which must not resize arrays that are packed already.
        self._guards = guards((*sources, *targets))
        self._sources, self._targets, self.results = sources.copy(), targets.copy(), self.results.copy()
        while done < len(sources):
            output: Any = {NO_TARGETS: NONE, NEW_TARGETS: NEW}.get(mode, targets[done])
            refuse_mixed(sources, done, self._labels)
            label, target_label = self._labels.entry(done), self._labels.target(done)
            plain = prepare(sources[done], output, label, target_label)
            sources[done], targets[done] = plain.source, plain.target
            self._sources[done], self._targets[done] = plain.flat_source, plain.flat_target
            abi.register(plain.flat_source.dtype)
            if mode == NEW_TARGETS:
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

    def _clip_at_once(self) -> Callable[[float, float, float], tuple[Any, float]] | None:
        """Return f(eps, loss_scale, clip_norm), which clips a list of one typecode by one thread, or None."""
        typecode = self.typecode
        if not typecode or self._total > threads.policy.serial_elements or not abi.IS_AS_EXPECTED:
            return None
        kept = 0 if self._kept is None else self._kept.ctypes.data
        arguments = self._rows.ctypes.data, len(self._rows), typecode, *abi.scalar_addresses(typecode), kept
        return partial(kernels.clip_rows(typecode), *arguments)

    def as_function(self, options: Options = DEFAULT) -> Callable[[Any], tuple[Any, float]]:
        """Return `clip` with these options: the machine code itself, if that does all of it."""
        if self._fused is None or self._loads or self._stores or not is_fused(options):
            return partial(self.clip, options=options)
        return partial(self._fused, options.eps, options.loss_scale)

    def _arrays(self) -> list[Array]:
        """Return every array whose memory the plan reads or writes."""
        staged = [array for load in self._loads for array in load] + [store[0] for store in self._stores]
        return [array for array in (*self._sources, *self._targets, *staged) if array is not None]

    def clip(
        self, clip_norm: Threshold, use_norm: float | None = None, options: Options = DEFAULT
    ) -> tuple[Any, float]:
        """Clip the arrays as they are now; return (norm, factor)."""
        self._load()
        fused = self._fused if use_norm is None and is_fused(options) else None
        if fused is not None and not callable(clip_norm):
            norm, factor = fused(options.eps, options.loss_scale, clip_norm)
        else:
            norm, factor = self._clip_in_parts(clip_norm, use_norm, options)
        self._store(factor)
        return norm, factor

    def sums(self, prescale: float = 1.0) -> tuple[Array, Array, Array]:
        """Return three arrays: of each entry the sum of squares, its error, and whether the entry is 64-bit.

        An array has the same sum in every list: its own element type decides whether the sum is compensated.
        Prescaled sums are compensated for all types.
        """
        self._load()
        sums, errors = np.zeros((2, len(self._rows)))
        blocks = threads.policy.blocks(self._total)
        with threads.policy.noting_workers() if blocks > 1 else nullcontext():
            for typecode in self._each_typecode():
                flag = True if typecode == FLOAT64 or prescale != 1.0 else None
                sum_squares = kernels.sum_squares(typecode, flag is not None, parallel=blocks > 1)
                sum_squares(self._rows, typecode, blocks, prescale, flag, sums, errors)
        return sums, errors, self._rows[:, TYPECODE] == FLOAT64

    def scale(self, factor: float, prefactor: float) -> None:
        """Write the clipped values of the arrays that `sums` read."""
        blocks = threads.policy.blocks(self._total)
        with threads.policy.noting_workers() if blocks > 1 else nullcontext():
            self._scale(blocks, factor, prefactor)
        self._store(factor * prefactor)

    def _store(self, factor: float) -> None:
        for target, buffer, in_place in self._stores:
            if not (in_place and factor == 1.0):
                np.copyto(target, buffer)

    def _load(self) -> None:
        for buffer, array in self._loads:
            np.copyto(buffer, array)

    def _clip_in_parts(
        self, clip_norm: Threshold, use_norm: float | None, options: Options
    ) -> tuple[Any, float]:
        """Sum, decide and scale one after the other, each for all typecodes."""
        if options.strict and use_norm is not None:
            raise ValueError("strict clips by the norm of the arrays themselves: leave out use_norm")
        blocks = threads.policy.blocks(self._total)
        with threads.policy.noting_workers() if blocks > 1 else nullcontext():
            if use_norm is None:
                norm_of_elements = self._norm(blocks, options)
            else:
                norm_of_elements = _times(use_norm, options.loss_scale)
            is_finite = math.isfinite(norm_of_elements[0])
            if not is_finite and options.nonfinite == "raise":
                self._refuse_nonfinite(use_norm)
            if callable(clip_norm):
                known, *_ = kernels.decide()(
                    *norm_of_elements, math.inf, 0.0, options.loss_scale, self._compensated
                )
                clip_norm = threshold(clip_norm, known if use_norm is None else use_norm)
            compensated = self._compensated or use_norm is not None  # a given norm is not rounded
            norm, factor, prefactor, product = kernels.decide()(
                *norm_of_elements, clip_norm, options.eps, options.loss_scale, compensated
            )
            if not is_finite and options.nonfinite == "zero":
                factor = prefactor = product = 0.0
            if options.strict and is_finite and 0.0 < clip_norm < math.inf:
                product = self._scale_strictly(blocks, norm_of_elements, clip_norm, options)
            else:
                self._scale(blocks, factor, prefactor)
        if use_norm is not None:
            return use_norm, product
        return (np.float64 if self._compensated else as_float32)(norm), product

    def _scale(self, blocks: int, factor: float, prefactor: float) -> None:
        # Skip the launch if nothing will be written: waking a pool can cost a scheduling delay.
        if factor == prefactor == 1.0 and self._in_place:
            return
        for typecode in self._each_typecode():
            kernels.scale(typecode, parallel=blocks > 1)(self._rows, typecode, blocks, factor, prefactor)

    def _scale_strictly(
        self, blocks: int, norm: tuple[float, float, float], clip_norm: float, options: Options
    ) -> float:
        """Write results whose exact norm is at most clip_norm; return the factor."""
        factor = strict.factor_below(*norm, clip_norm, options, self._sources)
        if factor is None:
            self._scale(blocks, 1.0, 1.0)
            return 1.0
        for typecode in self._each_typecode():
            strict.scale_below(typecode, parallel=blocks > 1)(self._rows, typecode, blocks, *factor)
        return factor.value

    def _norm(self, blocks: int, options: Options) -> tuple[float, float, float]:
        """Return (norm_hi, norm_lo, prescale): the norm of the elements is (norm_hi + norm_lo) / prescale."""
        if options.order != 2.0:
            self._measure = self._measured(options.order, blocks)
            return *self._measure.of_list(), 1.0
        compensated = self._compensated or options.strict
        self._measure, flag = None, True if compensated else None
        sums, errors = self._sums(blocks, 1.0, compensated)
        norm_hi, norm_lo, prescale = kernels.norm_of_sums(compensated)(sums, errors, flag)
        if prescale != 1.0:
            sums, errors = self._sums(blocks, prescale, compensated)
            norm_hi, norm_lo, _ = kernels.norm_of_sums(compensated)(sums, errors, flag)
        return norm_hi, norm_lo, prescale

    def _sums(self, blocks: int, prescale: float, compensated: bool) -> NDArray[np.float64]:
        """Return the sums of squares of all entries, of elements times `prescale`, and their errors."""
        flag = True if compensated else None
        if self._kept is None:
            sums = self._last_sums = np.zeros((2, len(self._rows)))
            self._last_prescale = prescale
        else:
            sums = self._last_sums
            self._kept[:-1], self._kept[-1] = 0.0, prescale
        for typecode in self._each_typecode():
            sum_squares = kernels.sum_squares(typecode, compensated, parallel=blocks > 1)
            sum_squares(self._rows, typecode, blocks, prescale, flag, sums[0], sums[1])
        return sums

    def _measured(self, order: float, blocks: int) -> Measure:
        """Take the sums for a norm of an order other than 2."""
        plan = self
        if any(array is not None and array.dtype.kind == "c" for array in self._sources):
            sources = magnitudes(self._sources)
            plan = Plan(sources, sources, NO_TARGETS)
        return Measure(
            *(plan._rows, plan._each_typecode(), order), compensated=plan._compensated, blocks=blocks
        )

    def tensor_norms(self, order: float, loss_scale: float = 1.0) -> list[Any]:
        """Return the norm of each array as it is now."""
        self._load()
        self._norm(threads.policy.blocks(self._total), Options(order))
        return self.last_tensor_norms(loss_scale)

    def last_tensor_norms(self, loss_scale: float = 1.0, factor: float = 1.0) -> list[Any]:
        """Return the norm that each array had in the last call, whose factor was `factor`."""
        norms = self._norms_of_sums(factor) if self._measure is None else self._measure.of_rows()
        with default_environment():
            return [
                None
                if source is None
                else (np.float64 if typecode == FLOAT64 else as_float32)(norm / loss_scale)
                for source, norm, typecode in zip(
                    self._sources, norms, self._rows[:, TYPECODE].tolist(), strict=True
                )
            ]

    def _norms_of_sums(self, factor: float) -> list[float]:
        """Return the roots of the kept sums; an array whose sum has left float64's range is summed again."""
        sums, errors = self._last_sums
        norms = np.empty(len(sums))
        prescale = self._last_prescale if self._kept is None else float(self._kept[-1])
        kernels.norms_of_rows()(sums, errors, prescale, norms)
        values: list[float] = norms.tolist()
        narrow = (self._rows[:, TYPECODE] != FLOAT64) & (prescale == 1.0)
        lost = ~narrow & ((sums < SMALLEST_SUM) | (sums == math.inf))
        for i in np.flatnonzero(lost).tolist():
            array = self._sources[i]
            value = float(Plan([array], [array], NO_TARGETS).clip(math.inf)[0])
            if self._rows[i, SOURCE] == self._rows[i, TARGET]:
                value = value / factor if factor else math.nan  # zeros do not tell what they were
            values[i] = value
        return values

    def _refuse_nonfinite(self, use_norm: float | None) -> None:
        """Raise for a norm that is not finite, naming the entries with such elements."""
        if use_norm is not None:
            raise FloatingPointError(f"use_norm is {use_norm}")
        named = [
            f"{self._labels.entry(i)} has {nans} NaN and {infinities} infinite elements"
            for i, array in enumerate(self._sources)
            if array is not None
            for nans, infinities in [count_nonfinite(array)]
            if nans or infinities
        ]
        more = f"; and {len(named) - 5} more entries" if len(named) > 5 else ""
        raise FloatingPointError("; ".join(named[:5]) + more)

    def _each_typecode(self) -> list[int]:
        return [typecode for typecode in REALS if self._typecodes >> typecode & 1]


def is_fused(options: Options) -> bool:
    """Tell whether these options are possible in the kernels that sum, decide and scale in one call."""
    return options.order == 2.0 and options.nonfinite == "nan" and not options.strict


def _times(norm: float, scale: float) -> tuple[float, float, float]:
    """Return norm * scale as (norm_hi, norm_lo, prescale), of which the sum is exact."""
    if scale == 1.0 or not math.isfinite(norm):
        return norm, 0.0, 1.0
    with default_environment():
        prescale = 1.0 if math.isfinite(norm * scale) else DOWN
        exact = Fraction(norm) * Fraction(scale) * Fraction(prescale)
        return float(exact), float(exact - Fraction(float(exact))), prescale
