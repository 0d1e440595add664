"""Arrays that have ``__cuda_array_interface__``, and Numba's own: what other libraries do in another way."""

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
    """Where an array of a known dtype lies, in C order."""

    address: int
    length: int  # in real numbers
    typecode: int
    device: int | None  # None for an array without elements that has no address
    writable: bool
    stream: int | None  # that the array names


class Interface:
    """Arrays with ``__cuda_array_interface__``, among them Numba's own."""

    immutable = False
    # Whether memory that the caller gives back may be used for something else while a kernel still reads it.
    reuses_memory = False

    def interface(self, array: Any) -> dict[str, Any]:
        """Return the interface of an array."""
        interface: dict[str, Any] = array.__cuda_array_interface__
        return interface

    def locate(self, array: Any) -> Place | None:
        """Return where an array lies, or None if it takes a closer look."""
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
        return Place(address or 0, length, known[0], device, writable, stream)

    def describe(self, array: Any, label: str) -> Array:
        """Return the description of an array."""
        interface = self.interface(array)
        if interface.get("mask") is not None:
            raise TypeError(f"{label} is a masked array: clip its data, or fill it first")
        address, read_only = interface["data"]
        dtype, shape, strides = self._dtype(array, interface), interface["shape"], interface.get("strides")
        return description(label, address or 0, shape, strides, dtype, read_only or self.immutable)

    def _dtype(self, array: Any, interface: dict[str, Any]) -> np.dtype[Any]:
        # The interface has no word for bfloat16.
        dtype = getattr(array, "dtype", None)
        return dtype if isinstance(dtype, np.dtype) else np.dtype(interface["typestr"])

    def _device(self, interface: dict[str, Any]) -> int | None:
        address = interface["data"][0]
        return driver.device_of(address) if address else None

    def device(self, array: Any) -> int | None:
        """Return the number of the device that an array lies on."""
        return self._device(self.interface(array))

    def current_stream(self, device: int) -> Stream:
        """Return the stream that the caller's work goes to."""
        return Stream(LEGACY)

    def on_stream(self, stream: Stream, device: int) -> AbstractContextManager[Any]:
        """Make a stream the current one, on which new arrays are allocated; Numba has no such thing."""
        return nullcontext()

    def pending(self, array: Any) -> int | None:
        """Return the handle of the stream that an array names, on which it is still being worked on."""
        return self.interface(array).get("stream")

    def empty_like(self, array: Any) -> Any:
        """Return a new array of the same shape and dtype, dense, and in the same order where it is dense."""
        like = np.empty_like(self.describe(array, ""))  # host memory that is never touched costs nothing
        return cuda.device_array(like.shape, like.dtype, strides=like.strides)

    def empty_scalar(self, dtype: Any, device: int) -> Any:
        """Return a new 0-d array."""
        return driver.empty_scalar(dtype, device)

    def empty_words(self, words: int, device: int) -> tuple[Any, int]:
        """Return memory of so many 64-bit words, and its address."""
        memory = cuda.device_array(words, np.int64)
        return memory, self.address(memory)

    def address(self, array: Any) -> int:
        """Return the address of an array of Numba's, as new ones are."""
        if not hasattr(array, "__cuda_array_interface__"):  # the simulator's
            return int(array.ctypes.data)
        address: int = array.__cuda_array_interface__["data"][0]
        return address
