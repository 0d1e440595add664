"""Work that nothing may break off, done in a thread of its own: loading Numba, and compiling.

What the handler of a signal raises, Ctrl-C with it, what one thread raises in another, and a recursion that
is too deep come in the thread of a caller, at any point. In the middle of an import they leave Numba half
made for good. So the caller only waits: an exception ends that, the work goes on, and the next caller waits
for the rest of it.
"""

import os
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from numclip._core import process

# How often a caller that waits looks whether there is anything to wait for. Windows handles Ctrl-C no sooner.
_SECONDS = 0.05
_STACK = 8 << 20
_works: dict[Hashable, "_Work"] = {}


def run(key: Hashable, function: Callable[[], Any]) -> Any:
    """Return what a function returns, called apart; callers of one key at one time share one call."""
    _refuse_inside_numba()
    return _works.setdefault(key, _Work(key, function)).wait()


class _Work:
    """One call, and those who wait for it.

    Any thread can be interrupted between any two steps, and call this again from there: so no step holds a
    lock that the next needs, and each may be done twice.
    """

    def __init__(self, key: Hashable, function: Callable[[], Any]) -> None:
        self._key, self._function = key, function
        self._begun, self._done = threading.Lock(), False
        self._result: Any = None
        self._error: BaseException | None = None
        self._waiting: list[Any] = []
        self._thread: threading.Thread | None = None
        self.worker: int | None = None

    def wait(self) -> Any:
        """Return the result once it is there, or raise what the function has raised."""
        if self.worker == threading.get_ident() and not self._done:
            raise RuntimeError(
                "numclip was called in the middle of its own first call, by a finalizer or the garbage "
                "collector: call numclip.warmup() before"
            )
        woken = threading.Lock()
        woken.acquire()
        self._waiting.append(woken)
        while not self._done:
            self._start()
            if not woken.acquire(timeout=_SECONDS):
                self._refuse_deadlock()
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result

    def _start(self) -> None:
        """Start the thread, unless it is there; a child of a fork has none of its parent's."""
        if self._thread is not None and self._thread.is_alive():
            return
        # Not a daemon: a process that ends in the middle of a compilation may crash.
        thread = threading.Thread(target=self._run, name="numclip", daemon=False)
        try:
            if sys.is_finalizing():
                raise RuntimeError("a thread would not run")
            with _enough_stack():
                thread.start()
        except RuntimeError:  # there can be no more threads, or none at all
            with process.without_signals():
                self._run()
        else:
            self._thread = thread

    def _run(self) -> None:
        with process.busy:
            if not self._begun.acquire(blocking=False):
                return
            self.worker = threading.get_ident()
            try:
                self._result = self._function()
            except BaseException as error:  # it is raised where the result is waited for
                self._error = error
                _forget_half_made_modules()
            self._finish()

    def _finish(self) -> None:
        _works.pop(self._key, None)
        self._done = True
        while self._waiting:
            self._waiting.pop().release()

    def lose(self) -> None:
        """Give the work up in the child of a fork that could wait no longer for it."""
        if self.worker not in (None, threading.get_ident()):
            self._error = RuntimeError("this process was forked while its parent compiled")
            self._finish()

    def _refuse_deadlock(self) -> None:
        """Raise if the work waits for a module that this thread is about to import: neither would go on."""
        frames, thread, own = sys._current_frames(), self.worker, threading.get_ident()
        module = None
        for _ in range(len(frames)):
            frame = frames.get(thread) if thread is not None and thread != own else None
            lock = frame.f_locals.get("self") if frame and frame.f_code.co_name == "acquire" else None
            if type(lock).__name__ != "_ModuleLock":
                break
            module, owner = getattr(lock, "name", None), getattr(lock, "owner", None)
            thread = owner
        if module is not None and thread == own:
            raise RuntimeError(
                f"numclip was called for the first time in the middle of the import of {module}, which Numba "
                "needs: call numclip.warmup() before that import"
            )


@contextmanager
def _enough_stack() -> Iterator[None]:
    """Let threads have the stack that LLVM needs, also in a program that has set less for its own."""
    size = threading.stack_size()
    if 0 < size < _STACK:
        threading.stack_size(_STACK)
    try:
        yield
    finally:
        threading.stack_size(size)


def _refuse_inside_numba() -> None:
    """Raise if this thread is in the middle of Numba, or looks for a module: the work would wait for it.

    The handler of a signal, a finalizer, or what the garbage collector calls may come there. Who looks for a
    module holds the one lock of all imports.
    """
    lock = process.compiler_lock()
    inside = "Numba is loaded or compiles" if lock is not None and lock._is_owned() else ""
    frame: Any = sys._getframe()
    while frame is not None and not inside:
        module, function = str(frame.f_globals.get("__name__")), frame.f_code.co_name
        package = module.partition(".")[0]
        if package == "llvmlite" or (package == "numba" and function == "<module>"):
            inside = "Numba is loaded or compiles"
        elif module == "importlib._bootstrap" and function == "_find_spec":
            inside = "a module is imported"
        frame = frame.f_back
    if inside:
        raise RuntimeError(
            f"numclip was called for the first time while {inside} in this thread, by the handler of a "
            "signal, a finalizer or the garbage collector: call numclip.warmup() before"
        )


def _forget_half_made_modules() -> None:
    """Remove the modules whose package has failed to load: with a second copy of that they do not work."""
    for name in sorted(sys.modules):
        package = name.rpartition(".")[0]
        if name.startswith(("numba.", "llvmlite.")) and package not in sys.modules:
            with suppress(KeyError):
                del sys.modules[name]


def _after_fork_in_child() -> None:
    for work in [*_works.values()]:
        work.lose()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
