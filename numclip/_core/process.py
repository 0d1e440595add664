"""The process that numclip runs in: its forks, and its signals."""

# Both register a hook that takes a lock before a fork. Hooks are called last to first: as these are imported
# here, `_before_fork` comes before theirs.
import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

# Held while Numba is being loaded or numclip compiles: a fork waits for it.
busy = threading.RLock()
_forked = False
_held: list[Any] = []
_LONGEST_WORK = 120.0


def compiler_lock() -> Any:
    """Return Numba's lock around the compiler, or None before Numba is loaded."""
    compiler = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    return getattr(compiler, "_lock", None)


def _before_fork() -> None:
    """Wait until no other thread loads Numba or compiles: a child would wait for its locks for ever."""
    if busy.acquire(timeout=_LONGEST_WORK):
        _held.append(busy)
    lock = compiler_lock()
    if lock is not None and lock.acquire(timeout=_LONGEST_WORK):
        _held.append(lock)


def _after_fork() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    global _forked  # noqa: PLW0603
    _forked = True
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def is_forked() -> bool:
    """Tell whether this process is the child of a fork: it has none of its parent's threads."""
    return _forked


@contextmanager
def without_signals() -> Iterator[None]:
    """Defer the calls of signal handlers to the end, if this is the main thread, which calls them."""
    came: list[tuple[int, FrameType | None]] = []
    handlers: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in map(int, signal.valid_signals()):
                handler = signal.getsignal(number)
                with suppress(OSError, ValueError):  # the system reserves it, or this is a sub-interpreter
                    if callable(handler):
                        handlers[number] = handler
                        signal.signal(number, lambda number, frame: came.append((number, frame)))
        yield
    finally:
        for number, handler in handlers.items():
            with suppress(OSError, ValueError):
                signal.signal(number, handler)
        for number, frame in came:
            handlers[number](number, frame)
