"""Exceptions in the middle of the first call: they are raised, and the next call works.

In plain Numba an exception in the middle of ``import numba``, such as Ctrl-C or a time-out, leaves "module
'numba' has no attribute 'core'" for the rest of the process: modules that were complete stay without their
package.
"""

import sys

import pytest
from processes import SUPPORT, run_python

from numclip._core import apart

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks of Unix")

ENTRIES = ["call", "warmup", "show_config", "clip_by_value"]
DELAYS = [0.02, pytest.param(0.2, marks=pytest.mark.long), pytest.param(0.5, marks=pytest.mark.long)]
every_entry = pytest.mark.parametrize("entry", ENTRIES)
at_each_delay = pytest.mark.parametrize("delay", DELAYS)


# Numba says this of every fork, whatever it does, where another thread has started TBB.
ABOUT_TBB = "Numba: Attempted to fork from a non-main thread, the TBB library may be in an invalid state"


def outcome(case, entry, what, **settings):
    run = run_python(SUPPORT / "first_calls.py", case, entry, what, timeout=300, **settings)
    lines = run.stderr.splitlines()
    assert [line for line in lines if not (case == "fork_meanwhile" and line.startswith(ABOUT_TBB))] == []
    return run.stdout.strip()


@pytest.mark.parametrize("case", ["handler_raises", "ctrl_c", "another_thread_raises"])
@every_entry
@at_each_delay
def test_an_exception_arrives_and_the_next_call_works(case, entry, delay):
    # With a full cache, the first call may end before the exception.
    assert outcome(case, entry, delay) in {"came 5.0"} | {"late 5.0" for _ in range(delay > 0.1)}


@every_entry
@at_each_delay
def test_a_handler_that_raises_again_and_again(entry, delay):
    assert outcome("handler_raises_again_and_again", entry, delay) == "5.0"


@every_entry
@at_each_delay
def test_a_handler_that_clips_works_or_is_refused(entry, delay):
    assert outcome("handler_clips", entry, delay) in ("5.0 5.0", "refused 5.0")


@every_entry
def test_what_the_garbage_collector_calls_works_or_is_refused(entry):
    assert set(outcome("collector_clips", entry, 0).split()) <= {"5.0", "refused"}


def test_work_in_the_middle_of_work_is_refused():
    """The second call would wait for the end of the first."""
    with pytest.raises(RuntimeError, match=r"in the middle of its own first call.*numclip\.warmup\(\)"):
        apart.run("outer", lambda: apart.run("inner", int))
    assert apart.run("outer", int) == 0


def test_a_call_in_the_middle_of_a_look_for_a_module_is_refused():
    """The thread that loads Numba would wait for the import lock for ever."""
    assert outcome("finder_clips", "call", 0) == "refused 5.0"


def test_a_handler_that_clips_while_the_program_imports_numba_is_refused():
    assert outcome("handler_clips_while_numba_is_imported", "call", 0.05) == "refused 5.0"


def test_a_handler_that_clips_while_the_program_compiles_is_refused():
    assert set(outcome("handler_clips_while_numba_compiles", "call", 0.05).split()) == {"refused", "5.0"}


@pytest.mark.parametrize("entry", ["call", "warmup", "show_config"])
@at_each_delay
def test_a_fork_waits(entry, delay):
    assert outcome("fork_meanwhile", entry, delay) == "0"


@at_each_delay
def test_a_handler_that_forks(delay):
    assert outcome("handler_forks", "call", delay) == "0 5.0"


MODULES = [
    "llvmlite.ir.builder",
    "numba.core.types",
    "numba.parfors.parfor",
    "numba.cpython.slicing",
    "numclip._cpu.scaling",
]


@pytest.mark.parametrize("module", MODULES)
def test_an_import_that_fails_leaves_nothing_half_made(module):
    assert outcome("import_fails", "call", module) == "came 5.0"


@pytest.mark.parametrize("limit", [60, 100, 150])
def test_a_recursion_that_is_too_deep(limit):
    assert outcome("recursion", "call", limit) in ("came 5.0", "late 5.0")


@pytest.mark.parametrize("entry", ["call", "show_config"])
def test_a_program_whose_threads_have_little_stack(entry, tmp_path):
    assert outcome("small_stack", entry, 1 << 16, NUMBA_CACHE_DIR=str(tmp_path)) == "65536 5.0"


def test_a_program_that_can_start_no_thread():
    assert outcome("no_threads", "call", 0) == "5.0"


def test_the_first_call_when_the_interpreter_ends():
    assert outcome("at_exit", "call", 0) == "5.0"


PLAIN_NUMBA = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numba.parfors.parfor":
            raise TimeoutError  # as a handler would

sys.meta_path.insert(0, Finder())
try:
    import numba
except TimeoutError:
    sys.meta_path.pop(0)
import numba
numba.njit(lambda: 1)()
"""


def test_plain_numba_is_broken_for_good():
    assert "has no attribute 'core'" in run_python("-c", PLAIN_NUMBA, check=False).stderr
