"""A call inside compiled code, for arguments of given types."""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from numclip._core.contract import COLUMNS, TARGET
from numclip._core.dtypes import FLOAT32
from numclip._core.jit import helper, named_helper, outlined_helper
from numclip._cpu.njit.arguments import (
    check_types,
    check_values,
    element_of,
    entries_of,
    is_none,
    refuse,
)
from numclip._cpu.njit.clipping import clip_rows_of
from numclip._cpu.njit.containers import new_like, new_type, over
from numclip._cpu.njit.packing import as_block, check_rows, fill, is_row, write_back
from numclip._cpu.unowned import keep, unowned

__all__ = ["clip_of", "kept_with_code", "refuse"]


def kept_with_code(value: Any) -> Any:
    """Make a function for compiled code: a file with the code of a caller of it keeps the value too."""

    @intrinsic
    def keep_with_code(typingctx: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            context.environment.consts.append(value)
            return context.get_dummy_value()

        return types.void(), codegen

    return keep_with_code


@helper
def _first(first: Any, second: Any) -> Any:
    return first


@helper
def _second(first: Any, second: Any) -> Any:
    return second


@helper
def _number(value: Any) -> float:
    return np.float64(value)


@helper
def _no_number(value: Any) -> float:
    return 0.0


@helper
def _write_nothing(rows: Any, blocks: Any, targets: Any) -> None:
    pass


def clip_of(
    t_list: Any, clip_norm: Any, use_norm: Any, out: Any, eps: Any, loss_scale: Any, *, writes: bool = True
) -> Any:
    """Make a function of these six arguments that clips and returns (results, norm, factor).

    If it writes nothing, the results are `t_list` itself.
    """
    check_types(t_list, clip_norm, use_norm, out, eps, loss_scale)
    is_given, is_out = not is_none(use_norm), not is_none(out)
    sources = [typ for _, typ in entries_of(t_list, "t_list")]
    if is_out:
        results_of, targets = _second, [typ for _, typ in entries_of(out, "out")]
    elif writes:
        results_of, targets = new_like(t_list), [new_type(typ) for typ in sources]
    else:
        results_of, targets = _first, sources

    pairs = [
        (source, target)
        for source, target in zip(sources, targets, strict=True)
        if isinstance(source, types.Array)
    ]
    codes = tuple(sorted({element_of(source).typecode for source, _ in pairs})) or (FLOAT32,)
    are_rows = all(is_row(source, target) for source, target in pairs)
    pack_rows = over(fill, t_list) if are_rows else over(as_block, t_list, collects=True)
    write = over(write_back, t_list) if writes and not are_rows else _write_nothing
    clip_rows = clip_rows_of(codes, is_given)
    given_of, returned = (_number, _second) if is_given else (_no_number, _first)

    @named_helper(
        f"clip_{'_'.join(map(str, codes))}_{is_given}_{is_out}_{writes}_{are_rows}", outlined_helper
    )
    def clip(t_list: Any, clip_norm: Any, use_norm: Any, out: Any, eps: Any, loss_scale: Any) -> Any:
        limit, given = np.float64(clip_norm), given_of(use_norm)
        margin, scale = np.float64(eps), np.float64(loss_scale)
        check_values(limit, given, margin, scale)
        results = results_of(t_list, out)
        count = len(t_list)
        if count != len(results):
            raise ValueError("out has another length than t_list", len(results), count)
        rows = np.zeros((count, COLUMNS), np.int64)
        blocks = pack_rows(unowned(rows), t_list, results)
        if not writes:
            rows[:, TARGET] = 0
        chunks = check_rows(rows, is_out)
        sums, errors = np.empty((2, chunks + count))
        norm, factor = clip_rows(
            unowned(rows), chunks, unowned(sums), unowned(errors), given, limit, margin, scale
        )
        write(unowned(rows), blocks, results)
        keep(rows)
        keep(sums)
        keep(blocks)
        return results, returned(norm, use_norm), factor

    return clip
