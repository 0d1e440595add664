"""Missing requirements of CUDA arrays: the first call with one reports them; no other call needs them."""

import pytest
from compilers import skip_without_numba_cuda
from processes import run_python

NOBODYS_ARRAY = """
import sys
import numpy as np
import numclip

class Array:
    dtype = np.dtype(np.float32)
    __cuda_array_interface__ = {"version": 3, "shape": (1,), "typestr": "<f4", "data": (4096, False)}

try:
    numclip.global_norm([Array()])
except (ImportError, RuntimeError) as error:
    print(type(error).__name__, error)
numclip.global_norm([np.ones(3)])
"""


def test_without_numba_cuda_the_error_says_what_to_install():
    code = "import sys; sys.modules['numba_cuda'] = None" + NOBODYS_ARRAY
    output = run_python("-W", "error", "-c", code).stdout
    assert output.startswith(
        'ImportError clipping CUDA arrays needs numba-cuda: pip install "numba-cuda[cu13]>=0.30" "numpy<2.5"'
    )


def test_without_the_runtime_of_cuda_the_error_says_what_to_install():
    """numba-cuda 0.30 fails in this way if pip has installed it without its extra ``cu13``."""
    skip_without_numba_cuda()
    block = """
import sys

class Runtime:
    def find_spec(self, name, path=None, target=None):
        if name == "numba.cuda":
            raise RuntimeError('Failure finding "libcudart.so.13"')

sys.meta_path.insert(0, Runtime())
"""
    output = run_python("-W", "error", "-c", block + NOBODYS_ARRAY).stdout
    assert output.startswith(
        'ImportError numba-cuda cannot be loaded (RuntimeError: Failure finding "libcudart.so.13"): '
        'pip install "numba-cuda[cu13]>=0.30" "numpy<2.5"'
    )


@pytest.mark.slow
def test_without_a_driver_the_error_says_so():
    skip_without_numba_cuda()
    if run_python("-c", "from numba import cuda; print(cuda.is_available())").stdout.strip() == "True":
        pytest.skip("there is a driver")
    output = run_python("-W", "error", "-c", NOBODYS_ARRAY).stdout
    assert output.startswith("RuntimeError numclip finds no CUDA driver: ")


FILTERS = (
    """
import warnings
import numpy  # has filters of its own
before = list(warnings.filters)
"""
    + NOBODYS_ARRAY
    + """
[added] = [entry for entry in warnings.filters if entry not in before]
assert [entry for entry in warnings.filters if entry != added] == before
action, message, category, module, _ = added
print(action, category.__name__, module.pattern, message.match("The 'generic' unit, another") is None)
"""
)


@pytest.mark.slow
def test_the_filters_of_the_caller_stay_as_they_are():
    """Except for one new filter, for a warning of numba-cuda alone."""
    skip_without_numba_cuda()
    output = run_python("-W", "error", "-c", FILTERS).stdout
    assert output.splitlines()[-1] == r"ignore DeprecationWarning numba\.cuda\. True"


@pytest.mark.slow
def test_only_a_cuda_array_loads_the_cuda_side():
    code = "import sys, numpy, numclip; numclip.global_norm([numpy.ones(3)]); print(*sys.modules)"
    loaded = set(run_python("-c", code).stdout.split())
    assert not {"numba_cuda", "cupy", "torch", "numclip._cuda.plan", "numclip._cuda.driver"} & loaded
