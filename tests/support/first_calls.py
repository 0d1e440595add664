"""A first call that is interrupted in the middle; the tests compare its output.

python first_calls.py CASE ENTRY DELAY
"""

import contextlib
import ctypes
import gc
import io
import os
import signal
import sys
import threading
import time
import warnings

import numpy as np

import numclip

GRADS = [np.array([3.0, 4.0], np.float32)]


class TimeOut(Exception):
    """An exception that only the signal handler raises."""


def call():
    return float(numclip.clip_by_global_norm(GRADS, 1.0)[1])


def show():
    with contextlib.redirect_stdout(io.StringIO()):
        numclip.show_config()


ENTRIES = {
    "call": call,
    "warmup": numclip.warmup,
    "show_config": show,
    "clip_by_value": lambda: numclip.clip_by_value(GRADS[0], 0.0, 1.0),
}


def on_alarm(handler, delay, interval=0.0):
    signal.signal(signal.SIGALRM, lambda number, frame: handler())
    signal.setitimer(signal.ITIMER_REAL, delay, interval)


def no_alarm():
    signal.setitimer(signal.ITIMER_REAL, 0)


def expect(exception, entry, begin=lambda: None, end=lambda: None):
    """Call, with an interruption that begins before; `end` calls off one that has not come by then."""
    try:
        begin()
        entry()
        end()
    except exception:
        return "came"
    except BaseException as error:
        return repr(error)
    return "late"


def call_or_refusal(answers, inside=[]):  # noqa: B006 one list for all calls
    """Call, unless this is called by a signal handler that has interrupted it."""
    if inside:
        return
    inside.append(True)
    try:
        answers.add(str(call()))
    except RuntimeError as error:
        answers.add("refused" if "numclip.warmup()" in str(error) else str(error))
    finally:
        inside.clear()


def handler_raises(entry, delay):
    def handler():
        raise TimeOut

    print(expect(TimeOut, entry, lambda: on_alarm(handler, delay), no_alarm), call())


def handler_raises_again_and_again(entry, delay):
    calling = []

    def handler():
        if calling:
            calling.clear()
            raise TimeOut

    def call_again():
        calling.append(True)
        entry()
        calling.clear()

    on_alarm(handler, delay, delay)
    while expect(TimeOut, call_again) == "came":
        pass
    no_alarm()
    print(call())


def expect_from(timer, exception, entry):
    def call_off():
        timer.cancel()
        timer.join()

    return expect(exception, entry, timer.start, call_off)


def ctrl_c(entry, delay):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGINT))
    print(expect_from(timer, KeyboardInterrupt, entry), call())


def another_thread_raises(entry, delay):
    thread, error = ctypes.c_ulong(threading.get_ident()), ctypes.py_object(TimeOut)
    timer = threading.Timer(delay, lambda: ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error))
    print(expect_from(timer, TimeOut, entry), call())


def handler_clips(entry, delay):
    answers = set()
    on_alarm(lambda: call_or_refusal(answers), delay)
    entry()
    while not answers:  # the call was over before
        time.sleep(0.01)
    print(*answers, call())


def collector_clips(entry, delay):
    answers = set()
    gc.set_threshold(2000)
    gc.callbacks.append(lambda phase, info: call_or_refusal(answers))
    entry()
    gc.callbacks.clear()
    print(*answers, call())


def finder_clips(entry, delay):
    """Call from a finder, in the middle of the search for a module: Python holds the global import lock."""
    answers = set()

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "colorsys":
                call_or_refusal(answers)

    sys.meta_path.insert(0, Finder())
    import colorsys  # noqa: F401

    sys.meta_path.pop(0)
    print(*answers, call())


def handler_clips_while_numba_is_imported(entry, delay):
    answers = set()
    on_alarm(lambda: call_or_refusal(answers), delay, delay)
    import numba  # noqa: F401

    no_alarm()
    print(*answers, call())


def handler_clips_while_numba_compiles(entry, delay):
    import numba

    answers = set()
    on_alarm(lambda: call_or_refusal(answers), delay, delay)
    numba.njit(lambda x: np.linalg.norm(x) + np.sort(x)[0])(np.ones(3))
    no_alarm()
    print(*answers, call())


def fork_meanwhile(entry, delay):
    thread = threading.Thread(target=entry)
    thread.start()
    time.sleep(delay)
    child = os.fork()
    if child == 0:
        os._exit(call() != 5.0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    thread.join()  # the thread may have redirected stdout
    print(status)


def handler_forks(entry, delay):
    children, parent = [], os.getpid()
    on_alarm(lambda: children.append(os.fork()), delay)
    entry()
    while not children:  # the call was over before
        time.sleep(0.01)
    if os.getpid() != parent:
        os._exit(call() != 5.0)
    print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]), call())


def import_fails(entry, module):
    """Let the import of a module fail once, for lack of memory, files, or stack."""

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == module:
                raise TimeOut

    finder = Finder()
    sys.meta_path.insert(0, finder)
    first = expect(TimeOut, entry)
    sys.meta_path.remove(finder)
    print(first, call())


def recursion(entry, limit):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    first = expect(RecursionError, entry)
    sys.setrecursionlimit(before)
    print(first, call())


def small_stack(entry, size):
    threading.stack_size(size)
    entry()
    print(threading.stack_size(), call())


def no_threads(entry, _):
    def refuse(*arguments, **options):
        raise RuntimeError("can't start new thread")

    threading._start_new_thread = threading._start_joinable_thread = refuse
    entry()
    print(call())


def at_exit(entry, _):
    import atexit

    import numba  # noqa: F401 cannot be imported later, from Python 3.12 on

    atexit.register(lambda: print(call(), flush=True))


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # forks in a process with threads
    case, entry, what = sys.argv[1:]
    try:
        value = float(what) if "." in what else int(what)
    except ValueError:
        value = what
    globals()[case](ENTRIES[entry], value)
