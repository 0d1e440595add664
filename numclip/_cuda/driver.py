"""What a plan asks of the CUDA driver: devices, streams, events, memory, copies and launches.

Devices are numbers, streams the handles of the CUDA API. `simulator.driver` has the same names for Numba's
simulator.
"""

import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

INSTALL = 'pip install "numba-cuda[cu13]", or "numba-cuda[cu12]" for a driver of CUDA 12'


@cache
def require() -> None:
    """Raise where there is no driver or no GPU."""
    if not cuda.is_available():
        raise RuntimeError(f"numclip finds no CUDA driver for Numba: {str(cuda.cuda_error()).strip()}")


# --- devices ------------------------------------------------------------------------------------------------


class UnknownAddress(Exception):
    """An address belongs to no CUDA device."""


def current_device() -> int:
    """Return the number of this thread's device."""
    number: int = cuda.current_context().device.id
    return number


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


# --- streams and events -------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _stream(handle: int) -> Any:
    return cuda.external_stream(handle)


def is_capturing(stream: int) -> bool:
    """Tell whether the work on a stream is not done but recorded, for a graph."""
    from cuda.bindings import driver

    _, status = driver.cuStreamIsCapturing(stream)
    return bool(status == driver.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_ACTIVE)


class Event:
    """A point in the work on a stream."""

    def __init__(self) -> None:
        self._event = cuda.event(timing=False)

    def record(self, stream: int) -> None:
        """Make this the point behind all that a stream has been given so far."""
        self._event.record(_stream(stream))

    def has_passed(self) -> bool:
        """Tell whether the work up to this point is done."""
        return bool(self._event.query())

    def hold(self, stream: int) -> None:
        """Let a stream wait until this point has passed; the host does not wait."""
        self._event.wait(_stream(stream))


def synchronize(stream: int) -> None:
    """Wait until the work on a stream is done."""
    _stream(stream).synchronize()


# --- memory -------------------------------------------------------------------------------------------------


def allocate(words: int) -> tuple[Any, int]:
    """Return memory of so many 64-bit words on this thread's device, and its address."""
    memory = cuda.device_array(words, np.int64)
    return memory, memory.__cuda_array_interface__["data"][0]


def allocate_pinned(words: int) -> NDArray[np.int64]:
    """Return memory of the host that a device can read."""
    pinned: NDArray[np.int64] = cuda.pinned_array(words, np.int64)
    return pinned


def upload(pinned: NDArray[np.int64], address: int, stream: int) -> None:
    """Copy pinned memory to a device; the host does not wait."""
    from cuda.bindings import driver

    (error,) = driver.cuMemcpyHtoDAsync(address, pinned.ctypes.data, pinned.nbytes, stream)
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"cuMemcpyHtoDAsync: {error.name}")


# --- kernels ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _configured(kernel: Any, blocks: int, threads: int, stream: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Numba warns of small grids: a short list has no more to do
        return kernel[blocks, threads, _stream(stream)]


def launch(kernel: Any, blocks: int, threads: int, stream: int, *arguments: Any) -> None:
    """Launch a kernel."""
    try:
        _configured(kernel, blocks, threads, stream)(*arguments)
    except Exception as error:
        if type(error).__name__ in ("NvvmSupportError", "DynamicLibNotFoundError"):
            raise ImportError(f"Numba cannot compile for CUDA here: {INSTALL}") from error
        raise
