"""Arrays of CuPy."""

import sys
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

    def locate(self, array: Any) -> Place | None:
        """Return where an array lies, or None if it takes a closer look."""
        known, memory = element_of(array.dtype), array.data
        address = memory.ptr
        if known is None or not array.flags.c_contiguous or address % ITEM_SIZE[known[0]]:
            return None
        if array.size and not address:
            return None
        return Place(address, array.size * known[1], known[0], memory.device_id, True, None)

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
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(device):
            stream = cupy.cuda.get_current_stream()
        return Stream(stream.ptr or LEGACY, stream)

    def on_stream(self, stream: Stream, device: int) -> AbstractContextManager[Any]:
        """Make a stream the current one, on which new arrays are allocated."""
        if stream.handle == self.current_stream(device).handle:
            return nullcontext()
        cuda = sys.modules["cupy"].cuda
        if stream.handle == LEGACY:
            null: AbstractContextManager[Any] = cuda.Stream.null
            return null
        external: AbstractContextManager[Any] = cuda.ExternalStream(stream.handle, device)
        return external

    def empty_like(self, array: Any) -> Any:
        """Return a new array of the same shape, dtype and order."""
        return sys.modules["cupy"].empty_like(array)

    def empty_scalar(self, dtype: Any, device: int) -> Any:
        """Return a new 0-d array."""
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(device):
            return cupy.empty((), dtype)

    def empty_words(self, words: int, device: int) -> tuple[Any, int]:
        """Return memory of so many 64-bit words, and its address."""
        memory = sys.modules["cupy"].empty(words, np.int64)
        return memory, memory.data.ptr

    def address(self, array: Any) -> int:
        """Return the address of an array."""
        address: int = array.data.ptr
        return address
