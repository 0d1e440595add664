"""The functions of the CUDA driver that a plan needs: devices, streams, events, memory, copies and launches.

Devices are numbers, streams are handles of the CUDA API. `simulator.driver` has the same functions for
Numba's simulator. The bindings are called directly: Numba's launcher is slow for short kernels, and its
events log errors.
"""

import ctypes
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
from cuda.bindings import driver as cu
from numba import cuda, float64
from numpy.typing import NDArray

from numclip._core import apart
from numclip._cuda.kernel import Kernel
from numclip._cuda.machine_code import machine_code


class DriverError(RuntimeError):
    """A call of the driver has failed."""


def _call(function: Any, *arguments: Any) -> Any:
    error, *values = function(*arguments)
    if error:
        raise DriverError(f"{function.__name__}: {error.name}")
    return values[0] if values else None


@cache
def require() -> None:
    """Raise if there is no driver or no GPU."""
    try:
        _call(cu.cuInit, 0)
        count = _call(cu.cuDeviceGetCount)
    except Exception as error:  # without a library, the bindings raise errors of several types
        raise RuntimeError(f"numclip finds no CUDA driver: {error}") from None
    if count == 0:
        raise RuntimeError("numclip finds no CUDA GPU")


# --- devices ------------------------------------------------------------------------------------------------


def current_device() -> int | None:
    """Return the number of this thread's current device; None if it has none yet."""
    error, number = cu.cuCtxGetDevice()
    return None if error else int(number)


class UnknownAddress(Exception):
    """An address belongs to no CUDA device."""


def device_of(address: int) -> int:
    """Return the number of the device that an address belongs to."""
    attribute = cu.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    error, number = cu.cuPointerGetAttribute(attribute, address)
    if error:
        raise UnknownAddress(f"the address {address:#x}, which is not one of a CUDA device: {error.name}")
    return int(number)


@cache
def _context(device: int) -> Any:
    return _call(cu.cuDevicePrimaryCtxRetain, _call(cu.cuDeviceGet, device))


class _Device:
    """Makes a device the current one of this thread, within a with statement."""

    def __init__(self, number: int) -> None:
        self._context = _context(number)

    def __enter__(self) -> None:
        _call(cu.cuCtxPushCurrent, self._context)

    def __exit__(self, *_: object) -> None:
        _call(cu.cuCtxPopCurrent)


def on_device(number: int) -> AbstractContextManager[Any]:
    """Make a device the current one of this thread, within a with statement."""
    return nullcontext() if current_device() == number else _Device(number)


# --- streams and events -------------------------------------------------------------------------------------


def is_capturing(stream: int) -> bool:
    """Tell whether a stream is being captured: work on it is recorded for a graph, and not done."""
    status = _call(cu.cuStreamIsCapturing, stream)
    return bool(status == cu.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_ACTIVE)


class Event:
    """A point in the work on a stream."""

    def __init__(self) -> None:
        self._event = _call(cu.cuEventCreate, cu.CUevent_flags.CU_EVENT_DISABLE_TIMING.value)

    def __del__(self) -> None:
        if hasattr(self, "_event"):
            cu.cuEventDestroy(self._event)

    def record(self, stream: int) -> None:
        """Make this the point after all work that has been enqueued on a stream so far."""
        _call(cu.cuEventRecord, self._event, stream)

    def has_passed(self) -> bool:
        """Tell whether the work up to this point is done."""
        (error,) = cu.cuEventQuery(self._event)
        return not error

    def wait(self) -> None:
        """Let the host wait until this point has passed."""
        _call(cu.cuEventSynchronize, self._event)

    def hold(self, stream: int) -> None:
        """Let a stream wait until this point has passed; the host does not wait."""
        _call(cu.cuStreamWaitEvent, stream, self._event, 0)


def synchronize(stream: int) -> None:
    """Let the host wait until the work on a stream is done."""
    _call(cu.cuStreamSynchronize, stream)


# --- memory -------------------------------------------------------------------------------------------------


# Numba's 0-d arrays are parts of a larger array, a slab: freeing each by itself would wait for the device.
_SLAB = 512
_slabs: dict[int, Iterator[tuple[Any, int]]] = {}


def _new_slab() -> Iterator[tuple[Any, int]]:
    slab = cuda.device_array(_SLAB, np.float64)
    first = slab.__cuda_array_interface__["data"][0]
    return zip(repeat(slab), range(first, first + 8 * _SLAB, 8), strict=False)


def empty_scalar(dtype: Any, device: int) -> Any:
    """Return a new 0-d array of Numba's on this thread's device."""
    slab, address = next(_slabs.get(device, iter(())), (None, 0))
    if slab is None:
        _slabs[device] = _new_slab()
        slab, address = next(_slabs[device])
    return _scalar_at(address, dtype, slab)


def _scalar_at(address: int, dtype: Any, owner: Any) -> Any:
    interface = {"data": (address, False), "shape": (), "typestr": np.dtype(dtype).str, "version": 3}
    return cuda.from_cuda_array_interface(interface, owner=owner, sync=False)


def empty_scalars(count: int, dtype: Any) -> tuple[list[Any], int]:
    """Return new 0-d arrays of Numba's on this thread's device, one after the other, and their address."""
    every = cuda.device_array(count, dtype)
    first, item = every.__cuda_array_interface__["data"][0], np.dtype(dtype).itemsize
    return [_scalar_at(first + item * i, dtype, every) for i in range(count)], first


def allocate_pinned(words: int) -> NDArray[np.int64]:
    """Return pinned memory of the host, which a device can read."""
    pinned: NDArray[np.int64] = cuda.pinned_array(words, np.int64)
    return pinned


def upload(pinned: NDArray[np.int64], address: int, stream: int) -> None:
    """Copy pinned memory to a device; the host does not wait."""
    _call(cu.cuMemcpyHtoDAsync, address, pinned.ctypes.data, pinned.nbytes, stream)


def download(address: int, words: int, stream: int) -> NDArray[np.float64]:
    """Return `words` float64 from a device, after all work on the stream so far: the host waits."""
    values = np.empty(words)
    _call(cu.cuMemcpyDtoHAsync, values.ctypes.data, address, values.nbytes, stream)
    synchronize(stream)
    return values


# --- kernels ------------------------------------------------------------------------------------------------


def load(kernel: Kernel) -> Any:
    """Compile a kernel for this thread's device and load it; return its handle and its argument types."""
    device = _call(cu.cuCtxGetDevice)
    attribute = cu.CUdevice_attribute
    capability = (
        _call(cu.cuDeviceGetAttribute, attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device),
        _call(cu.cuDeviceGetAttribute, attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device),
    )
    code, entry = apart.run((kernel, capability), lambda: machine_code(kernel, capability))
    library = _call(cu.cuLibraryLoadData, code, [], [], 0, [], [], 0)
    # Loaded here, not at the first launch, which may be captured in a graph.
    function = _call(cu.cuKernelGetFunction, _call(cu.cuLibraryGetKernel, library, entry.encode()))
    types = tuple(ctypes.c_double if kind == float64 else ctypes.c_int64 for kind in kernel.types)
    kernel.loaded[int(device)] = function, types
    return kernel.loaded[int(device)]


def launch(kernel: Kernel, blocks: int, threads: int, stream: int, *arguments: float) -> None:
    """Launch a kernel on this thread's device."""
    function, types = kernel.loaded.get(int(_call(cu.cuCtxGetDevice))) or load(kernel)
    _call(cu.cuLaunchKernel, function, blocks, 1, 1, threads, 1, 1, 0, stream, (arguments, types), 0)
