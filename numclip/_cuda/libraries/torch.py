"""Tensors of PyTorch."""

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
    """PyTorch's CUDA tensors, which belong to its current stream; autograd does not record the writes."""

    def __init__(self, torch: Any) -> None:
        self._torch, self._strided = torch, torch.strided
        self._known = {
            getattr(torch, name): (element.typecode, element.reals) for name, element in BY_NAME.items()
        }
        self._scalars = {np.float32: torch.float32, np.float64: torch.float64}

    def locate(self, array: Any) -> Place | None:
        """Return the place of a tensor, or None if it needs `describe`."""
        known = self._known.get(array.dtype)
        if known is None or array.layout is not self._strided:
            return None
        if not array.is_contiguous() and not self._is_channels_last(array):
            return None
        if array.is_neg() or (known[1] == 2 and array.is_conj()):
            return None
        address, length = array.data_ptr(), array.numel() * known[1]
        if length and not address:
            return None
        return Place(address, length, *known, array.get_device(), True, None)

    def _is_channels_last(self, array: Any) -> bool:
        """Tell whether a tensor is dense in a channels-last format, which is as fast as C order."""
        return bool(array.dim() == 4 and array.is_contiguous(memory_format=self._torch.channels_last))

    def describe(self, array: Any, label: str) -> Array:
        """Return the description of a tensor."""
        if array.layout is not self._strided:
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
        stream = self._torch.cuda.current_stream(device)
        return Stream(stream.cuda_stream or LEGACY, stream)

    def on_stream(self, stream: Stream, device: int) -> AbstractContextManager[Any]:
        """Make a stream the current one, on which new tensors are allocated."""
        if stream.handle == self.current_stream(device).handle:
            return nullcontext()
        cuda = self._torch.cuda
        if stream.handle == LEGACY:
            current = cuda.default_stream(device)
        else:
            current = cuda.ExternalStream(stream.handle, device=device)
        context: AbstractContextManager[Any] = cuda.stream(current)
        return context

    def empty_like(self, array: Any) -> Any:
        """Return a new tensor of the same shape, dtype and order, without a gradient."""
        return self._torch.empty_like(array, requires_grad=False)

    def empty_scalar(self, dtype: Any, device: int) -> Any:
        """Return a new 0-d tensor."""
        return self._torch.empty((), dtype=self._scalars[dtype], device=f"cuda:{device}")

    def empty_scalars(self, count: int, dtype: Any, device: int) -> tuple[list[Any], int]:
        """Return new 0-d tensors, one after the other, and the address of the first."""
        every = self._torch.empty(count, dtype=self._scalars[dtype], device=f"cuda:{device}")
        return list(every.unbind()), every.data_ptr()

    def empty_words(self, words: int, device: int) -> tuple[Any, int]:
        """Return memory of `words` 64-bit words, and its address."""
        memory = self._torch.empty(words, dtype=self._torch.int64, device=f"cuda:{device}")
        return memory, memory.data_ptr()

    def address(self, array: Any) -> int:
        """Return the address of a tensor."""
        address: int = array.data_ptr()
        return address
