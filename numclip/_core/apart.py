"""Work that no exception may interrupt, done in a thread of its own: loading Numba, and compiling.

A signal handler, such as that of Ctrl-C, another thread, or too deep a recursion can raise an exception in
the thread of a caller at any point. In the middle of an import it would leave Numba partly initialised for
the rest of the process. So the caller only waits: an exception ends the waiting, the work goes on, and the
next caller waits for the rest of it.
"""

import os
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from numclip._core import process
from numclip._core.interpreters import is_subinterpreter, refusal

# A waiting caller checks this often that the worker is alive and not in a deadlock. On Windows, Ctrl-C is
# handled only at these checks.
_SECONDS = 0.05
_STACK = 8 << 20
_works: dict[Hashable, "_Work"] = {}
_own = threading.local()


def run(key: Hashable, function: Callable[[], Any]) -> Any:
    """Return the result of a function, called in a thread of its own; callers of one key at once share it."""
    _refuse_inside_work()
    _refuse_inside_numba()
    return _works.setdefault(key, _Work(key, function)).wait()


class _Work:
    """One call, and the threads that wait for it.

    The methods are reentrant: code that interrupts a thread between two statements may call them again. So no
    statement holds a lock that the next one needs, and each may be executed twice.
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
        """Wait for the call; return its result, or raise its exception."""
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
        """Start the thread unless it is alive: in the child of a fork, a thread of the parent is not."""
        if self._thread is not None and self._thread.is_alive():
            return
        # Not a daemon: a process that ends in the middle of a compilation may crash.
        thread = threading.Thread(target=self._run, name="numclip", daemon=False)
        try:
            if sys.is_finalizing():
                raise RuntimeError("a thread would not run")
            with _enough_stack():
                thread.start()
        except RuntimeError:  # the process has too many threads, or is ending
            with process.without_signals():
                self._run()
        else:
            self._thread = thread

    def _run(self) -> None:
        _own.works = True
        try:
            with process.busy:
                self._work()
        finally:
            _own.works = False

    def _work(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        self.worker = threading.get_ident()
        try:
            self._result = self._function()
        except BaseException as error:  # `wait` raises it
            self._error = refusal(error) if isinstance(error, ImportError) and is_subinterpreter() else error
            _remove_orphaned_submodules()
        self._finish()

    def _finish(self) -> None:
        _works.pop(self._key, None)
        self._done = True
        while self._waiting:
            self._waiting.pop().release()

    def lose(self) -> None:
        """Give up work that a fork did not wait for, in its child, which does not have the thread."""
        if self.worker not in (None, threading.get_ident()):
            self._error = RuntimeError("this process was forked while its parent compiled")
            self._finish()

    def _refuse_deadlock(self) -> None:
        """Raise if the work waits for a module that this thread is importing: both would wait for ever."""
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
    """Start threads with the stack that LLVM needs, even if the program has set a smaller size."""
    size = threading.stack_size()
    if 0 < size < _STACK:
        threading.stack_size(_STACK)
    try:
        yield
    finally:
        threading.stack_size(size)


def _refuse_inside_work() -> None:
    """Raise in a thread that works: it would wait for another one, which waits for `process.busy`."""
    if getattr(_own, "works", False):
        raise RuntimeError(
            "numclip was called in the middle of its own first call, by a finalizer or the garbage "
            "collector: call numclip.warmup() before"
        )


def _refuse_inside_numba() -> None:
    """Raise if this thread is executing Numba, or searching for a module: the work would wait for it.

    A signal handler or a finalizer can call numclip from there. The search for a module holds the global
    import lock.
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


def _remove_orphaned_submodules() -> None:
    """Remove submodules whose package failed to load: they do not work with the package imported again."""
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
