"""Norms that the caller gives: numbers of the host, or 0-d arrays on the device."""

from typing import Any, NamedTuple

from numclip._arrays import checks, devices
from numclip._arrays.options import check_clip_norm
from numclip._cuda.descriptions import element_of
from numclip._cuda.libraries import library
from numclip._cuda.libraries.interface import Interface
from numclip._cuda.target import driver


class Number(NamedTuple):
    """A number of the host, or the address of a 0-d array, which the kernel reads when it is executed."""

    value: Any  # or the address, or a callable that the host calls
    typecode: int | None = None  # None for a number of the host
    device: int | None = None
    label: str = ""
    array: Any = None
    reader: Interface | None = None

    def streams(self) -> set[int]:
        """Return the streams on which others may work on the array."""
        assert self.reader is not None
        assert self.device is not None
        named = self.reader.pending(self.array)
        own = self.reader.current_stream(self.device).handle
        return {own} if named is None else {own, named}


def clip_norm(value: Any) -> Number:
    """Return a clip_norm, checked."""
    if devices.is_cuda(value):
        return _on_device(value, "clip_norm")
    return Number(check_clip_norm(value))


def use_norm(value: Any) -> Number:
    """Return a use_norm, checked."""
    if devices.is_cuda(value):
        return _on_device(value, "use_norm")
    return Number(checks.use_norm(value))


def _on_device(value: Any, label: str) -> Number:
    reader = library(value)
    description = reader.describe(value, label)
    known = element_of(description.dtype)
    if description.ndim or known is None or known[1] != 1:
        raise TypeError(f"{label} should be a real number or 0-d array. Received {type(value)}")
    try:
        place = reader.locate(value)
    except driver.UnknownAddress as error:
        raise ValueError(f"{label} lies at {error}") from None
    if place is None:
        raise ValueError(f"{label} is not aligned in memory")
    return Number(place.address, place.typecode, place.device, label, value, reader)
