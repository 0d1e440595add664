"""The contract once more, and tests of CUDA arrays alone, on devices without hardware.

Numba's simulator runs kernels as Python. Compiled kernels are run on the host, from their PTX.
"""

import re
from pathlib import Path

import pytest
from compilers import skip_without_compilers, skip_without_numba_cuda
from processes import run_python

TESTS = Path(__file__).parents[1]


def run_on_device(cases, **environment):
    """Run the tests in a process for a device, which its environment names; return how many passed.

    `cases` is ``"first"`` for a sample, one case of each test that is not slow, or ``"others"`` for the rest.
    """
    folders = [TESTS / "cuda" / "device", TESTS / "contract"]
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *folders]
    run = run_python(*command, check=False, timeout=3600, DEVICE_CASES=cases, **environment)
    assert run.returncode == 0, run.stdout + run.stderr
    return int(re.search(r"(\d+) passed", run.stdout)[1])


both_parts = pytest.mark.parametrize("cases", ["first", pytest.param("others", marks=pytest.mark.ci)])


@pytest.mark.slow
@both_parts
def test_on_the_simulator(figures, cases):
    skip_without_numba_cuda()
    passed = run_on_device(cases, NUMBA_ENABLE_CUDASIM="1")
    figures("CUDA simulator", passed, f"tests passed, {cases} cases")


@pytest.mark.slow
@both_parts
@pytest.mark.parametrize("capability", ["9.0", pytest.param("7.5", marks=pytest.mark.long)])
def test_on_compiled_kernels(figures, capability, cases):
    skip_without_compilers()
    passed = run_on_device(cases, PTX_CAPABILITY=capability)
    figures(f"PTX for {capability}", passed, f"tests passed, {cases} cases")


ON_THE_SIMULATOR = """
import warnings
import numpy as np
import numclip
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of this import, under NumPy 2.5
    from numba import cuda

rng = np.random.default_rng(0)
shapes = {"f4": (3, 5), "f8": (7,), "f2": (4100,), "c8": (2, 0), "c16": (3, 3)}
host = [rng.standard_normal(shape).astype(dtype) for dtype, shape in shapes.items()]
host.append(np.asfortranarray(rng.standard_normal((4, 6), dtype=np.float32)))
expected, wanted = numclip.clip_by_global_norm(host, 0.5)
grads = [cuda.to_device(array) for array in host]

def check(arrays, norm):
    assert norm.dtype == wanted.dtype and norm.copy_to_host() == wanted
    for array, right in zip(arrays, expected):
        assert type(array) is type(grads[0])
        np.testing.assert_array_equal(array.copy_to_host(), right, strict=True)

check(*numclip.clip_by_global_norm(grads, cuda.to_device(np.array(0.5))))
for array, right in zip(grads, host):
    np.testing.assert_array_equal(array.copy_to_host(), right)
inner = cuda.to_device(np.full((4, 6), 3.0, np.float32))
numclip.clip_by_global_norm([inner[::2, 1::2]], 0.0, out=[inner[::2, 1::2]])
assert np.count_nonzero(inner.copy_to_host()) == 18
factor, norm = numclip.clip_factor(grads, 0.5)
assert (factor.copy_to_host(), norm.copy_to_host()) == numclip.clip_factor(host, 0.5)
clipper = numclip.Clipper(grads, 0.5)
check(clipper.results, clipper())
assert numclip.global_norm([cuda.to_device(np.full(2, 3e38, np.float32))]).copy_to_host() == np.inf
print("done")
"""


def test_arrays_of_the_simulator_without_help_of_the_tests():
    """As a user has it: with Numba's arrays and launches unchanged, without a warning."""
    skip_without_numba_cuda()
    result = run_python("-W", "error", "-c", ON_THE_SIMULATOR, NUMBA_ENABLE_CUDASIM="1")
    assert result.stdout == "done\n"
