"""Calls from several Python threads: right results, under every threading layer.

Guards against what plain Numba does: its workqueue layer ends a process in which parallel functions are
called from two threads, with "Concurrent access has been detected":
https://github.com/numba/numba/issues/8563, and https://github.com/numba/numba/issues/9288 in a library.
"""

import sys
import threading

import numpy as np
import pytest
from layers import LAYERS
from policy import replace, share_every_list
from processes import SUPPORT, run_python

import numclip
from numclip._cpu import census, kernels
from numclip._cpu.threads import policy

SCRIPT = SUPPORT / "threading_calls.py"


def call_from_threads(layer, calls, others):
    run = run_python(SCRIPT, calls, others, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    # Without the other library, numclip starts TBB alone.
    assert run.stdout.split()[-1] == (layer if others == "with others" or layer == "tbb" else "none")


@pytest.mark.slow
@pytest.mark.parametrize("others", ["alone", "with others"])
@pytest.mark.parametrize("layer", LAYERS)
def test_eight_threads(layer, others):
    call_from_threads(layer, 50, others)


@pytest.mark.long
@pytest.mark.parametrize("others", ["alone", "with others"])
@pytest.mark.parametrize("layer", LAYERS)
def test_eight_threads_a_thousand_calls(layer, others, figures):
    call_from_threads(layer, 1000, others)
    figures("threads", 8 * 1000 * 2, f"calls from 8 threads under {layer}, of shared and of own lists")


FIRST_CALLS = """
import sys, threading
import numpy as np
import numclip
from numclip._cpu import kernels
sys.setswitchinterval(1e-5)
barrier, failures = threading.Barrier(8), []

def first_call(dtype, way):
    arrays = [np.array([3.0], dtype), np.array([4.0], dtype)]
    barrier.wait()
    try:
        if way == 0:
            norm = numclip.clip_by_global_norm(arrays, 1.0)[1]
        elif way == 1:
            norm = numclip.Clipper(arrays, 1.0)()
        else:
            norm = numclip.global_norm(arrays)
        assert norm == 5.0, norm
    except BaseException as error:
        failures.append(error)

threads = [threading.Thread(target=first_call, args=({dtypes}[i % 2], i % 3)) for i in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures, failures
print("done")
"""


def first_calls(directory, dtypes):
    run = run_python("-c", FIRST_CALLS.format(dtypes=dtypes), NUMBA_CACHE_DIR=str(directory))
    assert run.stdout == "done\n"


@pytest.mark.slow
def test_first_calls_at_once(tmp_path):
    first_calls(tmp_path, ("float32", "float32"))


@pytest.mark.long
@pytest.mark.parametrize("repeat", range(5))
def test_first_calls_of_two_dtypes_at_once(tmp_path, repeat, figures):
    first_calls(tmp_path, ("float32", "float64"))
    figures("threads", 8, "first calls at once")


def test_the_list_is_read_once():
    # Another thread replaces the entries all the time: each call sees each entry as it was at some moment.
    ones, twos = np.ones(100, np.float32), np.full(200, 2.0, np.float32)
    allowed = {np.float32(np.sqrt(100.0 * a + 800.0 * b)) for a in range(4) for b in range(4)}
    t_list, stop = [ones, None, twos], threading.Event()

    def mutate():
        rng = np.random.default_rng(1)
        while not stop.is_set():
            t_list[rng.integers(3)] = (ones, twos, None)[rng.integers(3)]

    thread = threading.Thread(target=mutate)
    thread.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(500):
            assert numclip.global_norm(t_list) in allowed
            results, norm = numclip.clip_by_global_norm(t_list, 1.0)
            assert len(results) == 3
            assert norm in allowed
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()


def test_other_threads_run_during_a_large_call():
    array, ran, started = np.ones(20_000_000, np.float32), threading.Event(), threading.Event()

    def other():
        started.wait()
        ran.set()

    numclip.global_norm([array[:70_000]])  # compiled
    thread = threading.Thread(target=other)
    thread.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)  # the interpreter does not switch threads by itself
    try:
        started.set()
        for _ in range(100):  # on one core, the other thread may have to wait for its turn
            if not ran.is_set():
                numclip.global_norm([array])
        assert ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        thread.join()


