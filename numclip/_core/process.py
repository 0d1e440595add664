"""The process that numclip runs in: loading Numba in it, forks of it, and Ctrl-C."""

import logging  # noqa: F401 what it does before a fork, taking its lock, has to come after what is done here
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Held while Numba is loaded.
loading = threading.RLock()
_forked = False
_held: list[Any] = []
_LONGEST_COMPILATION = 30.0


def _before_fork() -> None:
    """Wait until no other thread loads Numba or compiles: a child would wait for its locks for ever."""
    if loading.acquire(timeout=_LONGEST_COMPILATION):
        _held.append(loading)
    compiler = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    lock = getattr(compiler, "_lock", None)
    if lock is not None and lock.acquire(timeout=_LONGEST_COMPILATION):
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


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off until the end: after one in the middle of its import, Numba is broken for good."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    try:
        signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            before(*came[0])


def is_forked() -> bool:
    """Tell whether this process is the child of a fork: it has none of its parent's threads."""
    return _forked
