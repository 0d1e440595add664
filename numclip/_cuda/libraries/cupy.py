"""Arrays of CuPy."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._core.dtypes import ITEM_SIZE
from numclip._cuda.descriptions import description, element_of
from numclip._cuda.libraries.interface import Interface, Place
from numclip._cuda.streams import LEGACY, Stream

Array = NDArray[Any]


class CuPy(Interface):
    """CuPy's arrays, which belong to its current stream."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy

    def locate(self, array: Any) -> Place | None:
        """Return the place of an array, or None if it needs `describe`."""
        known, memory = element_of(array.dtype), array.data
        address = memory.ptr
        if known is None or not array.flags.c_contiguous or address % ITEM_SIZE[known[0]]:
            return None
        if array.size and not address:
            return None
        return Place(address, array.size * known[1], *known, memory.device_id, True, None)

    def describe(self, array: Any, label: str) -> Array:
        """Return the description of an array."""
        return description(label, array.data.ptr, array.shape, array.strides, array.dtype)

    def device(self, array: Any) -> int:
        """Return the number of the device that an array lies on."""
        number: int = array.data.device_id
        return number

    def pending(self, array: Any) -> None:
        """Return None: the work is on the current stream."""

    def current_stream(self, device: int) -> Stream:
        """Return CuPy's current stream."""
        with self._cupy.cuda.Device(device):
            stream = self._cupy.cuda.get_current_stream()
        return Stream(stream.ptr or LEGACY, stream)

    def on_stream(self, stream: Stream, device: int) -> AbstractContextManager[Any]:
        """Make a stream the current one, on which new arrays are allocated."""
        if stream.handle == self.current_stream(device).handle:
            return nullcontext()
        cuda = self._cupy.cuda
        if stream.handle == LEGACY:
            null: AbstractContextManager[Any] = cuda.Stream.null
            return null
        external: AbstractContextManager[Any] = cuda.ExternalStream(stream.handle, device)
        return external

    def empty_like(self, array: Any) -> Any:
        """Return a new array of the same shape, dtype and order."""
        return self._cupy.empty_like(array)

    def empty_scalar(self, dtype: Any, device: int) -> Any:
        """Return a new 0-d array."""
        with self._cupy.cuda.Device(device):
            return self._cupy.empty((), dtype)

    def empty_scalars(self, count: int, dtype: Any, device: int) -> tuple[list[Any], int]:
        """Return new 0-d arrays, one after the other, and the address of the first."""
        with self._cupy.cuda.Device(device):
            every = self._cupy.empty(count, dtype)
        return [every[i] for i in range(count)], every.data.ptr

    def empty_words(self, words: int, device: int) -> tuple[Any, int]:
        """Return memory of `words` 64-bit words, and its address."""
        memory = self._cupy.empty(words, np.int64)
        return memory, memory.data.ptr

    def address(self, array: Any) -> int:
        """Return the address of an array."""
        address: int = array.data.ptr
        return address
