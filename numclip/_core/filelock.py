"""A lock between processes, by a file lock of the system, which releases it when its process ends."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_SECONDS = 0.02  # between two attempts


@contextmanager
def held(path: Path, timeout: float) -> Iterator[bool]:
    """Hold the lock of a file, which is removed at the end; yield whether it is held.

    It is not held after `timeout` seconds, or where no file can be locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file: Any = path.open("ab")
    except OSError:
        yield False
        return
    with file:
        locked = _lock_within(file, timeout)
        try:
            yield locked
        finally:
            if locked:
                with suppress(OSError):  # Windows removes no file that another process has opened
                    path.unlink()


def _lock_within(file: IO[bytes], timeout: float) -> bool:
    end = time.monotonic() + timeout
    while True:
        try:
            _lock(file)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_SECONDS)
        except (OSError, ImportError):  # the file system, or Python, has no locks
            return False
        else:
            return True


def _lock(file: IO[bytes]) -> None:
    """Take the lock at once, or raise a BlockingIOError."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            raise BlockingIOError from None
    else:
        import fcntl

        # Not `lockf`: its locks end when this process closes the file anywhere.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
