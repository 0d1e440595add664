"""Streams by their handles: those of a library, of the caller, and the order between two of them."""

from typing import Any

from numclip._cuda.target import driver

# Handles of the CUDA API.
LEGACY, PER_THREAD = 1, 2


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
            return int(handle) or LEGACY
    except TypeError:
        pass
    raise TypeError(f"stream should be a CUDA stream or its handle. Received {type(stream)}")


def wait_for(other: int, stream: int) -> None:
    """Let a stream wait for what another one has been given so far; the host does not wait."""
    event = driver.Event()
    event.record(other)
    event.hold(stream)
