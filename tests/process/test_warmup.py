"""warmup: the first call after it compiles nothing.

A plain ``@njit`` function compiles in the middle of a training step, once for each layout and each read-only
flag, and one with signatures refuses what they leave out: https://github.com/numba/numba/issues/4511.
"""

import re

import ml_dtypes
import numpy as np
import pytest
from arrays import DTYPES, LAYOUTS, random_array
from processes import run_python

import numclip
from numclip._cpu.backend import CPU

AFTER_WARMUP = """
import sys
import numpy as np
import numclip
from numba.core.dispatcher import Dispatcher
from policy import share_small_lists
share_small_lists(5000, 2)
numclip.warmup({dtypes})

def fail(dispatcher, signature):
    raise AssertionError(f"{{dispatcher}} was not compiled ahead for {{signature}}")

Dispatcher.compile = fail
for dtype in {dtypes}:
    for size in (3, 10_000, 600_000):
        grads = [np.ones(size, dtype), np.ones((4, 3), dtype)[:, 1]]
        numclip.global_norm(grads)
        numclip.clip_by_global_norm(grads, 1.0)
        numclip.clip_by_global_norm(grads[:1], 1.0, out=grads[:1])
        numclip.clip_by_global_norm(grads, 1.0, 2.0)
        numclip.Clipper(grads, 1.0)()
numclip.clip_by_global_norm([np.ones(9, dtype) for dtype in {dtypes}], 1.0)
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtypes", [("float32",), ("float64", "complex64", "float16")], ids=str)
def test_nothing_is_compiled_after_it(dtypes):
    assert run_python("-c", AFTER_WARMUP.format(dtypes=dtypes)).stdout == "done\n"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes_and_their_names_are_taken(dtype):
    assert numclip.warmup([dtype]) is None
    assert numclip.warmup([dtype.name, dtype.type]) is None
    assert numclip.warmup(dtype.name) is None


def test_what_is_no_dtype_of_gradients_is_refused_before_anything_is_compiled(monkeypatch):
    monkeypatch.setattr(CPU, "compile_ahead", None)
    with pytest.raises(TypeError, match=r"^dtypes\[1\] is int32, expected a floating or complex dtype$"):
        numclip.warmup(["float32", np.int32])
    with pytest.raises(TypeError, match=r"^dtypes\[0\] is bfloat17"):
        numclip.warmup(["bfloat17"])
    with pytest.raises(ValueError, match=r'^device should be "cpu" or "cuda"'):
        numclip.warmup(device="gpu")


def test_no_layout_and_no_flag_needs_a_compilation_of_its_own(monkeypatch, rng):
    from numba.core.dispatcher import Dispatcher

    numclip.warmup(DTYPES)
    monkeypatch.setattr(Dispatcher, "compile", None)
    for dtype in DTYPES:
        for layout in LAYOUTS:
            numclip.clip_by_global_norm([layout(random_array(rng, dtype, (5, 7)))], 0.1)


VERBOSE = """
import logging, numclip
numclip.warmup({verbose})
assert not logging.getLogger("numclip").handlers
assert logging.getLogger("numclip").propagate
assert logging.getLogger("numclip").level == logging.NOTSET
"""


def test_it_says_what_the_time_is_spent_on(tmp_path):
    for verb in ("compiled", "loaded"):
        code = VERBOSE.format(verbose="verbose=True")
        lines = run_python("-c", code, NUMBA_CACHE_DIR=str(tmp_path)).stderr.splitlines()
        assert lines[0] == "numclip: loading Numba, and compiling for float32: some seconds, once"
        assert re.fullmatch(r"numclip: loaded Numba in \d+\.\d\d s", lines[1])
        for line in lines[2:]:
            assert re.fullmatch(rf"numclip: {verb} \w+( float32)?( parallel)? in \d+\.\d\d s", line)
        assert len(lines) >= 8


def test_it_says_nothing_unasked():
    assert run_python("-c", VERBOSE.format(verbose="")).stderr == ""


def test_a_first_call_is_logged():
    code = "import logging; logging.basicConfig(level='INFO')\n" + VERBOSE.format(verbose="")
    assert "INFO:numclip:loaded Numba in" in run_python("-c", code).stderr


def test_a_name_needs_no_package_that_makes_the_dtype():
    code = "import sys, numclip; numclip.warmup(['bfloat16']); assert 'ml_dtypes' not in sys.modules"
    run_python("-c", code)
    assert ml_dtypes.bfloat16  # it is there, and was not loaded
