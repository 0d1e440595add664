"""Streams by their handles, and the order between two of them."""

from typing import Any, NamedTuple

from numclip._cuda.target import driver

# Handles of the CUDA API.
LEGACY, PER_THREAD = 1, 2


class Stream(NamedTuple):
    """A stream, and the object that keeps it alive."""

    handle: int
    owner: Any = None


def stream_of(stream: Any) -> Stream:
    """Return a stream of CuPy, torch, Numba or cuda.core, or of a plain handle."""
    handle: Any = stream
    if callable(protocol := getattr(stream, "__cuda_stream__", None)):
        handle = protocol()[1]
    else:
        for name in ("cuda_stream", "ptr", "handle", "value"):  # `value`: a handle of ctypes
            handle = getattr(handle, name, handle)
    try:
        if not isinstance(handle, str):
            return Stream(int(handle or 0) or LEGACY, stream)
    except TypeError:
        pass
    raise TypeError(f"stream should be a CUDA stream or its handle. Received {type(stream)}")


def wait_for(other: int, stream: int) -> None:
    """Let a stream wait for the work that is on another one so far; the host does not wait."""
    event = driver.Event()
    event.record(other)
    event.hold(stream)
