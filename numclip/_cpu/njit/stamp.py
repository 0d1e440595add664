"""A mark in the machine code that callers keep on disk: that of another version of numclip is not loaded."""

from typing import Any

from numba import types
from numba.extending import intrinsic

from numclip._core.cache import package_stamp
from numclip._core.emit import emitter

emits = emitter(intrinsic)


class Stamp:
    """A mark in the caller's machine code on disk: that of another version of numclip is not loaded.

    Numba reads an `OSError` as a file that has gone, and compiles again.
    """

    def __reduce__(self) -> Any:
        """Keep the digest of the package that was compiled in."""
        return _check_stamp, (package_stamp(),)


def _check_stamp(stamp: str) -> Stamp:
    if stamp != package_stamp():
        raise OSError("compiled with another version of numclip")
    return Stamp()


@emits(lambda: types.void())
def mark(emit: Any) -> None:
    """Put a stamp among the constants that are kept with the machine code of the function."""
    emit.context.environment.consts.append(Stamp())
