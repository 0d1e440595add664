"""Ctrl-C during a call on a large list: the exception comes when the call is complete; the process lives.

Plain Numba code cannot be interrupted either (https://github.com/numba/numba/issues/5551); where signals were
made to break off native code, what held locks and buffers was lost:
https://github.com/numpy/numpy/issues/7545.
"""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from policy import share_every_list
from processes import run_python

import numclip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

COUNT, SIZE = 8, 1_000_000


def arrays():
    return [np.full(SIZE + i, 1.0 + i, np.float32) for i in range(COUNT)]


def expected():
    return [array[0] for array in numclip.clip_by_global_norm(arrays(), 1.0)[0]]


def interrupting(delay):
    """Return a thread that sends Ctrl-C to this process."""

    def send():
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    return threading.Thread(target=send)


@pytest.fixture(autouse=True)
def handler():
    # A shell starts background processes with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def clip_until_interrupted(thread, call, refill):
    thread.start()
    while True:
        refill()
        call()


def interrupted(call, delay, grads):
    """Return after Ctrl-C has come; each array must be clipped or untouched, none in part."""

    def refill():
        for i, array in enumerate(grads):
            array[:] = 1.0 + i

    thread = interrupting(delay)
    with pytest.raises(KeyboardInterrupt):
        clip_until_interrupted(thread, call, refill)
    thread.join()
    assert all((array == array[0]).all() for array in grads)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def blocks(request, monkeypatch):
    share_every_list(request.param, monkeypatch.setattr)


def repeat(repeats, blocks):
    values = expected()
    rng = np.random.default_rng(1)
    for _ in range(repeats):
        grads = arrays()
        calls = [
            numclip.Clipper(grads, 1.0),
            lambda grads=grads: numclip.clip_by_global_norm(grads, 1.0, out=grads),
            lambda grads=grads: numclip.clip_by_global_norm(grads, 1.0),
        ]
        interrupted(calls[rng.integers(3)], float(rng.uniform(0, 0.05)), grads)
        # The next call works.
        for i, array in enumerate(grads):
            array[:] = 1.0 + i
        results, _ = numclip.clip_by_global_norm(grads, 1.0, out=grads)
        assert [array[0] for array in results] == values
        assert all((array == array[0]).all() for array in grads)


def test_the_process_lives_and_the_next_call_works(blocks):
    repeat(4, blocks)


@pytest.mark.long
def test_a_hundred_interrupts(blocks, figures):
    repeat(100, blocks)
    figures("interrupts", 100, "times Ctrl-C during a call")


def test_a_call_is_complete_when_the_interrupt_comes(monkeypatch):
    # The signal arrives while the compiled code of this call runs: no Python code runs in between.
    share_every_list(1, monkeypatch.setattr)
    grads, values = arrays(), expected()
    numclip.clip_by_global_norm([array[:9].copy() for array in grads], 1.0)
    came = []
    before = signal.signal(signal.SIGALRM, lambda *_: came.append(grads[0][0] == values[0]))
    try:
        for delay in (0.0005, 0.001, 0.002):
            for i, array in enumerate(grads):
                array[:] = 1.0 + i
            signal.setitimer(signal.ITIMER_REAL, delay)
            numclip.clip_by_global_norm(grads, 1.0, out=grads)
            time.sleep(0.02)
            assert all((array == value).all() for array, value in zip(grads, values, strict=True))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(came) == 3


FIRST_CALL = """
import os, signal, threading, time
import numpy as np
import numclip
signal.signal(signal.SIGINT, signal.default_int_handler)
grads = [np.array([3.0, 4.0], np.float32)]
thread = threading.Thread(target=lambda: (time.sleep({delay}), os.kill(os.getpid(), signal.SIGINT)))
thread.start()
came = False
try:
    while thread.is_alive():
        numclip.global_norm(grads)
    time.sleep(0.1)
except KeyboardInterrupt:
    came = True
thread.join()
assert came
assert numclip.global_norm(grads) == 5.0
"""


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.08, 0.3])
def test_an_interrupt_of_the_first_call_does_not_spoil_the_next(delay):
    run_python("-c", FIRST_CALL.format(delay=delay))
