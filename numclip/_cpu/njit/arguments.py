"""What the arguments may be: types, checked while the caller is compiled, and numbers, when it runs."""

from typing import Any

import numpy as np
from numba import types
from numba.core.errors import TypingError

from numclip._core.dtypes import BY_NAME, ElementType
from numclip._core.jit import helper

_CONTAINERS = (types.BaseTuple, types.ListType, types.List)
_DTYPES = (types.float32, types.float64, types.complex64, types.complex128)


def is_none(typ: Any) -> bool:
    """Tell whether an argument is None, given or by default."""
    return getattr(typ, "value", typ) is None or isinstance(typ, types.NoneType)


def is_left_out(typ: Any) -> bool:
    """Tell whether an argument has its default, which Numba passes as it is or as `Omitted`."""
    return isinstance(typ, types.Omitted) or not isinstance(typ, types.Type)


def element_of(typ: types.Array) -> ElementType:
    """Return the element type of an array."""
    return BY_NAME[str(typ.dtype)]


def entries_of(container: Any, name: str) -> list[tuple[str, Any]]:
    """Return the label and the type of each entry; of a list, whose entries have one type, one."""
    if isinstance(container, types.BaseTuple):
        entries = [(f"{name}[{i}]", typ) for i, typ in enumerate(container)]
    elif isinstance(container, _CONTAINERS):
        entries = [(f"an entry of {name}", container.dtype)]
    else:
        raise TypingError(f"{name} should be a tuple, a typed list or a list of arrays. Received {container}")
    for label, typ in entries:
        if isinstance(typ, types.NoneType) and isinstance(container, types.BaseTuple):
            continue
        if not isinstance(typ, types.Array):
            raise TypingError(f"{label} is {typ}, expected an array")
        if typ.dtype not in _DTYPES:
            expected = ", ".join(map(str, _DTYPES))
            raise TypingError(f"{label} has dtype {typ.dtype}, expected one of {expected} in compiled code")
    return entries


def check_types(t_list: Any, clip_norm: Any, use_norm: Any, out: Any, eps: Any, loss_scale: Any) -> None:
    """Raise for an argument that has none of the types that it may have."""
    entries_of(t_list, "t_list")
    if not is_none(out):
        _check_out(t_list, out)
    numbers = {"clip_norm": clip_norm, "eps": eps, "loss_scale": loss_scale}
    if not is_none(use_norm):
        numbers["use_norm"] = use_norm
        if not is_left_out(loss_scale):
            raise TypingError("use_norm and loss_scale together are not for compiled code: leave one out")
    for name, typ in numbers.items():
        if not (is_left_out(typ) or isinstance(typ, types.Integer | types.Float)):
            raise TypingError(f"{name} should be a real number in compiled code. Received {typ}")


def _check_out(t_list: Any, out: Any) -> None:
    """Raise for an `out` that cannot receive the results."""
    entries, targets = entries_of(t_list, "t_list"), entries_of(out, "out")
    if not any(isinstance(t_list, kind) and isinstance(out, kind) for kind in _CONTAINERS):
        raise TypingError(f"out should be a container like t_list. Received {out}")
    if len(entries) != len(targets):
        raise TypingError(f"out has {len(targets)} entries, t_list has {len(entries)}")
    for (label, source), (target_label, target) in zip(entries, targets, strict=True):
        if isinstance(source, types.NoneType) or isinstance(target, types.NoneType):
            if source != target:
                raise TypingError(f"{target_label} is {target}, {label} is {source}")
        elif target.dtype != source.dtype:
            raise TypingError(f"{target_label} has dtype {target.dtype}, {label} has dtype {source.dtype}")
        elif target.ndim != source.ndim:
            raise TypingError(f"{target_label} has {target.ndim} axes, {label} has {source.ndim}")
        elif not target.mutable:
            raise TypingError(f"{target_label} is read-only")


def refuse(**options: Any) -> None:
    """Raise for an option that is given, and that only calls from Python have."""
    for name, typ in options.items():
        if not is_left_out(typ):
            raise TypingError(f"{name} is not for compiled code: leave it out, or call numclip from Python")


@helper
def check_values(clip_norm: float, use_norm: float, eps: float, loss_scale: float) -> None:
    """Raise for a number that is out of its range."""
    if np.isnan(clip_norm):
        raise ValueError("clip_norm should not be NaN")
    if clip_norm < 0.0:
        raise ValueError("clip_norm should be non-negative")
    if use_norm < 0.0:
        raise ValueError("use_norm should be non-negative")
    if not 0.0 <= eps < np.inf:
        raise ValueError("eps should be finite and non-negative")
    if not 0.0 < loss_scale < np.inf:
        raise ValueError("loss_scale should be finite and positive")
