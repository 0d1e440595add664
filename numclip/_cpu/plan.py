"""A list, checked and packed, and run: at once, or again and again."""

from contextlib import nullcontext
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import checks, overlap
from numclip._arrays.devices import refuse_mixed
from numclip._arrays.entries import prepare
from numclip._arrays.labels import LIST, Labels
from numclip._arrays.memory import guards
from numclip._arrays.pool import empty_like
from numclip._core.contract import COLUMNS
from numclip._core.dtypes import BY_NAME, FLOAT32, FLOAT64, REALS
from numclip._core.scalars import as_float32
from numclip._cpu import abi, compiled, threads
from numclip._cpu.pack import GIVEN_TARGETS, NEW_TARGETS, NO_TARGETS

Array = NDArray[Any]

_ALL_KINDS = sorted(REALS)


def arguments(t_list: Any, out: Any) -> tuple[list[Any], list[Any], int]:
    """Return the entries, their targets, and what the targets are.

    `out` is None where only the norm is wanted, ``...`` for new arrays, else the caller's targets.
    """
    sources = t_list.copy() if type(t_list) is list else checks.sequence(t_list, "t_list")
    if out is t_list:
        return sources, sources, GIVEN_TARGETS
    if out is ...:
        new = [empty_like(entry) if type(entry) is np.ndarray else None for entry in sources]
        return sources, new, NEW_TARGETS
    if out is None:
        return sources, sources, NO_TARGETS
    targets = checks.sequence(out, "out")
    if len(targets) != len(sources):
        raise ValueError(f"out has {len(targets)} entries, t_list has {len(sources)}")
    return sources, targets, GIVEN_TARGETS


