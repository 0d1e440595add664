"""Sub-interpreters, such as those of mod_wsgi: calls work, with one thread.

Compiled code of Numba acquires the GIL by ``PyGILState_Ensure``, which waits for ever if the thread belongs
to another interpreter: https://github.com/python/cpython/issues/59956. From Python 3.13 on, Numba cannot be
loaded there: Python initializes an extension in the main interpreter first, and NumPy can be imported by one
interpreter of a process.
"""

import sys

import pytest
from processes import run_python

pytest.importorskip("_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters")

INSIDE = """
import sys, warnings
warnings.simplefilter("ignore")
sys.path[:] = {path!r}
import numpy as np
import numclip
from numclip._core.interpreters import is_subinterpreter
from numclip._cpu.threads import policy
assert is_subinterpreter()
policy.serial_elements = 1000
large = np.arange(5000, dtype=np.float32)
norms = [numclip.global_norm([np.array(x, np.float32)]) for x in ([3, 4], large)]
assert norms == [5.0, np.float32(np.sqrt(np.square(large.astype(float)).sum()))], norms
assert numclip.global_norm([large, np.full(3, 1e6)]) > norms[1]
assert numclip.clip_by_norm(np.array([[3.0, 4.0]]), 2.5, axes=1).tolist() == [[1.5, 2.0]]
assert numclip.clip_by_value(large, 0, 1).max() == 1.0
assert numclip.Clipper([large], 1.0)() == norms[1]
assert policy.blocks(10**9) == 1
numclip.show_config()
"""

OUTSIDE = """
import sys, threading
if sys.version_info < (3, 13):
    import _xxsubinterpreters as interpreters
    create = lambda: interpreters.create(isolated=False)
else:
    import _interpreters as interpreters
    create = lambda: interpreters.create("legacy")

def run():
    error = interpreters.run_string(create(), {inside!r})
    print("failed" if error else "done", error, flush=True)

if {in_thread}:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
else:
    run()
"""


REFUSED = "numclip cannot load Numba in a sub-interpreter"


@pytest.mark.parametrize("in_thread", [False, True], ids=["main thread", "another thread"])
def test_calls_work_with_one_thread(in_thread):
    inside = INSIDE.format(path=sys.path)
    run = run_python("-c", OUTSIDE.format(inside=inside, in_thread=in_thread), timeout=300)
    *shown, last = run.stdout.splitlines()
    if sys.version_info >= (3, 13):
        assert last.startswith("failed")
        assert REFUSED in last
        return
    assert last == "done None"
    assert any("one: this is not the main interpreter" in line for line in shown)
