"""Another floating-point environment for the thread, as other libraries may leave it."""

import ctypes
import platform
import sys
from contextlib import contextmanager

X86 = platform.machine() in ("x86_64", "AMD64")
# The rounding modes of fesetround; and of fenv_t, the control word and its bits for subnormals.
ROUNDING = (
    {"down": 0x400, "up": 0x800, "zero": 0xC00} if X86 else {"up": 1 << 22, "down": 2 << 22, "zero": 3 << 22}
)
CONTROL, FLUSH = (7, 0x8040) if X86 else (0, 1 << 24)


@contextmanager
def environment(rounding=None, flush=False):
    """Change the floating-point environment of this thread."""
    libm = ctypes.CDLL("libm.dylib" if sys.platform == "darwin" else "libm.so.6")
    before, changed = (ctypes.c_uint32 * 16)(), (ctypes.c_uint32 * 16)()
    libm.fegetenv(before)
    libm.fegetenv(changed)
    if flush:
        changed[CONTROL] |= FLUSH
    libm.fesetenv(changed)
    if rounding:
        assert libm.fesetround(ROUNDING[rounding]) == 0
    try:
        yield
        after = (ctypes.c_uint32 * 16)()
        libm.fegetenv(after)
        control = after[CONTROL] & (0xFFC0 if X86 else 0xFFFFFFFF)
    finally:
        libm.fesetenv(before)
    assert bool(control & FLUSH) == flush
    assert bool(control & (0x6000 if X86 else 3 << 22)) == bool(rounding)
