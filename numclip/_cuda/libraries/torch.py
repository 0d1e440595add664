"""Tensors of PyTorch."""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._core.dtypes import BY_NAME
from numclip._cuda.descriptions import description, named_dtype
from numclip._cuda.libraries.interface import Interface, Place
from numclip._cuda.streams import LEGACY, Stream

Array = NDArray[Any]


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
        address, length = array.data_ptr(), array.numel() * known[1]
        if length and not address:
            return None
        return Place(address, length, known[0], array.get_device(), True, None)

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
        return description(label, array.data_ptr(), array.shape, strides, dtype)

    def device(self, array: Any) -> int:
        """Return the number of the device that a tensor lies on."""
        number: int = array.get_device()
        return number

    def pending(self, array: Any) -> None:
        """Return None: the work is on the current stream."""

    def current_stream(self, device: int) -> Stream:
        """Return torch's current stream."""
        stream = sys.modules["torch"].cuda.current_stream(device)
        return Stream(stream.cuda_stream or LEGACY, stream)

    def on_stream(self, stream: Stream, device: int) -> AbstractContextManager[Any]:
        """Make a stream the current one, on which new tensors are allocated."""
        if stream.handle == self.current_stream(device).handle:
            return nullcontext()
        cuda = sys.modules["torch"].cuda
        if stream.handle == LEGACY:
            current = cuda.default_stream(device)
        else:
            current = cuda.ExternalStream(stream.handle, device=device)
        context: AbstractContextManager[Any] = cuda.stream(current)
        return context

    def empty_like(self, array: Any) -> Any:
        """Return a new tensor of the same shape, dtype and order, without a gradient."""
        return sys.modules["torch"].empty_like(array, requires_grad=False)

    def empty_scalar(self, dtype: Any, device: int) -> Any:
        """Return a new 0-d tensor."""
        torch = sys.modules["torch"]
        return torch.empty((), dtype=getattr(torch, np.dtype(dtype).name), device=f"cuda:{device}")

    def empty_words(self, words: int, device: int) -> tuple[Any, int]:
        """Return memory of so many 64-bit words, and its address."""
        torch = sys.modules["torch"]
        memory = torch.empty(words, dtype=torch.int64, device=f"cuda:{device}")
        return memory, memory.data_ptr()

    def address(self, array: Any) -> int:
        """Return the address of a tensor."""
        address: int = array.data_ptr()
        return address
