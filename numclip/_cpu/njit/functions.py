"""numclip inside the caller's own compiled code: its functions for typed lists, lists and tuples of arrays.

The arrays are packed into the same rows as those of Python's calls, and clipped by the same helpers, so that
the bits are the same. What the types of the arguments tell is checked while the caller is compiled. Neither
Python's objects nor its lock are touched, so that callers with `nogil` may call.

An array of layout "A" that turns out not to be one block of memory is copied: its sum is taken of the copy,
and its clipped values are written from there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from numclip._core.jit import helper
from numclip._cpu.njit.arguments import (
    check_number,
    check_numbers,
    check_targets,
    given_value,
    is_none,
    limit_value,
    margin_value,
    reader,
    scale_value,
)
from numclip._cpu.njit.clipping import clipping
from numclip._cpu.njit.containers import new_like, new_type
from numclip._cpu.njit.stamp import mark


@helper
def _returned(sources: Any, results: Any) -> Any:
    return results


def clip_by_global_norm(
    t_list: Any, clip_norm: Any, use_norm: Any, out: Any, eps: Any, loss_scale: Any
) -> Callable[..., Any]:
    """Return the implementation of `numclip.clip_by_global_norm` for arguments of these types."""
    check_numbers(clip_norm, use_norm, eps, loss_scale)
    if is_none(out):
        make, output, targets = new_like(t_list), "new", new_type(t_list)
    else:
        check_targets(t_list, out)
        make, output, targets = _returned, "given", out
    given = not is_none(use_norm)
    clip, norm_of_bits = clipping(t_list, targets, output, given)
    limit_of, given_of = reader(clip_norm), reader(use_norm)

    def implementation(
        t_list: Any,
        clip_norm: Any,
        use_norm: Any = None,
        name: Any = None,
        out: Any = None,
        eps: Any = 0.0,
        loss_scale: Any = 1.0,
    ) -> Any:
        mark()
        limit, margin, scale = (
            limit_value(limit_of(clip_norm)),
            margin_value(np.float64(eps)),
            scale_value(np.float64(loss_scale)),
        )
        results = make(t_list, out)
        bits, _ = clip(t_list, results, None, limit, margin, scale)
        return results, norm_of_bits(bits)

    def implementation_given(
        t_list: Any,
        clip_norm: Any,
        use_norm: Any = None,
        name: Any = None,
        out: Any = None,
        eps: Any = 0.0,
        loss_scale: Any = 1.0,
    ) -> Any:
        mark()
        limit, margin, norm = (
            limit_value(limit_of(clip_norm)),
            margin_value(np.float64(eps)),
            given_value(given_of(use_norm)),
        )
        results = make(t_list, out)
        clip(t_list, results, norm, limit, margin, 1.0)
        return results, use_norm

    return implementation_given if given else implementation


def global_norm(t_list: Any, loss_scale: Any) -> Callable[..., Any]:
    """Return the implementation of `numclip.global_norm` for arguments of these types."""
    check_number(loss_scale, "loss_scale")
    clip, norm_of_bits = clipping(t_list, t_list, "none", False)

    def implementation(t_list: Any, loss_scale: Any = 1.0) -> Any:
        mark()
        bits, _ = clip(t_list, t_list, None, np.inf, 0.0, scale_value(np.float64(loss_scale)))
        return norm_of_bits(bits)

    return implementation


def clip_factor(t_list: Any, clip_norm: Any, use_norm: Any, eps: Any, loss_scale: Any) -> Callable[..., Any]:
    """Return the implementation of `numclip.clip_factor` for arguments of these types."""
    check_numbers(clip_norm, use_norm, eps, loss_scale)
    given = not is_none(use_norm)
    clip, norm_of_bits = clipping(t_list, t_list, "none", given)
    limit_of, given_of = reader(clip_norm), reader(use_norm)

    def implementation(
        t_list: Any, clip_norm: Any, use_norm: Any = None, eps: Any = 0.0, loss_scale: Any = 1.0
    ) -> Any:
        mark()
        limit, margin, scale = (
            limit_value(limit_of(clip_norm)),
            margin_value(np.float64(eps)),
            scale_value(np.float64(loss_scale)),
        )
        bits, factor = clip(t_list, t_list, None, limit, margin, scale)
        return factor, norm_of_bits(bits)

    def implementation_given(
        t_list: Any, clip_norm: Any, use_norm: Any = None, eps: Any = 0.0, loss_scale: Any = 1.0
    ) -> Any:
        mark()
        limit, margin, norm = (
            limit_value(limit_of(clip_norm)),
            margin_value(np.float64(eps)),
            given_value(given_of(use_norm)),
        )
        _, factor = clip(t_list, t_list, norm, limit, margin, 1.0)
        return factor, use_norm

    return implementation_given if given else implementation
