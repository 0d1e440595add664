"""What a plan needs of Numba's CUDA API: devices, streams, memory that is uploaded, and launches."""

import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

# Handles of the CUDA API.
LEGACY_STREAM, PER_THREAD_STREAM = 1, 2

INSTALL = 'pip install "numba-cuda[cu13]>=0.30" "numpy<2.5", or cu12 for a driver of CUDA 12'


@cache
def require() -> None:
    """Raise where there is no driver or no GPU."""
    if not cuda.is_available():
        raise RuntimeError(f"numclip finds no CUDA driver for Numba: {str(cuda.cuda_error()).strip()}")


def current_device() -> int:
    """Return the number of this thread's device."""
    number: int = cuda.current_context().device.id
    return number


class UnknownAddress(Exception):
    """An address belongs to no CUDA device."""


def device_of(address: int) -> int:
    """Return the number of the device that an address belongs to."""
    from cuda.bindings import driver

    attribute = driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    current_device()  # the driver answers once there is a context
    error, number = driver.cuPointerGetAttribute(attribute, address)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise UnknownAddress(f"the address {address:#x}, which is not one of a CUDA device: {error.name}")
    return int(number)


def on_device(number: int) -> AbstractContextManager[Any]:
    """Make a device this thread's for the time of a with statement."""
    if current_device() == number:
        return nullcontext()
    context: AbstractContextManager[Any] = cuda.gpus[number]
    return context


def handle_of(stream: Any) -> int:
    """Return the handle of a stream of CuPy, torch, Numba or cuda.core, or of a plain handle."""
    handle: Any = stream
    if callable(protocol := getattr(stream, "__cuda_stream__", None)):
        handle = protocol()[1]
    else:
        for name in ("cuda_stream", "ptr", "handle"):
            handle = getattr(stream, name, handle)
    try:
        if not isinstance(handle, str):
            return int(handle) or LEGACY_STREAM
    except TypeError:
        pass
    raise TypeError(f"stream should be a CUDA stream or its handle. Received {type(stream)}")


@lru_cache(maxsize=64)
def stream_of(device: int, handle: int) -> Any:
    """Return Numba's object for the stream with this handle."""
    return cuda.external_stream(handle)


def is_capturing(handle: int) -> bool:
    """Tell whether the work on a stream is not done but recorded, for a graph."""
    from cuda.bindings import driver

    _, status = driver.cuStreamIsCapturing(handle)
    return bool(status == driver.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_ACTIVE)


def wait_for(handle: int, device: int, stream: Any) -> None:
    """Let `stream` wait for what another one has been given so far; the host does not wait."""
    event = cuda.event(timing=False)
    event.record(stream_of(device, handle))
    event.wait(stream)


def address_of(array: Any) -> int:
    """Return the address of one of Numba's arrays."""
    address: int = array.__cuda_array_interface__["data"][0]
    return address


class Workspace:
    """Memory on a device for the calls of one stream, and pinned memory of the host to fill it from."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        # Between these, nothing else may use the memory: a call is enqueued as a whole.
        self.lock = threading.Lock()
        self._table: Any = None
        self._memory: Any = None
        self._size = 0
        self._heads: dict[int, Any] = {}
        self._pinned: list[tuple[NDArray[np.int64], Any]] = []
        self.address = 0

    def fill(self, table: Any) -> None:
        """Make this the memory of a table; nothing is uploaded if it is that of the table already."""
        if table is self._table:
            return
        if table.size > self._size:
            self._size = max(table.size, 2 * self._size)
            self._memory = cuda.device_array(self._size, np.int64)
            self._heads.clear()
            self.address = address_of(self._memory)
        self._table = None  # until it is there
        self._upload(table.at(self.address))
        self._table = table

    def _upload(self, words: NDArray[np.int64]) -> None:
        """Fill the first words; the host does not wait, neither for this nor for earlier uploads."""
        pinned, event = self._free_pinned(words.size)
        pinned[: words.size] = words
        head = self._heads.get(words.size)
        if head is None:
            head = self._heads[words.size] = self._memory[: words.size]
        head.copy_to_device(pinned[: words.size], stream=self.stream)
        event.record(self.stream)

    def _free_pinned(self, words: int) -> tuple[NDArray[np.int64], Any]:
        for pinned, event in self._pinned:
            if pinned.size >= words and event.query():
                return pinned, event
        self._pinned.append((cuda.pinned_array(max(words, 1024), np.int64), cuda.event(timing=False)))
        return self._pinned[-1]


@lru_cache(maxsize=64)
def _workspace(device: int, handle: int, thread: int) -> Workspace:
    return Workspace(stream_of(device, handle))


def shared_workspace(device: int, handle: int) -> Workspace:
    """Return the workspace of a stream, for calls that leave nothing behind in it.

    The stream keeps the calls in order, so they can use the same memory, and none has to be allocated.
    """
    return _workspace(device, handle, threading.get_ident() if handle == PER_THREAD_STREAM else 0)


@lru_cache(maxsize=1024)
def _configured(kernel: Any, blocks: int, threads: int, stream: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Numba warns of small grids: a short list has no more to do
        return kernel[blocks, threads, stream]


def launch(kernel: Any, blocks: int, threads: int, stream: Any, *arguments: Any) -> None:
    """Launch a kernel."""
    try:
        _configured(kernel, blocks, threads, stream)(*arguments)
    except Exception as error:
        without_compilers = type(error).__name__ in ("NvvmSupportError", "DynamicLibNotFoundError")
        # numba-cuda 0.30 asks for np.row_stack, which NumPy 2.5 no longer has.
        too_new_numpy = isinstance(error, AttributeError) and "module 'numpy' has no attribute" in str(error)
        if without_compilers or too_new_numpy:
            raise ImportError(f"Numba cannot compile for CUDA here: {INSTALL}") from error
        raise