PLAIN_NUMBA = """
import threading, numpy as np
from threading_calls import other_library
other_library(np.ones(10))
def call():
    for i in range(2000):
        other_library(np.ones(1000))
threads = [threading.Thread(target=call) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_plain_numba_ends_the_process():
    settings = {"NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    run = run_python("-c", PLAIN_NUMBA, check=False, **settings)
    assert run.returncode != 0
    assert "Concurrent access has been detected" in run.stdout + run.stderr


# --- how many threads a call uses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "running", "expected"),
    [
        (4_000_000, 0, 1),
        (4_000_001, 0, 8),
        (4_000_001, 5, 3),
        (5_000_000, 7, 1),
        (63_999_999, 9, 1),
        (64_000_000, 9, 8),
    ],
)
def test_a_list_is_shared_among_idle_cores(monkeypatch, elements, running, expected):
    replace(monkeypatch.setattr, runs_tbb=lambda: True, numba_threads=lambda: 16, available_cores=lambda: 8)
    replace(monkeypatch.setattr, running_threads=lambda known, unknown: running)
    assert policy.blocks(elements) == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_a_thread_that_computes_is_seen_to_run():
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            np.ones(1_000_000).sort()

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        assert any(census.running_threads(set(), 0) > 0 for _ in range(10_000))
        with policy.noting_workers():
            late = threading.Thread(target=stop.wait)
            late.start()
        assert str(late.native_id) in policy._workers
    finally:
        stop.set()
        thread.join()
        late.join()
        policy._workers.discard(str(late.native_id))


@pytest.mark.parametrize("few", [0, 1000], ids=["many threads", "few threads"])
def test_threads_that_sleep_do_not_count(monkeypatch, few):
    stop = threading.Event()
    sleepers = [threading.Thread(target=stop.wait) for _ in range(8)]
    for sleeper in sleepers:
        sleeper.start()
    replace(monkeypatch.setattr, few_threads=few)
    try:
        assert any(census.running_threads(set(), 9) == 0 for _ in range(10_000))
        replace(monkeypatch.setattr, runs_alone=lambda: True, read=lambda path: b"1 (python) R")
        assert census.running_threads(set(), 9) == 0 if few == 0 else census.running_threads(set(), 9) >= 8
    finally:
        stop.set()
        for sleeper in sleepers:
            sleeper.join()


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        (b"0.1 0.2 0.3 1/99 7\n", True),
        (b"0.1 0.2 0.3 2/99 7\n", False),
        (b"0.1 0.2 0.3 12/99 7\n", False),
        (b"0.00 0.00 0.00 0/0 0\n", False),  # a sandbox hides the load
        (b"", False),
    ],
)
def test_a_thread_that_runs_alone(monkeypatch, text, alone):
    replace(monkeypatch.setattr, read=lambda path: text)
    assert census._runs_alone() is alone


def test_where_the_system_does_not_tell_all_cores_count_as_busy(monkeypatch):
    replace(monkeypatch.setattr, thread_ids=set)
    assert census.running_threads(set(), 5) == 5


def test_no_thread_is_asked_to_write_where_nothing_is_clipped(monkeypatch):
    share_every_list(2, monkeypatch.setattr)
    scale, calls = kernels.scale, []

    def record(*choices, **options):
        calls.append(choices)
        return scale(*choices, **options)

    monkeypatch.setattr(kernels, "scale", record)
    grads = [np.full(5000, 2.0, np.float32), None, np.ones(3)]
    numclip.global_norm(grads)
    numclip.clip_by_global_norm(grads, 1e6, out=grads)
    assert calls == []

    fresh, norm = numclip.clip_by_global_norm(grads, 1e6)
    assert len(calls) == 2
    np.testing.assert_array_equal(fresh[0], grads[0])
    numclip.clip_by_global_norm(grads, norm / 2, out=grads)
    assert len(calls) == 4
    assert (grads[0] == 1.0).all()
