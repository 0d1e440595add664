"""Sum, decide and scale, as the calls of Python do it: the same helpers, so that the bits are the same."""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numclip._core.contract import COLUMNS, FIRST_CHUNK, LENGTH
from numclip._core.dtypes import FLOAT64
from numclip._core.emit import emitter
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import helper, named_helper
from numclip._cpu import kernels
from numclip._cpu.blocks import chunks_of, scale_block, sum_block, typed_list
from numclip._cpu.njit.arguments import element_of, entries_of
from numclip._cpu.njit.containers import over_lists, over_tuples
from numclip._cpu.njit.packing import pack_rows_of
from numclip._cpu.njit.rows import write_strided
from numclip._cpu.pyobjects import stored
from numclip._cpu.typecodes import compensated_alone, typecode_type
from numclip._cpu.unowned import keep, unowned

emits = emitter(intrinsic)

_WRITE_STRIDED = {False: over_lists(write_strided), True: over_tuples(write_strided)}


@cache
def _typecode(code: int) -> Any:
    """Make the constant of a typecode."""

    @intrinsic
    def constant(typingctx: Any) -> Any:
        return typecode_type(code)(), lambda context, builder, signature, arguments: context.get_dummy_value()

    return constant


@cache
def _sum_all(codes: tuple[int, ...], compensated: Any) -> Any:
    """Make the sums of the rows of all these typecodes; `compensated` is None or True."""
    if not codes:
        return helper(_nothing)
    typecode, rest = _typecode(codes[0]), _sum_all(codes[1:], compensated)

    @named_helper(f"_sum_all_{'_'.join(map(str, codes))}_{compensated}")
    def sum_all(rows: Any, prescale: float, sums: Any, errors: Any) -> None:
        items, chunks = typed_list(rows, typecode())
        chunk_sums, chunk_errors = np.empty(chunks), np.empty(chunks)
        sum_block(items, typecode(), 0, chunks, prescale, compensated, chunk_sums, chunk_errors)
        kernels.gather_block(items, chunk_sums, chunk_errors, compensated, sums, errors, 0)
        rest(rows, prescale, sums, errors)

    return sum_all


@cache
def _scale_all(codes: tuple[int, ...]) -> Any:
    """Make the scaling of the rows of all these typecodes."""
    if not codes:
        return helper(_nothing)
    typecode, rest = _typecode(codes[0]), _scale_all(codes[1:])

    @named_helper(f"_scale_all_{'_'.join(map(str, codes))}")
    def scale_all(rows: Any, factor: float, prefactor: float, unused: None) -> None:
        items, chunks = typed_list(rows, typecode())
        scale_block(items, chunks, typecode(), 0, chunks, factor, prefactor)
        rest(rows, factor, prefactor, unused)

    return scale_all


def _nothing(rows: Any, a: Any, b: Any, c: Any) -> None:
    """Do nothing, for no typecodes."""


@cache
def _norm_of(codes: tuple[int, ...]) -> Any:
    """Make the norm of the elements of all rows, as (norm_hi, norm_lo, prescale)."""
    compensated = True if FLOAT64 in codes else None
    sum_all = _sum_all(codes, compensated)

    @named_helper(f"_norm_of_{'_'.join(map(str, codes))}")
    def norm_of(rows: Any, given: None) -> tuple[float, float, float]:
        sums, errors = np.zeros(len(rows)), np.zeros(len(rows))
        sum_all(rows, 1.0, sums, errors)
        norm_hi, norm_lo, prescale = kernels._norm_of_sums(sums, errors, compensated)
        if prescale != 1.0:
            sums[:], errors[:] = 0.0, 0.0
            sum_all(rows, prescale, sums, errors)
            norm_hi, norm_lo, _ = kernels._norm_of_sums(sums, errors, compensated)
        return norm_hi, norm_lo, prescale

    return norm_of


_stored = default_fpenv(helper(lambda norm, single: stored(norm, single)))


