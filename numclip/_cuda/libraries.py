"""What a CUDA array is: where it lies, what it holds, its stream, and how another one like it is made.

One class for each library, found by the type of an array; nothing is imported that the caller has not.
"""

import math
import sys
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from numclip._core.dtypes import BY_NAME, ITEM_SIZE
from numclip._cuda.descriptions import description, element_of, named_dtype
from numclip._cuda.streams import LEGACY
from numclip._cuda.target import driver

Array = NDArray[Any]


class Place(NamedTuple):
    """Where an array of a known dtype lies, in C order."""

    address: int
    length: int  # in real numbers
    typecode: int
    device: int
    writable: bool
    stream: int | None  # that the array names


class Interface:
    """Arrays with ``__cuda_array_interface__``, among them Numba's own."""

    immutable = False

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
        return Place(address or 0, length, known[0], _device_of(address), writable, interface.get("stream"))

    def describe(self, array: Any, label: str) -> Array:
        """Return the description of an array."""
        interface = self.interface(array)
        if interface.get("mask") is not None:
            raise TypeError(f"{label} is a masked array: clip its data, or fill it first")
        address, read_only = interface["data"]
        dtype, shape, strides = self._dtype(array, interface), interface["shape"], interface.get("strides")
        return description(address or 0, shape, strides, dtype, read_only or self.immutable)

    def _dtype(self, array: Any, interface: dict[str, Any]) -> np.dtype[Any]:
        # The interface has no word for bfloat16.
        dtype = getattr(array, "dtype", None)
        return dtype if isinstance(dtype, np.dtype) else np.dtype(interface["typestr"])

    def device(self, array: Any) -> int:
        """Return the number of the device that an array lies on."""
        return _device_of(self.interface(array)["data"][0])

    def current_stream(self, device: int) -> int:
        """Return the handle of the stream that the caller's work goes to."""
        return LEGACY

    def pending(self, array: Any) -> int | None:
        """Return the handle of the stream that an array names, on which it is still being worked on."""
        return self.interface(array).get("stream")

    def empty_like(self, array: Any) -> Any:
        """Return a new array of the same shape and dtype, dense, and in the same order where it is dense."""
        like = np.empty_like(self.describe(array, ""))  # host memory that is never touched costs nothing
        return cuda.device_array(like.shape, like.dtype, strides=like.strides)

    def empty_scalar(self, dtype: Any, device: int) -> Any:
        """Return a new 0-d array."""
        return cuda.device_array((), dtype)

    def address(self, array: Any) -> int:
        """Return the address of an array of Numba's, as new ones are."""
        address: int = library(array).interface(array)["data"][0]
        return address


class Simulated(Interface):
    """Arrays of Numba's simulator, which have no interface: their memory is the host's."""

    def interface(self, array: Any) -> dict[str, Any]:
        """Return the interface that an array of a device would have."""
        return {
            "data": (array.ctypes.data if array.size else 0, not array.flags.writeable),
            "shape": tuple(array.shape),
            "strides": None if array.flags.c_contiguous else array.strides,
        }


class CuPy(Interface):
    """CuPy's arrays, which belong to its current stream."""

    def locate(self, array: Any) -> Place | None:
        """Return where an array lies, or None if it takes a closer look."""
        known, memory = element_of(array.dtype), array.data
        address = memory.ptr
        if known is None or not array.flags.c_contiguous or address % ITEM_SIZE[known[0]]:
            return None
        return Place(address, array.size * known[1], known[0], memory.device_id, True, None)

    def describe(self, array: Any, label: str) -> Array:
        """Return the description of an array."""
        return description(array.data.ptr, array.shape, array.strides, array.dtype)

    def device(self, array: Any) -> int:
        """Return the number of the device that an array lies on."""
        number: int = array.data.device_id
        return number

    def pending(self, array: Any) -> None:
        """Return None: the work is on the current stream."""

    def current_stream(self, device: int) -> int:
        """Return the handle of CuPy's current stream."""
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(device):
            return cupy.cuda.get_current_stream().ptr or LEGACY

    def empty_like(self, array: Any) -> Any:
        """Return a new array of the same shape, dtype and order."""
        return sys.modules["cupy"].empty_like(array)

    def empty_scalar(self, dtype: Any, device: int) -> Any:
        """Return a new 0-d array."""
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(device):
            return cupy.empty((), dtype)

    def address(self, array: Any) -> int:
        """Return the address of an array."""
        address: int = array.data.ptr
        return address


