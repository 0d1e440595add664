"""Norms that the caller gives: numbers of the host, or 0-d arrays on the device."""

from typing import Any

from numclip._arrays import checks, devices
from numclip._core.dtypes import BY_NAME
from numclip._cuda.descriptions import name_of
from numclip._cuda.libraries import library


def clip_norm(value: Any) -> Any:
    """Return a clip_norm: a float64, or a number on the device."""
    return _on_device(value, "clip_norm") if devices.is_cuda(value) else checks.clip_norm(value)


def use_norm(value: Any) -> Any:
    """Return a use_norm: a float64, or a number on the device."""
    return _on_device(value, "use_norm") if devices.is_cuda(value) else checks.use_norm(value)


def _on_device(value: Any, label: str) -> Any:
    description = library(value).describe(value, label)
    element = BY_NAME.get(name_of(description.dtype))
    if description.ndim or element is None or element.reals != 1:
        raise TypeError(f"{label} should be a real number or 0-d array. Received {type(value)}")
    return value


def typecode_and_value(value: Any) -> tuple[int | None, float | int]:
    """Return (None, a number of the host), or the typecode and the address of a device's."""
    if not devices.is_cuda(value):
        return None, float(value)
    reader = library(value)
    return BY_NAME[name_of(reader.describe(value, "").dtype)].typecode, reader.address(value)
