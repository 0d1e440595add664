"""Children of a process that has run parallel kernels clip as their parent does.

Guards against what plain Numba does:

- under GNU OpenMP the first parallel kernel ends such a child with "Terminating: fork() called from a process
  already using GNU OpenMP, this is unsafe": https://github.com/scverse/fast-array-utils/issues/179;
- under TBB a fork from another thread than the main one leaves it with a broken scheduler:
  https://github.com/numba/numba/issues/5973;
- under TBB on one core, a process that has forked waits for ever when it ends:
  https://github.com/numba/numba/issues/10556, https://github.com/uxlfoundation/oneTBB/issues/2056.
"""

import os
import subprocess
import sys

import pytest
from layers import LAYERS, needs_openmp
from processes import SUPPORT, run_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SCRIPT = SUPPORT / "forking.py"
# The ways to fork, and the number of forks of each.
WAYS = {
    "by_fork": 1,
    "by_fork_of_fork": 2,
    "by_process": 1,
    "by_pool": 3,
    "from_thread": 1,
    "while_others_clip": 5,
}


def fork(how, layer, repeats=1, starts_pool="other library"):
    run = run_python(SCRIPT, how, repeats, starts_pool, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert "done" in run.stdout.splitlines()  # Numba prints too where it could not stop TBB
    assert "Terminating" not in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS)
def test_after_parallel_kernels_of_numclip(how):
    fork(how, "tbb", starts_pool="numclip")


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_after_parallel_kernels_of_another_library(layer):
    fork("by_fork", layer)


@pytest.mark.long
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("how", WAYS)
def test_a_hundred_times(how, layer, figures):
    fork(how, layer, repeats=100)
    figures("fork", 100 * WAYS[how], f"forks under {layer}")


DURING_FIRST_CALL = """
import os, sys, threading, time
import numpy as np
import numclip
grads = [np.array([3.0, 4.0], np.float32)]
thread = threading.Thread(target=numclip.global_norm, args=(grads,))
thread.start()
time.sleep({delay})
child = os.fork()
if child == 0:
    os._exit(0 if numclip.global_norm(grads) == 5.0 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
thread.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.05, 0.3, pytest.param(1.0, marks=pytest.mark.long)])
def test_while_another_thread_loads_numba_or_compiles(tmp_path, delay):
    code = "import warnings; warnings.simplefilter('ignore')\n" + DURING_FIRST_CALL.format(delay=delay)
    run_python("-c", code, timeout=180, NUMBA_CACHE_DIR=str(tmp_path))


ON_ONE_CORE = """
import os, sys, threading, warnings
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numba, numpy as np
from forking import arrays, other_library
from policy import share_small_lists
import numclip
from numclip._cpu import tbb
share_small_lists(5000, 2)
warnings.simplefilter("ignore", DeprecationWarning)
tbb.layer()  # finds TBB in a virtual environment
start = {"numclip": lambda: numclip.global_norm(arrays()), "Numba": lambda: other_library(np.ones(1000))}
thread = threading.Thread(target=start[sys.argv[1]])
thread.start() if sys.argv[2] == "thread" else thread.run()
if sys.argv[2] == "thread":
    thread.join()
assert numba.threading_layer() == "tbb"
if os.fork() == 0:
    os._exit(0)
os.wait()
print("done", flush=True)
"""


def on_one_core(starts_pool, where, timeout):
    return run_python("-c", ON_ONE_CORE, starts_pool, where, timeout=timeout, NUMBA_THREADING_LAYER="tbb")


one_core = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cannot choose a core")


@pytest.mark.slow
@one_core
@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_process_that_forked_on_one_core_ends(where):
    assert on_one_core("numclip", where, timeout=300).stdout == "done\n"


@pytest.mark.long
@one_core
def test_one_of_plain_numba_does_not():
    with pytest.raises(subprocess.TimeoutExpired) as stopped:
        on_one_core("Numba", "main", timeout=30)
    assert stopped.value.stdout == b"done\n"


PLAIN_NUMBA = """
import os, numpy as np
from forking import other_library
other_library(np.ones(1000))
child = os.fork()
if child == 0:
    other_library(np.ones(1000))
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP")
@needs_openmp
def test_plain_numba_ends_the_child():
    run = run_python("-c", PLAIN_NUMBA, NUMBA_THREADING_LAYER="omp", NUMBA_NUM_THREADS="2")
    assert run.stdout.strip() != "0"
    assert "fork() called from a process already using GNU OpenMP" in run.stderr