class Torch(Interface):
    """PyTorch's CUDA tensors, which belong to its current stream; autograd sees nothing of what is done."""

    def __init__(self) -> None:
        torch = sys.modules["torch"]
        self._known = {
            getattr(torch, name): (element.typecode, element.reals) for name, element in BY_NAME.items()
        }
        self._strided = torch.strided

    def locate(self, array: Any) -> Place | None:
        """Return where a tensor lies, or None if it takes a closer look."""
        known = self._known.get(array.dtype)
        if known is None or array.layout is not self._strided or not array.is_contiguous():
            return None
        if array.is_neg() or (known[1] == 2 and array.is_conj()):
            return None
        length = array.numel() * known[1]
        return Place(array.data_ptr(), length, known[0], array.get_device(), True, None)

    def describe(self, array: Any, label: str) -> Array:
        """Return the description of a tensor."""
        torch = sys.modules["torch"]
        if array.layout is not torch.strided:
            raise TypeError(f"{label} is a sparse tensor: clip its values, or make it dense first")
        if array.is_neg() or array.is_conj():
            raise TypeError(f"{label} is a view that negates or conjugates: resolve it first")
        name_of_dtype = str(array.dtype).removeprefix("torch.")
        item = array.element_size()
        strides = [stride * item for stride in array.stride()]
        try:
            dtype = named_dtype(name_of_dtype)
        except TypeError:  # float8 and others that NumPy has no name for
            message = f"{label} has dtype {array.dtype}, expected a floating or complex dtype"
            raise TypeError(message) from None
        return description(array.data_ptr(), array.shape, strides, dtype)

    def device(self, array: Any) -> int:
        """Return the number of the device that a tensor lies on."""
        number: int = array.get_device()
        return number

    def pending(self, array: Any) -> None:
        """Return None: the work is on the current stream."""

    def current_stream(self, device: int) -> int:
        """Return the handle of torch's current stream."""
        return sys.modules["torch"].cuda.current_stream(device).cuda_stream or LEGACY

    def empty_like(self, array: Any) -> Any:
        """Return a new tensor of the same shape, dtype and order, without a gradient."""
        return sys.modules["torch"].empty_like(array, requires_grad=False)

    def empty_scalar(self, dtype: Any, device: int) -> Any:
        """Return a new 0-d tensor."""
        torch = sys.modules["torch"]
        return torch.empty((), dtype=getattr(torch, np.dtype(dtype).name), device=f"cuda:{device}")

    def address(self, array: Any) -> int:
        """Return the address of a tensor."""
        address: int = array.data_ptr()
        return address


class Jax(Interface):
    """JAX's arrays, which nobody may write to."""

    immutable = True


def _device_of(address: int | None) -> int:
    number: int = driver.device_of(address) if address else driver.current_device()
    return number


def library(array: Any) -> Interface:
    """Return what reads an array."""
    return _library(array.__class__)


@cache
def _library(cls: type) -> Interface:
    modules = {base.__module__.partition(".")[0] for base in cls.__mro__}
    if "torch" in modules:
        return Torch()
    if "cupy" in modules:
        return CuPy()
    if "jaxlib" in modules:
        return Jax()
    # Numba's simulator says that its arrays are those of a device, and has nothing else to say of them.
    simulated = hasattr(cls, "__cuda_ndarray__") and not hasattr(cls, "__cuda_array_interface__")
    return Simulated() if simulated else Interface()
