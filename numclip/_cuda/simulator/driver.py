"""The functions of `numclip._cuda.driver` for Numba's simulator: one device, and all work is done at once."""

import ctypes
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from numclip._cuda.kernel import Kernel

_one_at_a_time = threading.Lock()


def require() -> None:
    """Do nothing: the simulator needs no driver."""


class UnknownAddress(Exception):
    """An address belongs to no CUDA device."""


def current_device() -> int:
    """Return 0, the only device."""
    return 0


def device_of(address: int) -> int:
    """Return 0, the only device."""
    return 0


def on_device(number: int) -> AbstractContextManager[Any]:
    """Do nothing: there is one device."""
    return nullcontext()


def is_capturing(stream: int) -> bool:
    """Return False: the simulator has no graphs."""
    return False


class Event:
    """A point in the work on a stream, which has passed."""

    def record(self, stream: int) -> None:
        """Do nothing."""

    def has_passed(self) -> bool:
        """Return True."""
        return True

    def wait(self) -> None:
        """Do nothing."""

    def hold(self, stream: int) -> None:
        """Do nothing."""


def synchronize(stream: int) -> None:
    """Do nothing."""


def empty_scalar(dtype: Any, device: int) -> Any:
    """Return a new 0-d array of the simulator."""
    return cuda.device_array((), dtype)


def empty_scalars(count: int, dtype: Any) -> tuple[list[Any], int]:
    """Return new 0-d arrays of the simulator, one after the other, and the address of the first."""
    every = cuda.device_array(count, dtype)
    return [every[i : i + 1].reshape(()) for i in range(count)], every.ctypes.data


def allocate_pinned(words: int) -> NDArray[np.int64]:
    """Return memory of the host."""
    return np.empty(words, np.int64)


def upload(pinned: NDArray[np.int64], address: int, stream: int) -> None:
    """Copy to an address."""
    ctypes.memmove(address, pinned.ctypes.data, pinned.nbytes)


def download(address: int, words: int, stream: int) -> NDArray[np.float64]:
    """Return `words` float64 from an address."""
    values = np.empty(words)
    ctypes.memmove(values.ctypes.data, address, values.nbytes)
    return values


def load(kernel: Kernel) -> None:
    """Do nothing: the simulator runs Python."""


def launch(kernel: Kernel, blocks: int, threads: int, stream: int, *arguments: Any) -> None:
    """Run a kernel; the simulator cannot run two at a time."""
    with _one_at_a_time:
        kernel.body[blocks, threads](*arguments)
