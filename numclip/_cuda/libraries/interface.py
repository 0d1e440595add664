"""Arrays with ``__cuda_array_interface__``, such as Numba's: the base class of the other libraries."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from numclip._core.dtypes import ITEM_SIZE
from numclip._cuda.descriptions import description, element_of
from numclip._cuda.streams import LEGACY, Stream
from numclip._cuda.target import driver

Array = NDArray[Any]


class Place(NamedTuple):
    """Where a dense array of a known dtype lies; a new one that is like it has its order of axes."""

    address: int
    length: int  # in real numbers
    typecode: int
    reals: int  # of an element
    device: int | None  # None for an array without elements that has no address
    writable: bool
    stream: int | None  # that the array names


class Interface:
    """Arrays with ``__cuda_array_interface__``, among them Numba's own."""

    immutable = False
    # Whether the library may reuse the memory of an array that is freed while a kernel still reads it.
    reuses_memory = False

    def interface(self, array: Any) -> dict[str, Any]:
        """Return the interface of an array."""
        interface: dict[str, Any] = array.__cuda_array_interface__
        return interface

    def locate(self, array: Any) -> Place | None:
        """Return the place of an array, or None if it needs `describe`."""
        interface = self.interface(array)
        if interface.get("strides") is not None or interface.get("mask") is not None:
            return None
        known = element_of(self._dtype(array, interface))
        address, read_only = interface["data"]
        if known is None or (address or 0) % ITEM_SIZE[known[0]]:
            return None
        length, writable = math.prod(interface["shape"]) * known[1], not (read_only or self.immutable)
        if length and not address:
            return None
        device, stream = self._device(interface), interface.get("stream")
        return Place(address or 0, length, *known, device, writable, stream)

    def describe(self, array: Any, label: str) -> Array:
        """Return the description of an array."""
        interface = self.interface(array)
        if interface.get("mask") is not None:
            raise TypeError(f"{label} is a masked array: clip its data, or fill it first")
        address, read_only = interface["data"]
        dtype, shape, strides = self._dtype(array, interface), interface["shape"], interface.get("strides")
        return description(label, address or 0, shape, strides, dtype, read_only or self.immutable)

    def _dtype(self, array: Any, interface: dict[str, Any]) -> np.dtype[Any]:
        # The interface cannot name bfloat16.
        dtype = getattr(array, "dtype", None)
        return dtype if isinstance(dtype, np.dtype) else np.dtype(interface["typestr"])

    def _device(self, interface: dict[str, Any]) -> int | None:
        address = interface["data"][0]
        return driver.device_of(address) if address else None

    def device(self, array: Any) -> int | None:
        """Return the number of the device that an array lies on."""
        return self._device(self.interface(array))

    def current_stream(self, device: int) -> Stream:
        """Return the stream on which the caller's work is enqueued."""
        return Stream(LEGACY)

    def on_stream(self, stream: Stream, device: int) -> AbstractContextManager[Any]:
        """Make a stream the current one, on which new arrays are allocated; Numba has none."""
        return nullcontext()

    def pending(self, array: Any) -> int | None:
        """Return the handle of the stream that an array names, on which work on it may be pending."""
        return self.interface(array).get("stream")

    def empty_like(self, array: Any) -> Any:
        """Return a new dense array of the same shape and dtype, in the same order if the array is dense."""
        like = np.empty_like(self.describe(array, ""))  # never written, so the host maps no memory for it
        return cuda.device_array(like.shape, like.dtype, strides=like.strides)

    def empty_scalar(self, dtype: Any, device: int) -> Any:
        """Return a new 0-d array."""
        return driver.empty_scalar(dtype, device)

    def empty_scalars(self, count: int, dtype: Any, device: int) -> tuple[list[Any], int]:
        """Return new 0-d arrays, one after the other, and the address of the first."""
        made: tuple[list[Any], int] = driver.empty_scalars(count, dtype)
        return made

    def empty_words(self, words: int, device: int) -> tuple[Any, int]:
        """Return memory of `words` 64-bit words, and its address."""
        memory = cuda.device_array(words, np.int64)
        return memory, self.address(memory)

    def address(self, array: Any) -> int:
        """Return the address of a new array, which is one of Numba's."""
        if not hasattr(array, "__cuda_array_interface__"):  # the simulator's
            return int(array.ctypes.data)
        address: int = array.__cuda_array_interface__["data"][0]
        return address