@emits(lambda bits: types.float32(types.float64))
def _single(emit: Any, bits: Any) -> Any:
    """Return the float32 that `stored` has packed."""
    integer = emit.builder.bitcast(bits, ir.IntType(64))
    return emit.builder.bitcast(emit.builder.trunc(integer, ir.IntType(32)), ir.FloatType())


@helper
def _double(bits: float) -> float:
    return bits


@cache
def _clip_at_once(code: int, is_tuple: bool, output: str) -> Any:
    """Make the clipping of blocks of one typecode, as `kernels.clip_list` does it."""
    pack_rows, typecode = pack_rows_of(is_tuple, output, False), _typecode(code)

    @named_helper(f"_clip_at_once_{code}_{is_tuple}_{output}")
    def clip(
        sources: Any, targets: Any, given: None, limit: float, eps: float, loss_scale: float
    ) -> tuple[float, float]:
        count, chunks = len(sources), 0
        rows = np.zeros((count, COLUMNS), np.int64)
        pack_rows(rows, sources, targets)
        if count > 0:
            chunks = rows[-1, FIRST_CHUNK] + chunks_of(rows[-1, LENGTH])
        size = chunks + 2 * count
        room = np.empty(2 * size)
        flag, sums, errors = compensated_alone(typecode()), unowned(room)[:size], unowned(room)[size:]
        bits, factor, _ = kernels._clip(
            unowned(rows), chunks, typecode(), flag, sums, errors, limit, eps, loss_scale
        )
        keep(rows)
        keep(room)
        return bits, factor

    return clip


@cache
def _clip_in_parts(codes: tuple[int, ...], is_tuple: bool, output: str, strided: bool, given: bool) -> Any:
    """Make the clipping of any arrays: sum, decide and scale one after the other."""
    pack_rows, scale_all = pack_rows_of(is_tuple, output, strided), _scale_all(codes)
    norm_of, is_single = _given_norm if given else _norm_of(codes), not given and FLOAT64 not in codes
    write = _WRITE_STRIDED[is_tuple] if strided and output != "none" else helper(_nothing_strided)
    names = *map(str, codes), is_tuple, output, strided, given

    @named_helper(f"_clip_in_parts_{'_'.join(map(str, names))}")
    def clip(
        sources: Any, targets: Any, given_norm: Any, limit: float, eps: float, loss_scale: float
    ) -> tuple[float, float]:
        rows = np.zeros((len(sources), COLUMNS), np.int64)
        buffers = pack_rows(rows, sources, targets)
        norm_hi, norm_lo, prescale = norm_of(rows, given_norm)
        norm, factor, prefactor, product = kernels._decide(
            norm_hi, norm_lo, prescale, limit, eps, loss_scale, not is_single
        )
        scale_all(rows, factor, prefactor, None)
        write((buffers, factor, prefactor), sources, targets)
        return _stored(norm, is_single), product

    return clip


def _nothing_strided(state: Any, sources: Any, targets: Any) -> None:
    """Do nothing, where the kernels write all there is."""


@helper
def _given_norm(rows: Any, given: float) -> tuple[float, float, float]:
    return given, 0.0, 1.0


def _is_block(array: Any) -> bool:
    return array.layout in "CF" and array.aligned


def clipping(sources: Any, targets: Any, output: str, given: bool) -> tuple[Any, Any]:
    """Return what clips containers of these types, and what makes the norm of the bits that it returns."""
    labelled = entries_of(sources, "t_list")
    elements = [element_of(label, typ) for label, typ in labelled]
    codes = tuple(sorted({element.typecode for element in elements if element is not None}))
    is_tuple = isinstance(sources, types.BaseTuple)
    pairs = [
        (source, target)
        for (_, source), (_, target) in zip(labelled, entries_of(targets, "out"), strict=True)
        if not isinstance(source, types.NoneType)
    ]
    strided = not all(
        _is_block(source) and _is_block(target) and source.layout == target.layout for source, target in pairs
    )
    if len(codes) == 1 and not strided and not given:
        clip = _clip_at_once(codes[0], is_tuple, output)
    else:
        clip = _clip_in_parts(codes, is_tuple, output, strided, given)
    return clip, _double if FLOAT64 in codes else _single
