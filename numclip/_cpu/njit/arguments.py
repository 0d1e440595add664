"""What the types of the arguments may be, and their values; errors name the argument."""

from typing import Any

import numpy as np
from numba import types
from numba.core.errors import TypingError

from numclip._core.dtypes import BY_NAME
from numclip._core.jit import helper

# --- while the caller is compiled ---------------------------------------------------------------------------


def is_none(typ: Any) -> bool:
    """Tell whether an argument is None, given or by default."""
    value = typ.value if isinstance(typ, types.Omitted) else typ
    return value is None or isinstance(value, types.NoneType)


def entries_of(container: Any, name: str) -> list[tuple[str, Any]]:
    """Return the label and the type of each entry; of a list, whose entries have one type, one."""
    if isinstance(container, types.BaseTuple):
        return [(f"{name}[{i}]", typ) for i, typ in enumerate(container)]
    if isinstance(container, types.ListType | types.List):
        return [(f"an entry of {name}", container.dtype)]
    raise TypingError(f"{name} should be a typed list, a list or a tuple of arrays. Received {container}")


def element_of(label: str, typ: Any) -> Any:
    """Return the element type of an entry, None for None."""
    if isinstance(typ, types.NoneType):
        return None
    if not isinstance(typ, types.Array):
        raise TypingError(f"{label} is {typ}, expected an array")
    element = BY_NAME.get(str(typ.dtype))
    if element is None:
        raise TypingError(f"{label} has dtype {typ.dtype}, expected a floating or complex dtype")
    return element


def check_number(typ: Any, name: str) -> None:
    """Raise for what is no real number, nor one by default."""
    scalar = typ.dtype if isinstance(typ, types.Array) and typ.ndim == 0 else typ
    if isinstance(scalar, types.Integer | types.Float | types.Omitted | float):
        return
    raise TypingError(f"{name} should be a real number or 0-d array. Received {typ}")


def check_targets(sources: Any, targets: Any) -> None:
    """Raise for an `out` that cannot receive the results."""
    labelled, others = entries_of(sources, "t_list"), entries_of(targets, "out")
    if isinstance(sources, types.BaseTuple) != isinstance(targets, types.BaseTuple):
        raise TypingError(f"out should be a container like t_list. Received {targets}")
    if len(labelled) != len(others):
        raise TypingError(f"out has {len(others)} entries, t_list has {len(labelled)}")
    for (label, source), (target_label, target) in zip(labelled, others, strict=True):
        if isinstance(source, types.NoneType) != isinstance(target, types.NoneType):
            raise TypingError(f"{target_label} is {target}, {label} is {source}")
        if isinstance(source, types.NoneType):
            continue
        element_of(target_label, target)
        if target.dtype != source.dtype:
            raise TypingError(f"{target_label} has dtype {target.dtype}, {label} has dtype {source.dtype}")
        if target.ndim != source.ndim:
            raise TypingError(f"{target_label} has {target.ndim} axes, {label} has {source.ndim}")
        if not target.mutable:
            raise TypingError(f"{target_label} is read-only")


def check_numbers(clip_norm: Any, use_norm: Any, eps: Any, loss_scale: Any) -> None:
    """Raise for a number that is none."""
    for typ, name in ((clip_norm, "clip_norm"), (eps, "eps"), (loss_scale, "loss_scale")):
        check_number(typ, name)
    if not is_none(use_norm):
        check_number(use_norm, "use_norm")
        if not isinstance(loss_scale, types.Omitted | float):
            raise TypingError("use_norm and loss_scale together are not for compiled code")


# --- numbers, while it runs ---------------------------------------------------------------------------------


@helper
def _as_it_is(number: Any) -> float:
    return np.float64(number)


@helper
def _of_0d(number: Any) -> float:
    return np.float64(number[()])


def reader(typ: Any) -> Any:
    """Return what reads a number of this type as a float64."""
    return _of_0d if isinstance(typ, types.Array) else _as_it_is


@helper
def limit_value(number: float) -> float:
    """Check a clip_norm."""
    if number >= 0.0:
        return number
    if np.isnan(number):
        raise ValueError("clip_norm should not be NaN")
    raise ValueError("clip_norm should be non-negative. Received", number)


@helper
def margin_value(number: float) -> float:
    """Check an eps."""
    if 0.0 <= number < np.inf:
        return number
    raise ValueError("eps should be finite and non-negative. Received", number)


@helper
def scale_value(number: float) -> float:
    """Check a loss_scale."""
    if 0.0 < number < np.inf:
        return number
    raise ValueError("loss_scale should be finite and positive. Received", number)


@helper
def given_value(number: float) -> float:
    """Check a use_norm."""
    if number < 0.0:
        raise ValueError("use_norm should be non-negative. Received", number)
    return number
