"""Adaptive gradient clipping: each unit of an array, clipped to a share of the norm of its parameters."""

import math
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from numclip._arrays import checks, counterparts, entries, overlap
from numclip._arrays.errors import brief_shape
from numclip._arrays.labels import Labels
from numclip._core import contract
from numclip._core.contract import LENGTH, SOURCE
from numclip._core.dtypes import BY_NAME, ITEM_SIZE
from numclip._core.environment import default_environment
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import helper, kernel
from numclip._cpu.axes import clip_along
from numclip._cpu.blocks import chunks_of
from numclip._cpu.examples import norm_of_example
from numclip._cpu.per_example import reals_of, rows_of
from numclip._cpu.typecodes import compensated_alone, typecode_type
from numclip._cpu.unowned import unowned

Array = NDArray[Any]

_INT = types.int64
_ROWS = types.Array(types.int64, 2, "C")
_NUMBERS = types.Array(types.float64, 1, "C")


class _Labels:
    entry = staticmethod("grads[{}]".format)
    target = staticmethod("out[{}]".format)


LABELS: Labels = _Labels()


@default_fpenv
@helper
def _set_norms(rows: Any, typecode: Any, step: int, sums: Any, errors: Any, norms: Any) -> None:
    chunks = chunks_of(rows[0, LENGTH])
    for unit in range(norms.size):
        norm_hi, norm_lo, prescale = norm_of_example(
            rows, typecode, chunks, compensated_alone(typecode), sums, errors
        )
        norms[unit] = (norm_hi + norm_lo) / prescale
        rows[0, SOURCE] += rows[0, LENGTH] * step


@kernel(lambda typecode: (_ROWS, typecode_type(typecode), _INT, _NUMBERS, _NUMBERS, _NUMBERS))
def set_norms(rows: Any, typecode: Any, step: int, sums: Any, errors: Any, norms: Any) -> None:
    """Set the norm of each unit of an array; the row is the first one, whose reals take `step` bytes."""
    _set_norms(unowned(rows), typecode, step, unowned(sums), unowned(errors), unowned(norms))


def clip_adaptively(params: Any, grads: Any, clipping: Any, eps: Any, out: Any) -> list[Any]:
    """Clip each unit of the gradients to a share of the norm of the same unit of the parameters."""
    ratio, least = _number(clipping, "clipping"), _number(eps, "eps")
    gradients, parameters = checks.sequence(grads, "grads"), checks.sequence(params, "params")
    if out is None:
        outputs = [None] * len(gradients)
    else:
        outputs = gradients if out is grads else checks.sequence(out, "out")
    for name, others in (("params", parameters), ("out", outputs)):
        if len(others) != len(gradients):
            raise ValueError(f"{name} has {len(others)} entries, grads has {len(gradients)}")
    sources, targets, results, units = [], [], [], []
    for i, gradient in enumerate(gradients):
        source, target, result = _resolve(gradient, outputs[i], out is None, i)
        sources.append(source)
        targets.append(target)
        results.append(result)
        units.append(None if source is None else _units(source, parameters[i], i, ratio, least))
    overlap.check(sources, targets, LABELS)
    for source, target, unit in zip(sources, targets, units, strict=True):
        if source is not None and unit is not None:
            clip_along(source, *unit, target)
    return results


def _number(value: Any, name: str) -> float:
    number = checks.real(value, name)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{name} should be finite and non-negative. Received {number}")
    return number


def _resolve(gradient: Any, output: Any, is_new: bool, i: int) -> tuple[Any, Any, Any]:
    """Return the array of a gradient, that of its target, and the counterpart that holds the target."""
    label = LABELS.entry(i)
    if not is_new and (gradient is None or output is not None):
        counterparts.check(output, gradient, LABELS.target(i), label)
    if gradient is None:
        return None, None, None
    if is_new:
        source = entries.source(gradient, label)
        return source, *entries.new_target(gradient, source, label)
    return *entries.pair(gradient, output, label, LABELS.target(i)), output


def _units(
    source: Array, parameter: Any, i: int, ratio: float, least: float
) -> tuple[Array, tuple[int, ...]]:
    """Return the largest norm that each unit of a gradient may have, and the axes of a unit."""
    array = checks.source(parameter, f"params[{i}]")
    if array.shape != source.shape:
        shapes = f"{brief_shape(array.shape)}, {LABELS.entry(i)} has shape {brief_shape(source.shape)}"
        raise ValueError(f"params[{i}] has shape {shapes}")
    axes = _unit_axes(array.shape, i)
    norms = _norms(array, axes)
    if not np.isfinite(norms).all():
        raise FloatingPointError(f"params[{i}] has NaN or infinite elements, or a norm that overflows")
    with default_environment(), np.errstate(all="ignore"):
        return ratio * np.maximum(norms, least), axes


def _unit_axes(shape: tuple[int, ...], i: int) -> tuple[int, ...]:
    """Return the axes over which the norm of a unit is taken."""
    if sum(side != 1 for side in shape) <= 1:
        return tuple(range(len(shape)))
    if len(shape) <= 3:
        return (0,)
    if len(shape) <= 5:
        return tuple(range(len(shape) - 1))
    raise ValueError(f"params[{i}] has {len(shape)} axes: units are known for arrays of up to 5")


def _norms(array: Array, axes: tuple[int, ...]) -> Array:
    """Return the norm of each unit, in the shape of the array with the sides of a unit set to 1."""
    shape = tuple(1 if axis in axes else side for axis, side in enumerate(array.shape))
    norms = np.zeros(math.prod(shape))
    if array.size:
        element = BY_NAME[array.dtype.name]
        others = tuple(axis for axis in range(array.ndim) if axis not in axes)
        # The units one after the other, which is a copy for all but those of whole arrays.
        reals = reals_of(array.transpose(others + axes), element, element.typecode)
        length = reals.size // norms.size
        rows = rows_of([reals], [length], element.typecode)
        scratch = np.empty((2, contract.chunks_of(length) + 1))
        set_norms(element.typecode)(rows, element.typecode, ITEM_SIZE[element.typecode], *scratch, norms)
    return norms.reshape(shape)