class Plan:
    """The packed form of a list, and of the arrays that receive the results; made from `arguments`.

    `names` is what errors call the entries and their targets.
    """

    __slots__ = (
        "_all_in_place",
        "_clip",
        "_guards",
        "_kinds",
        "_loads",
        "_names",
        "_rows",
        "_single",
        "_sources",
        "_stores",
        "_targets",
        "_total",
        "results",
    )

    def __init__(self, sources: list[Any], targets: list[Any], mode: int, names: Labels = LIST) -> None:
        # The rows hold addresses in the arrays of these lists, which therefore live as long as the plan.
        self._sources, self._targets, self.results = sources, targets, targets
        self._names = names
        self._loads: list[tuple[Array, Array]] = []
        self._stores: list[tuple[Array, Array, bool]] = []
        self._rows = np.empty((len(sources), COLUMNS), np.int64)
        done = self._pack(0, mode)
        if done < len(sources):
            self._prepare(done, mode)
        self._single = not self._kinds & 1 << FLOAT64
        self._all_in_place = targets is sources and not self._stores
        self._clip = self._clip_at_once()

    def _pack(self, start: int, mode: int) -> int:
        """Fill the rows from `start` on; return where an entry needs to be prepared, or the end."""
        done: int
        done, self._kinds, self._total, overlaps = compiled.pack()(
            self._sources, self._targets, abi.ADDRESS, self._rows, start, mode
        )
        if overlaps:
            overlap.check(self._sources, self._targets, self._names)
        return done

    def _prepare(self, done: int, mode: int) -> None:
        """Replace the entries that are not plain by flat arrays that are, and pack those."""
        sources, targets = self._sources.copy(), self._targets.copy()
        # From here on code of the entries may run, and addresses have been taken already.
        self._guards = guards((*sources, *targets))
        self._sources, self._targets, self.results = sources.copy(), targets.copy(), targets.copy()
        while done < len(sources):
            target = ... if mode == NO_TARGETS else targets[done]
            refuse_mixed(sources, done, self._names)
            name, target_name = self._names.entry(done), self._names.target(done)
            plain = prepare(sources[done], target, name, target_name, new=mode == NEW_TARGETS)
            sources[done], targets[done] = plain.source, plain.target
            self._sources[done], self._targets[done] = plain.flat_source, plain.flat_target
            abi.register(plain.flat_source.dtype)
            self.results[done] = plain.result
            self._loads += plain.loads
            self._stores += plain.stores
            stopped, done = done, self._pack(done, mode)
            if done == stopped:
                raise RuntimeError(f"t_list[{done}] could not be packed")
        if self._stores and mode == GIVEN_TARGETS:
            overlap.check(sources, targets, self._names)

    def _clip_at_once(self) -> Any:
        """Return what clips a list of one kind by one thread, or None for other lists."""
        if self._kinds.bit_count() != 1 or self._total > threads.SERIAL_ELEMENTS:
            return None
        kind = self._kinds.bit_length() - 1
        scalar = abi.scalar_addresses(kind)
        arguments = (self._rows.ctypes.data, len(self._rows), *compiled.KIND_ARGUMENTS[kind], *scalar)
        return partial(compiled.clip_rows(kind), *arguments)

    def step(self) -> Any:
        """Return what clips: a function of the clip_norm that returns (norm, factor)."""
        return self.run if self._clip is None or self._loads or self._stores else self._clip

    def arrays(self) -> list[Array]:
        """Return every array whose memory the plan reads or writes."""
        staged = [array for load in self._loads for array in load] + [store[0] for store in self._stores]
        return [array for array in (*self._sources, *self._targets, *staged) if array is not None]

    def run(self, clip_norm: float, use_norm: float | None = None) -> tuple[Any, float]:
        """Clip, and return (norm, factor)."""
        for buffer, array in self._loads:
            np.copyto(buffer, array)
        if use_norm is None and self._clip is not None:
            norm, factor = self._clip(clip_norm)
        else:
            norm, factor = self._run_in_parts(clip_norm, use_norm)
        for target, buffer, in_place in self._stores:
            if not (in_place and factor == 1.0):
                np.copyto(target, buffer)
        return norm, factor

    def _run_in_parts(self, clip_norm: float, use_norm: float | None) -> tuple[Any, float]:
        """Run what is not one kind on one thread: a sum and a scaling for each kind."""
        blocks = threads.blocks(self._total)
        with threads.noting_workers() if blocks > 1 else nullcontext():
            root, rest, unit = self._root(blocks) if use_norm is None else (use_norm, 0.0, 1.0)
            single = self._single and use_norm is None
            norm, factor, step, whole, clips = compiled.decide()(root, rest, unit, clip_norm, single)
            # Where nothing is to be written, threads are not asked to find that out: after a product they
            # may have to wait for a core.
            if clips or not self._all_in_place:
                for kind, dtype, _ in self._each_kind():
                    compiled.scale_all(kind, blocks > 1)(self._rows, kind, dtype, blocks, factor, step)
        if use_norm is not None:
            return use_norm, whole
        return (as_float32 if self._single else np.float64)(norm), whole

    def _root(self, blocks: int) -> tuple[float, float, float]:
        """Return (root, rest, unit): the norm is (root + rest) / unit."""
        root, rest, unit = self._root_of(blocks, 1.0)
        if unit == 1.0:
            return root, rest, unit
        return *self._root_of(blocks, unit)[:2], unit

    def _root_of(self, blocks: int, unit: float) -> tuple[float, float, float]:
        wide = not self._single
        flag = True if wide else None
        sums, errors = np.zeros((2, len(self._rows)))
        for kind, dtype, _ in self._each_kind():
            square_sums = compiled.square_sums(kind, wide, blocks > 1)
            square_sums(self._rows, kind, dtype, blocks, unit, flag, sums, errors)
        combined: tuple[float, float, float] = compiled.combine(wide)(sums, errors, flag)
        return combined

    def _each_kind(self) -> list[tuple[int, Any, Any]]:
        return [compiled.KIND_ARGUMENTS[kind] for kind in _ALL_KINDS if self._kinds >> kind & 1]


@cache
def _at_once(kind: int) -> tuple[Any, ...]:
    """Return the kernel for a list of one kind, and what that is told of the kind."""
    return compiled.clip_list(kind), *compiled.KIND_ARGUMENTS[kind]


def _first_kind(entries: list[Any]) -> int:
    """Return the kind of the first plain array, so that nothing is compiled for another one."""
    names = (entry.dtype.name for entry in entries if type(entry) is np.ndarray)
    return next((BY_NAME[name].typecode for name in names if name in BY_NAME), FLOAT32)


_kind = 0  # of the list before, as most programs have lists of one kind; 0 before the first one


def clip(t_list: Any, out: Any, clip_norm: float, names: Labels = LIST) -> tuple[list[Any], Any, float]:
    """Clip once, and return (results, norm, factor)."""
    global _kind  # noqa: PLW0603 no more than a guess, so it does not matter which thread set it
    sources, targets, mode = arguments(t_list, out)
    most = threads.SERIAL_ELEMENTS
    kind = _kind or _first_kind(sources)
    while True:
        kernel, _, dtype, wide = _at_once(kind)
        kinds, norm, factor = kernel(sources, targets, abi.ADDRESS, mode, kind, dtype, wide, clip_norm, most)
        if kinds == 1 << kind:
            _kind = kind
            return targets, norm, factor
        if kinds > 0 and kinds.bit_count() == 1:
            kind = kinds.bit_length() - 1
        elif kinds < 0 and threads.serial_elements() > most:
            most = threads.serial_elements()
        else:
            plan = Plan(sources, targets, mode, names)
            return plan.results, *plan.run(clip_norm)
